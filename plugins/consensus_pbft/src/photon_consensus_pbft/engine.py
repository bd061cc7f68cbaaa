"""PBFT (Castro and Liskov, OSDI 1999) on a chain of blocks: the machine of one validator.

Theory of operation
-------------------
n validators, each with power. A **quorum** has more than 2/3 of the power, so two quorums share an honest validator
while liars have less than 1/3; **weak** power is more than all liars together have, so it includes an honest one
(`membership`). A **view** has one primary per height; it moves on only by agreement of a quorum.

*Normal case* (`proposing`, `intake`, `ordering`). For each height three messages, each a signature in a slot of its own
that the signer gives away once:

    primary    BuildProposal ─ Sign ─► PRE-PREPARE(block)
    backups    transactions here, valid, parent accepted ─► PREPARE     "nothing else at this height, in this view"
    everybody  PREPAREs of a quorum = prepared ─► proof to disk ─► COMMIT    "no later view may forget this block"
    everybody  COMMITs of a quorum = committed ─► Commit, in order of height

Up to a window of heights is in flight above the last final block. Blocks form a chain, so that slots are not
independent as in the paper: a block is prepared only on the block accepted below it, and a COMMIT leaves only when all
ancestors that are not final are prepared in the same view. Why both are needed is argued where it is used, in
`new_view.carry_over`. There are no null blocks.

*View change* (`view_change`, `leading`, `new_view`, `entering`). Whoever has waited too long signs a VIEW-CHANGE: what
is final for it, and what was prepared above that. A quorum of them make a NEW-VIEW of the next leader; it begins with
the blocks that may have been committed, byte for byte: everybody computes them from the same VIEW-CHANGEs.

    ACTIVE ──patience ends, bad proposal, or weak power has left──► PENDING ──NEW-VIEW──► ENTERING ──on disk──► ACTIVE
                                                       PENDING ──a quorum waits, and no NEW-VIEW──► PENDING, next view

*Garbage collection*. The paper's checkpoint is core's certificate: `BlockFinal` moves the window, whoever ordered the
block. All buffers are bounded by the window and the number of validators (`replica`).

*Loss* is healed by one mechanism, STATUS (`status`). *Restart* is from three kinds of records (`records`, `recovery`):
proofs of prepared blocks, the own view change, the NEW-VIEW entered. Each is on disk before anything leaves that builds
on it, so a validator that was killed anywhere never contradicts itself, and claims whatever it may have committed.

Liars are met in three places: `inspection` lets nothing in that is not well-formed, `votes` keeps two different
statements of one validator in one slot as `Evidence`, and the rules above need quorums.

A node without a validator's key, or whose key is not in the set, follows: it asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from photon_core.api import consensus as api
from photon_core.api.errors import LocalProtocolError

from . import messages, records
from .config import PbftConfig
from .entering import Entering
from .inspection import Inspector
from .intake import Intake
from .membership import Membership
from .messages import NewView, Phase, PrePrepare, Status, ViewChange, Vote
from .ordering import Ordering
from .proposing import Proposing
from .recovery import restore_prepared, standing_of
from .replica import RECORD_LIFE_BLOCKS, Final, Mode, Reason, Replica, Timer
from .signing import Signing
from .status import Retransmission
from .view_change import ViewChanging


class PbftEngine:
    """Events to the parts whose they are; what concerns several parts is decided here."""

    def __init__(self, context: api.EngineContext) -> None:
        config = PbftConfig() if context.config is None else context.config
        if not isinstance(config, PbftConfig):
            raise LocalProtocolError(f"consensus_pbft is configured by a PbftConfig, not by {type(config).__name__}")
        members = Membership(context.validators, config.tenure_blocks)
        self._inspector = inspector = Inspector(context.chain_id, members, config.window)
        self._replica = replica = Replica(
            context.chain_id, config, members, members.index_of(context.own_key), Final(0, b"", None)
        )
        self._started = False
        self._view_recorded_at = 0
        self._was_stopped = False
        self._accused_view = 0
        self._signing = signing = Signing(replica)
        self._ordering = ordering = Ordering(replica, signing, self._suspect)
        self._proposing = Proposing(replica, ordering)
        self._intake = intake = Intake(replica, inspector, ordering)
        self._entering = Entering(replica, inspector, ordering, intake)
        self._changing = ViewChanging(replica, signing, inspector, self._enter)
        self._retransmission = Retransmission(replica, self._changing)
        self._events: dict[type, Callable[[Any], None]] = {
            api.Restored: self._restored,
            api.WorkWaiting: self._work_waiting,
            api.WorkIgnored: self._work_ignored,
            api.ProposalBuilt: self._proposal_built,
            api.Received: self._received,
            api.TimerFired: self._timer_fired,
            api.Persisted: self._persisted,
            api.Signed: self._signed,
            api.SignatureRefused: self._signature_refused,
            api.ContentAvailable: self._content_available,
            api.Validated: self._validated,
            api.BlockFinal: self._block_final,
            api.ValidatorsChanged: self._validators_changed,
        }
        self._messages: dict[type, Callable[[bytes, Any], None]] = {
            PrePrepare: intake.pre_prepare,
            Vote: intake.vote,
            ViewChange: self._view_change,
            NewView: self._new_view,
            Status: self._retransmission.received,
        }
        self._timers: dict[Timer, Callable[[int], None]] = {
            Timer.PROGRESS: self._patience_ended,
            Timer.STATUS: self._status_due,
        }
        self._signatures: dict[int, Callable[[int, bytes, bytes], None]] = {
            Phase.PREPARE: ordering.prepare_signed,
            Phase.COMMIT: ordering.commit_signed,
            Phase.VIEW_CHANGE: lambda _, statement, signature: self._changing.signed(statement, signature),
        }

    def inspect(self, message: bytes) -> tuple[api.Claim, ...]:
        return self._inspector.claims(message)

    def step(self, event: api.Event, now_ms: int) -> tuple[api.Effect, ...]:
        if not self._started and not isinstance(event, api.Restored):
            raise LocalProtocolError(f"the first event must be Restored, not {type(event).__name__}")
        self._replica.now_ms = now_ms
        self._events[type(event)](event)
        return self._replica.take_effects()

    # --- start -------------------------------------------------------------------------------------------------------

    def _restored(self, event: api.Restored) -> None:
        if self._started:
            raise LocalProtocolError("Restored is the first event, and comes once")
        self._started = True
        replica = self._replica
        replica.final = Final(event.height, event.block_hash, event.certificate)
        replica.committed = event.height
        if replica.own is None:
            return
        standing = standing_of(event.records, event.height)
        replica.proofs, replica.view = standing.proofs, standing.view
        self._view_recorded_at = event.height - RECORD_LIFE_BLOCKS // 2  # not known; written again with the next block
        self._retransmission.begin()
        if isinstance(standing.last, records.PendingView):
            replica.mode = Mode.PENDING
            self._changing.restored(standing.last)
            return
        if standing.last is not None:
            replica.new_view = standing.last
            self._entering.activate()
        restore_prepared(replica, replica.now_ms)
        self._ordering.advance()

    # --- normal case -------------------------------------------------------------------------------------------------

    def _work_waiting(self, _event: api.WorkWaiting) -> None:
        self._proposing.work_waiting()

    def _work_ignored(self, _event: api.WorkIgnored) -> None:
        replica = self._replica
        height, _ = self._ordering.top()
        if replica.members.primary(replica.view, height + 1) != replica.own:
            self._suspect("it leaves out what could be executed")

    def _proposal_built(self, event: api.ProposalBuilt) -> None:
        self._proposing.proposal_built(event.proposal)

    def _content_available(self, event: api.ContentAvailable) -> None:
        self._ordering.content_available(event.block_hash)

    def _validated(self, event: api.Validated) -> None:
        self._ordering.validated(event.block_hash, event.reason)

    def _received(self, event: api.Received) -> None:
        if self._replica.own is None:
            return
        message = messages.decode(event.message)
        self._messages[type(message)](event.sender, message)

    # --- disk and signer ---------------------------------------------------------------------------------------------

    def _persisted(self, event: api.Persisted) -> None:
        if self._entering.recorded(event.token):
            self._proposing.view_active()
            return
        self._changing.recorded(event.token)
        self._ordering.recorded(event.token)

    def _signed(self, event: api.Signed) -> None:
        statement = self._signing.answered(event.slot)
        if statement is None or self._changing.draft_signed(event.slot, statement, event.signature):
            return
        height, _, phase = event.slot
        if (take := self._signatures.get(phase)) is not None:
            take(height, statement, event.signature)

    def _signature_refused(self, event: api.SignatureRefused) -> None:
        """That vote is not cast. Nothing else stops: the validator follows, and votes where it may."""
        if self._signing.answered(event.slot) is None:
            return
        height, view, phase = event.slot
        self._replica.trace(f"the signer refused slot {event.slot}: {event.reason}")
        if self._changing.refused(event.slot):
            return
        if phase == Phase.PREPARE and view == self._replica.view and self._replica.mode is Mode.ACTIVE:
            self._ordering.refused(height)

    # --- views -------------------------------------------------------------------------------------------------------

    def _suspect(self, why: str) -> None:
        self._changing.suspect(why)

    def _view_change(self, sender: bytes, message: ViewChange) -> None:
        if not self._changing.received(sender, message):
            self._retransmission.is_behind(sender)

    def _new_view(self, sender: bytes, message: NewView) -> None:
        replica = self._replica
        awaited = message.view == replica.view and replica.mode is Mode.PENDING
        if message.view > replica.view or awaited:
            self._enter(message, False)
        elif message.view < replica.view:
            replica.ignore(Reason.OLD_VIEW, sender)
        else:
            self._compare(message)
            replica.ignore(Reason.DUPLICATE, sender)

    def _compare(self, message: NewView) -> None:
        """A leader has one NEW-VIEW per view and starting height: another with other contents is evidence, once."""
        replica = self._replica
        if replica.new_view is None or self._accused_view == message.view:
            return
        first, second = self._inspector.new_view_claim(replica.new_view), self._inspector.new_view_claim(message)
        if first.slot == second.slot and first.message != second.message:
            self._accused_view = message.view
            replica.emit(api.Evidence(first=first, second=second))

    def _enter(self, message: NewView, leads: bool) -> None:
        self._entering.begin(message, leads=leads)
        self._view_recorded_at = self._replica.final.height
        self._changing.entered()

    # --- timers ------------------------------------------------------------------------------------------------------

    def _timer_fired(self, event: api.TimerFired) -> None:
        timer = next((timer for timer in Timer if timer.value == event.name), None)
        if timer is not None and (late_ms := self._replica.timer_fired(timer)) is not None:
            self._timers[timer](late_ms)

    def _status_due(self, _late_ms: int) -> None:
        self._retransmission.tick()

    def _patience_ended(self, late_ms: int) -> None:
        """Before others are blamed: did this process stand still, is this node cut off, or does it lag behind?"""
        replica = self._replica
        was_stopped, self._was_stopped = self._was_stopped, late_ms > replica.patience_ms // 4
        if self._was_stopped and not was_stopped:
            self._wait_on(f"patience ended {late_ms} ms late: this process stood still")
        elif replica.mode is Mode.ENTERING:
            self._wait_on(f"view {replica.view} is not on disk yet")
        elif replica.mode is Mode.ACTIVE and not self._retransmission.quorum_is_here():
            self._wait_on("too few others are heard of to change a view with")
        elif replica.mode is Mode.ACTIVE and self._retransmission.others_are_ahead():
            self._wait_on("others have later blocks: the chain goes on")
        else:
            self._changing.start(replica.view + 1, "no block has become final for too long")

    def _wait_on(self, why: str) -> None:
        self._replica.trace(why)
        self._replica.set_timer(Timer.PROGRESS, self._replica.patience_ms)

    # --- finality ----------------------------------------------------------------------------------------------------

    def _block_final(self, event: api.BlockFinal) -> None:
        """Also for blocks that this engine never saw: core has them from others."""
        replica = self._replica
        if event.height <= replica.final.height:
            return
        replica.final = Final(event.height, event.block_hash, event.certificate)
        replica.committed = max(replica.committed, event.height)
        if replica.own is None:
            return
        replica.work_waiting, replica.changes_since_final = False, 0
        for height in [height for height in replica.heights if height <= event.height]:
            del replica.heights[height]
        for height in [height for height in replica.proofs if height <= event.height]:
            del replica.proofs[height]
        self._signing.forget(event.height)
        self._ordering.forget()
        self._record_view_again()
        replica.emit(api.Forget(below_height=event.height + 1))
        if replica.mode is Mode.ACTIVE:
            replica.cancel_timer(Timer.PROGRESS)
            self._ordering.rebase()
            self._ordering.advance()
        elif replica.mode is Mode.PENDING:
            self._changing.block_final()

    def _record_view_again(self) -> None:
        """Records are given up by height, and a view may outlive any number of blocks."""
        replica = self._replica
        if replica.final.height < self._view_recorded_at + RECORD_LIFE_BLOCKS // 2 or replica.mode is Mode.ENTERING:
            return
        self._view_recorded_at = replica.final.height
        if replica.new_view is not None:
            replica.persist(replica.final.height + RECORD_LIFE_BLOCKS, records.encode(replica.new_view))
        elif replica.mode is Mode.PENDING:
            self._changing.renew()

    def _validators_changed(self, event: api.ValidatorsChanged) -> None:
        if event.validators != self._replica.members.validators:
            raise LocalProtocolError("this version of consensus_pbft keeps the validators of genesis for ever")
