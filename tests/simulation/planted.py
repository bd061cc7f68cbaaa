"""Bugs on purpose, each in one decision of the engine, of core or of a disk. The simulator must find every one.

A `Plant` says what is wrong in words, and replaces one function for as long as a run lasts. That the function exists is
checked by the replacing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from attrs import evolve, frozen

from photon_consensus_pbft import engine, inspection, new_view, ordering, recovery, view_change, votes
from photon_consensus_pbft.membership import Membership
from photon_consensus_pbft.replica import Mode
from photon_core.api import consensus as api
from photon_core.chain.certificates import CertificateBuilder
from photon_core.node import ordering as core_ordering
from photon_core.node import pipeline as core_pipeline
from photon_core.node import steps
from photon_core.testing.sim import Parts
from photon_core.testing.sim.disk import DiskSlots


@frozen(kw_only=True)
class Plant:
    """`patches`: an object, the name in it that is replaced, and by what."""

    name: str
    what: str
    patches: tuple[tuple[Any, str, Any], ...] = ()
    liars: bool | None = None
    """Some bugs harm nobody as long as nobody lies."""
    rare: bool = False
    """It takes so many runs that they are made only to write the table."""
    focus: str = ""
    """The kind of fault that brings it out; without one, it comes out in any weather."""
    parts: Callable[[Parts], Parts] = lambda parts: parts

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, by in self.patches:
                stack.enter_context(patch.object(target, name, by))
            yield


# --- the engine ------------------------------------------------------------------------------------------------------


def _commit_at_once(self: ordering.Ordering, height: int, statement: bytes, signature: bytes) -> None:
    """Neither sending nor counting the own COMMIT waits for the disk."""
    log = self.replica.heights.get(height)
    if log is not None and log.candidate is not None:
        log.candidate.recorded = True
    _commit_signed(self, height, statement, signature)


_commit_signed = ordering.Ordering.commit_signed


def _lowest_claims(statements: Any, height: int) -> Any:
    claims = {claim for statement in statements for claim in statement.prepared if claim.height == height}
    lowest = min((claim.view for claim in claims), default=0)
    return tuple(sorted((c for c in claims if c.view == lowest), key=lambda claim: claim.block_hash))


def _renew_and_forget(self: view_change.ViewChanging) -> None:
    self.replica.proofs = {}
    _renew(self)


_renew = view_change.ViewChanging.renew


def _forget_proofs(raw_records: Any, final_height: int) -> recovery.Standing:
    return recovery.Standing(_standing_of(raw_records, final_height).last, {})


_standing_of = recovery.standing_of


def _anybody(self: Membership, power: int) -> bool:
    return power > 0


def _few_voters(self: inspection.Inspector, indices: list[int], what: str) -> None:
    with patch.object(Membership, "is_quorum", _anybody if "NEW-VIEW" in what else Membership.is_quorum):
        _check_voters(self, indices, what)


_check_voters = inspection.Inspector._check_voters


def _early_lead(self: view_change.ViewChanging) -> None:
    with patch.object(Membership, "is_quorum", _anybody):
        _lead(self)


_lead = view_change.ViewChanging._lead


def _keep_votes(self: votes.VoteTable, view: int) -> None:
    """Votes of the view before count in the new one."""
    early = sorted(self._ahead.items())
    self._ahead = {voter: vote for voter, vote in early if vote.view > view}
    for _, vote in early:
        if vote.view == view:
            self.add(vote)


def _commit_with_ancestors(self: ordering.Ordering) -> None:
    """COMMITs of a quorum for a block hand over all that it stands on. That is right, as long as nobody sends a COMMIT
    without prepared ancestors.
    """
    _advance(self)
    replica, chain, newest = self.replica, [], 0
    parent = replica.final.block_hash
    for height in range(replica.final.height + 1, replica.window_top + 1):
        log = replica.heights.get(height)
        candidate = log.candidate if log is not None else None
        if log is None or candidate is None or not candidate.accepted or candidate.header.parent != parent:
            break
        parent = candidate.block_hash
        chain.append((height, candidate))
        newest = height if log.is_committed() else newest
    for height, candidate in chain:
        if replica.committed < height <= newest and replica.mode is Mode.ACTIVE:
            self._hand_over(height, candidate)


_advance = ordering.Ordering.advance


# --- core ------------------------------------------------------------------------------------------------------------


def _send_at_once(self: core_ordering.Ordering, effect: api.SendAfter) -> None:
    self.emit(steps.SendMessage(message=effect.message, to=effect.to))


def _one_short(self: CertificateBuilder) -> Any:
    with patch.object(type(self._validators), "quorum_power", self._validators.total_power * 2 // 3):
        return _certificate(self)


_certificate = CertificateBuilder.certificate.fget  # type: ignore[attr-defined]


def _execute_unwritten(self: core_pipeline.Pipeline, block: Any, transactions: Any, certificate: Any) -> None:
    one = self._append(block, transactions, certificate)
    self._execute(one)
    self._write_next()


def _execute_once(self: core_pipeline.Pipeline, one: Any) -> None:
    if one.executed is None:
        _execute(self, one)


_execute = core_pipeline.Pipeline._execute


# --- the disk --------------------------------------------------------------------------------------------------------


class ForgetfulSlots(DiskSlots):
    """A signer whose store is made anew at each start."""

    def read_all(self) -> list[bytes]:
        return []


def _forgetful(parts: Parts) -> Parts:
    return evolve(parts, memory=ForgetfulSlots)


PLANTS = (
    Plant(
        name="quorum off by one",
        what="one unit of power less than a quorum is enough, everywhere in the engine",
        patches=((Membership, "is_quorum", lambda self, power: power >= self.quorum_power - 1),),
    ),
    Plant(
        name="commit without prepared ancestors",
        focus="lose_height",
        what="COMMIT is sent for a block whose ancestors are not prepared in this view, and commits them with it",
        patches=(
            (ordering, "may_commit", lambda prepared_below, prepared: prepared),
            (ordering.Ordering, "advance", _commit_with_ancestors),
        ),
    ),
    Plant(
        name="no persist before send",
        what="COMMIT is sent before the proof that it builds on is on disk",
        patches=((ordering.Ordering, "commit_signed", _commit_at_once),),
    ),
    Plant(
        name="a prepared certificate forgotten",
        what="a VIEW-CHANGE claims nothing of what was prepared before it",
        patches=((view_change.ViewChanging, "renew", _renew_and_forget),),
    ),
    Plant(
        name="prepared forgotten at restart",
        what="the proofs on disk do not come back at a restart",
        patches=((engine, "standing_of", _forget_proofs),),
    ),
    Plant(
        name="a foreign parent accepted",
        liars=True,
        what="a block is voted for whatever its parent is, and core finds it valid",
        patches=(
            (ordering, "fits_parent", lambda header, parent: True),
            (core_ordering.Ordering, "_problem", lambda self, asked, now: ""),
        ),
    ),
    Plant(
        name="signs again after a restart",
        what="the signer's memory does not survive",
        parts=_forgetful,
    ),
    Plant(
        name="the lowest view carried over",
        rare=True,
        what="of two blocks prepared at one height, a new view begins with that of the lower view",
        patches=((new_view, "deciding_claims", _lowest_claims),),
    ),
    Plant(
        name="a new view without a quorum",
        focus="isolate_leader",
        what="one VIEW-CHANGE is enough for a NEW-VIEW",
        patches=(
            (view_change.ViewChanging, "_lead", _early_lead),
            (inspection.Inspector, "_check_voters", _few_voters),
        ),
    ),
    Plant(
        name="votes of two views counted together",
        what="the votes of the view before count in the new one",
        patches=((votes.VoteTable, "enter", _keep_votes),),
    ),
    Plant(
        name="core does not hold what must wait",
        what="SendAfter is sent at once",
        patches=((core_ordering.Ordering, "_send_after", _send_at_once),),
    ),
    Plant(
        name="a certificate one vote short",
        what="core takes two thirds of the power for a quorum",
        patches=((CertificateBuilder, "certificate", property(_one_short)),),
    ),
    Plant(
        name="executed before it is written",
        what="a block is executed, and its roots signed, while it is being written",
        patches=(
            (core_pipeline.Pipeline, "take", _execute_unwritten),
            (core_pipeline.Pipeline, "_execute", _execute_once),
        ),
    ),
)

CONTROLS = (
    Plant(
        name="a block commits its ancestors",
        what="right by itself; only together with COMMITs that have no prepared ancestors it is not",
        patches=((ordering.Ordering, "advance", _commit_with_ancestors),),
    ),
)
"""Changes which look alike, and must not be found."""
