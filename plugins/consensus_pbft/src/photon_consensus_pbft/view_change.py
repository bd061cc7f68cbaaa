"""Leaving a view: when, with whom, and what the next one's leader makes of it.

A validator gives up its view for one of four reasons: its patience ends (timer "progress"), its primary proposed what
is not valid, its primary shuts somebody out (`WorkIgnored`), or VIEW-CHANGEs of so much power arrive that an honest
validator is among their senders. Then, in this order: nothing of lower views is sent or taken any more; the own
VIEW-CHANGE goes to disk; it is signed, and the signature closes all lower views for ever; it is sent. It is written
before it is signed so that after a crash the very same statement is signed again: one slot, one statement.

Views do not run away. In a pending view change patience runs only while VIEW-CHANGEs of a quorum, for this view or
above, are here. While too many are down, the others wait in the first view that they asked for, and repeat themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from photon_core.api import consensus as api
from photon_core.api.ids import ConsensusKey

from . import messages, records
from .inspection import Inspector
from .leading import Draft, draft_new_view
from .membership import Membership
from .messages import NewView, PreparedClaim, PreparedProof, SignedViewChange, ViewChange, ViewChangeStatement
from .new_view import claim_of, proven_final_height
from .records import PendingView
from .replica import RECORD_LIFE_BLOCKS, Mode, Reason, Replica, Timer
from .signing import Signing

Enter = Callable[[NewView, bool], None]


def claims_of_prepared(proofs: Mapping[int, PreparedProof]) -> tuple[PreparedClaim, ...]:
    """All that was prepared here and is not final, each in the highest view: nothing of it may be left out, since a
    COMMIT for it may have left.
    """
    return tuple(claim_of(proof) for _, proof in sorted(proofs.items()))


def view_to_join(above: Mapping[int, int], members: Membership) -> int | None:
    """The highest view that honest validators are known to have reached, of the views above the own, by validator.

    The paper joins the smallest view of any f + 1; this is the largest view at or above which more than the liars'
    power stands. One of these is honest, so nobody is led further than an honest validator went, and a lagging one
    arrives in one step.
    """
    power = 0
    for view, index in sorted(((view, index) for index, view in above.items()), reverse=True):
        power += members.powers[index]
        if members.is_weak(power):
            return view
    return None


@define
class OwnChange:
    record: PendingView
    token: int | None
    """None: it is on disk."""
    signature: bytes | None = None


@define
class ViewChanging:
    """`_changes` keeps the newest VIEW-CHANGE of each validator for the pending view and above: at most n of them."""

    replica: Replica
    signing: Signing
    inspector: Inspector
    enter: Enter
    own: OwnChange | None = None
    draft: Draft | None = None
    barred_view: int = 0
    """The signer refused the NEW-VIEW for it: its leader is somebody else, or nobody."""
    _changes: dict[int, ViewChange] = field(factory=dict)
    _accused: dict[int, api.Slot] = field(factory=dict)

    # --- leaving -----------------------------------------------------------------------------------------------------

    def suspect(self, why: str) -> None:
        """The primary of the active view is to be replaced."""
        if self.replica.own is not None and self.replica.mode is Mode.ACTIVE:
            self.start(self.replica.view + 1, why)

    def start(self, view: int, why: str) -> None:
        replica = self.replica
        assert view > replica.view, f"from view {replica.view} to {view}"
        replica.trace(f"view change from {replica.view} to {view}: {why}")
        replica.view, replica.mode, replica.new_view = view, Mode.PENDING, None
        replica.changes_since_final += 1
        replica.cancel_timer(Timer.PROGRESS)
        self.draft = None
        self._keep_from(view)
        self.renew()
        self._evaluate()

    def renew(self) -> None:
        """The own VIEW-CHANGE for the pending view, as things stand now."""
        replica = self.replica
        record = PendingView(
            statement=ViewChangeStatement(
                view=replica.view,
                final_height=replica.final.height,
                prepared=claims_of_prepared(replica.proofs),
            ),
            certificate=replica.final.certificate,
            proofs=tuple(proof for _, proof in sorted(replica.proofs.items())),
        )
        token = replica.persist(replica.final.height + RECORD_LIFE_BLOCKS, records.encode(record))
        self.own = OwnChange(record, token)

    def restored(self, record: PendingView) -> None:
        """It was pending before the restart. The same statement gets the same signature."""
        self.own = OwnChange(record, None)
        self._ask()

    def recorded(self, token: int) -> None:
        if self.own is not None and self.own.token == token:
            self.own.token = None
            self._ask()

    def repeat(self) -> None:
        """On the status timer: what may be lost is sent again, what is out of date is made anew."""
        if self.own is None or self.own.token is not None:
            return
        if self.own.signature is None or self._is_outdated(self.own):
            self._ask()  # the signer may have abstained, and may do so no more
        else:
            self.send_own(None)

    def _is_outdated(self, own: OwnChange) -> bool:
        """A block has become final since; the signer signs nothing at its height any more."""
        return own.record.statement.final_height < self.replica.final.height

    def send_own(self, to: ConsensusKey | None) -> None:
        if (message := self._own_message()) is not None:
            self.replica.emit(api.SendNow(message=messages.encode(message), to=to))

    def _ask(self) -> None:
        assert self.own is not None
        if self._is_outdated(self.own):
            self.renew()
            return
        statement = self.own.record.statement
        if any(claim.height > statement.final_height + self.replica.config.window for claim in statement.prepared):
            # The blocks here are older than the records. Less must not be claimed, and others take this for a breach;
            # `repeat` comes back once core has caught up.
            return
        slot = messages.change_slot(statement)
        self.signing.ask(slot, messages.change_statement(self.replica.chain_id, statement), statement.view)

    def signed(self, statement: bytes, signature: bytes) -> None:
        own, replica = self.own, self.replica
        if own is None or replica.mode is not Mode.PENDING:
            return
        if statement != messages.change_statement(replica.chain_id, own.record.statement):
            return
        own.signature = signature
        message = self._own_message()
        assert message is not None
        self._changes[message.change.validator] = message
        self.send_own(None)
        self._evaluate()

    def _own_message(self) -> ViewChange | None:
        own = self.own
        if own is None or own.signature is None or self.replica.own is None:
            return None
        change = SignedViewChange(statement=own.record.statement, validator=self.replica.own, signature=own.signature)
        return ViewChange(change=change, certificate=own.record.certificate, proofs=own.record.proofs)

    # --- VIEW-CHANGEs of others --------------------------------------------------------------------------------------

    def received(self, sender: ConsensusKey, message: ViewChange) -> bool:
        """False when it is for a view that is behind: its sender may need the NEW-VIEW."""
        replica, change = self.replica, message.change
        view = change.statement.view
        if view < replica.view or (view == replica.view and replica.mode is not Mode.PENDING):
            replica.ignore(Reason.OLD_VIEW, sender)
            return False
        known = self._changes.get(change.validator)
        if known is not None and (reason := self._compare(known.change, change)) is not None:
            replica.ignore(reason, sender)
            return True
        if change.validator != replica.own:
            self._changes[change.validator] = message
            self._evaluate()
        return True

    def _compare(self, known: SignedViewChange, new: SignedViewChange) -> Reason | None:
        """Why the new one is not taken in place of the known one."""
        before, after = known.statement, new.statement
        if messages.change_slot(before) == messages.change_slot(after):
            if before == after:
                return Reason.DUPLICATE
            if self._accused.get(new.validator) != messages.change_slot(after):
                self._accused[new.validator] = messages.change_slot(after)
                first, second = self.inspector.change_claim(known), self.inspector.change_claim(new)
                self.replica.emit(api.Evidence(first=first, second=second))
            return Reason.SUPERSEDED
        newer = (after.view, after.final_height) > (before.view, before.final_height)
        return None if newer else Reason.SUPERSEDED

    def _evaluate(self) -> None:
        replica = self.replica
        if replica.own is None:
            return
        above = {
            index: message.change.statement.view
            for index, message in self._changes.items()
            if message.change.statement.view > replica.view and index != replica.own
        }
        if (view := view_to_join(above, replica.members)) is not None:
            self.start(view, "others have left")
            return
        if replica.mode is Mode.PENDING:
            self._watch()
            self._lead()

    def _watch(self) -> None:
        replica = self.replica
        together = replica.members.power(self._changes)
        if replica.members.is_quorum(together) and not replica.is_running(Timer.PROGRESS):
            replica.set_timer(Timer.PROGRESS, replica.patience_ms)

    # --- leading -----------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """If VIEW-CHANGEs of a quorum for this very view are here, and they make this validator the leader."""
        replica, own = self.replica, self.own
        here = [c for _, c in sorted(self._changes.items()) if c.change.statement.view == replica.view]
        voters = [message.change.validator for message in here]
        if own is None or own.signature is None or not replica.members.is_quorum(replica.members.power(voters)):
            return
        start = proven_final_height([message.change.statement for message in here]) + 1
        leader = replica.members.primary(replica.view, start)
        if leader != replica.own or self.draft is not None or self.barred_view == replica.view:
            return
        if start <= replica.final.height:
            self.renew()
            return
        self.draft = draft_new_view(replica.chain_id, replica.view, here)
        for slot, statement in self.draft.statements.items():
            self.signing.ask(slot, statement)

    def draft_signed(self, slot: api.Slot, statement: bytes, signature: bytes) -> bool:
        """Whether the signature was for the NEW-VIEW that is being made."""
        draft = self.draft
        if draft is None or draft.statements.get(slot) != statement:
            return False
        draft.signatures[slot] = signature
        if (made := draft.finished()) is not None:
            self.draft = None
            self.enter(made, True)
        return True

    def refused(self, slot: api.Slot) -> bool:
        """The signer refused. True when that was a part of a NEW-VIEW, which is given up: patience leads on."""
        if self.draft is None or slot not in self.draft.statements:
            return False
        self.draft, self.barred_view = None, self.replica.view
        return True

    # --- what happens meanwhile --------------------------------------------------------------------------------------

    def block_final(self) -> None:
        """A NEW-VIEW being made now would begin too low."""
        if self.draft is not None:
            self.draft = None
            self.renew()

    def entered(self) -> None:
        """A view is active, or about to be: only what leads beyond it is kept."""
        self._keep_from(self.replica.view + 1)
        self.own, self.draft = None, None
        self._evaluate()

    def _keep_from(self, view: int) -> None:
        """VIEW-CHANGEs for lower views count for nothing any more."""
        self._changes = {i: m for i, m in sorted(self._changes.items()) if m.change.statement.view >= view}
