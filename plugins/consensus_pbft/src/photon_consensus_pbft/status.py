"""Retransmission: everybody says regularly where it stands, and is sent what it lacks.

No message has a retry of its own. A STATUS names the view and, per height in flight, whether block, PREPAREs and
COMMITs are here; whoever hears it answers with what it has signed, or holds, of that. So any loss anywhere heals within
a STATUS interval, and a validator that was away is brought into the view by the same means.
"""

from __future__ import annotations

from attrs import define, field

from photon_core.api import consensus as api
from photon_core.api.ids import ConsensusKey

from . import messages
from .heights import HeightLog
from .messages import Has, PrePrepare, Status, VotePhase
from .replica import Mode, Reason, Replica, Timer
from .view_change import ViewChanging

BUSY_MS = 500
"""Between STATUS messages while something is unfinished: half the default timeout, so that one loss costs no view."""
IDLE_MS = 2_000
"""Otherwise, for those who come back."""
ANSWER_MS_MIN = 200
"""Between answers to one peer: an answer may be some 200 KiB, and a STATUS has 20 bytes."""
HEARD_MS_MAX = 5_000
"""Who has said nothing for so long, two idle intervals and some, may not be there."""


@define
class Peer:
    answered_ms: int | None = None
    heard_ms: int | None = None
    final_height: int = 0


@define
class Retransmission:
    replica: Replica
    changing: ViewChanging
    _peers: dict[int, Peer] = field(factory=dict)

    # --- asking ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        replica = self.replica
        if replica.own is not None and len(replica.members) > 1:
            replica.set_timer(Timer.STATUS, BUSY_MS)

    def tick(self) -> None:
        replica = self.replica
        if replica.mode is Mode.PENDING:
            self.changing.repeat()
        replica.emit(api.SendNow(message=self._status()))
        replica.set_timer(Timer.STATUS, BUSY_MS if self._is_busy() else IDLE_MS)

    def _is_busy(self) -> bool:
        replica = self.replica
        return replica.mode is not Mode.ACTIVE or replica.work_waiting or replica.is_running(Timer.PROGRESS)

    def _status(self) -> bytes:
        replica = self.replica
        first = replica.final.height + 1
        has = [self._has(replica.heights.get(height)) for height in range(first, replica.window_top + 1)]
        return messages.encode(
            Status(
                view=replica.view,
                active=replica.mode is Mode.ACTIVE,
                final_height=replica.final.height,
                heights=tuple(has),
            )
        )

    def _has(self, log: HeightLog | None) -> int:
        if log is None or log.candidate is None:
            return 0
        return Has.BLOCK | (Has.PREPARED * log.is_prepared()) | (Has.COMMITTED * log.is_committed())

    # --- answering ---------------------------------------------------------------------------------------------------

    def received(self, sender: ConsensusKey, status: Status) -> None:
        replica = self.replica
        index = replica.members.index_of(sender)
        if index is None:
            replica.ignore(Reason.STRANGER, sender)
            return
        peer = self._peers.setdefault(index, Peer())
        peer.final_height, peer.heard_ms = max(peer.final_height, status.final_height), replica.now_ms
        if not self._may_answer(sender):
            return
        if status.view > replica.view:
            replica.emit(api.SendNow(message=self._status(), to=sender))  # it has what leads there
        elif status.view < replica.view or (replica.mode is Mode.ACTIVE and not status.active):
            self._send_view(sender)
        elif replica.mode is Mode.ACTIVE:
            self._send_missing(sender, status)

    def is_behind(self, sender: ConsensusKey) -> None:
        """Its VIEW-CHANGE is for a view that is active here, or left."""
        if self._may_answer(sender):
            self._send_view(sender)

    def others_are_ahead(self) -> bool:
        """An honest validator has a final block that is not here: the chain goes on, and core is catching up."""
        ahead = [i for i, peer in sorted(self._peers.items()) if peer.final_height > self.replica.final.height]
        return self.replica.members.is_weak(self.replica.members.power(ahead))

    def quorum_is_here(self) -> bool:
        """With whom a view could be changed at all: whoever is cut off, or has just started, blames nobody."""
        oldest_ms = self.replica.now_ms - HEARD_MS_MAX
        here = [
            i for i, peer in sorted(self._peers.items()) if peer.heard_ms is not None and peer.heard_ms >= oldest_ms
        ]
        members, own = self.replica.members, self.replica.own
        return members.is_quorum(members.power(here if own is None else {own, *here}))

    def _may_answer(self, sender: ConsensusKey) -> bool:
        index = self.replica.members.index_of(sender)
        if index is None:
            return False
        peer, now_ms = self._peers.setdefault(index, Peer()), self.replica.now_ms
        if peer.answered_ms is not None and now_ms - peer.answered_ms < ANSWER_MS_MIN:
            self.replica.ignore(Reason.TOO_OFTEN, sender)
            return False
        peer.answered_ms = now_ms
        return True

    def _send_view(self, to: ConsensusKey) -> None:
        replica = self.replica
        if replica.mode is Mode.PENDING:
            self.changing.send_own(to)
        elif replica.mode is Mode.ACTIVE and replica.new_view is not None:
            replica.emit(api.SendNow(message=messages.encode(replica.new_view), to=to))

    def _send_missing(self, to: ConsensusKey, status: Status) -> None:
        replica = self.replica
        for offset, has in enumerate(status.heights):
            height = status.final_height + 1 + offset
            log = replica.heights.get(height)
            if log is not None and height > replica.final.height:
                self._send_missing_of(to, log, has)

    def _send_missing_of(self, to: ConsensusKey, log: HeightLog, has: int) -> None:
        replica, candidate = self.replica, log.candidate
        assert replica.own is not None
        lacking: list[messages.Message] = []
        if not has & Has.BLOCK and candidate is not None and candidate.signature and not candidate.carried:
            lacking.append(
                PrePrepare(
                    view=replica.view, header=candidate.header, transaction_ids=None, signature=candidate.signature
                )
            )
        prepare, commit = (log.votes.of(phase, replica.own) for phase in (VotePhase.PREPARE, VotePhase.COMMIT))
        if prepare is not None and not has & Has.PREPARED:
            lacking.append(prepare)
        if commit is not None and not has & Has.COMMITTED:
            lacking.append(commit)
        replica.emit(*(api.SendNow(message=messages.encode(message), to=to) for message in lacking))
