"""What one validator knows, and what it has decided to ask of core: the state that the engine's parts share."""

from __future__ import annotations

from enum import Enum, StrEnum

from attrs import define, field

from photon_core.api import consensus as api
from photon_core.api.chain import Certificate
from photon_core.api.ids import ConsensusKey, Hash

from .config import PbftConfig
from .heights import HeightLog
from .membership import Membership
from .messages import NewView, PreparedProof

RECORD_LIFE_BLOCKS = 1_000
"""A view's record is given up by height (`Forget`), and a view may last for ever: it is kept for so many blocks and
written again when half of them have passed."""
BUFFER_WINDOWS = 2
"""Votes and proposals are kept for this many windows past the last final block: a validator whose certificate is late
by one window misses nothing. What lies further out comes again by STATUS."""

PATIENCE_DOUBLINGS_MAX = 4
"""Sixteen times the timeout, 16 s by default: longer than any network that carries blocks takes for a message. Without
a bound, a long outage would be followed by as long a wait."""


class Mode(Enum):
    ACTIVE = "active"
    PENDING = "pending"
    """A view change to `view` is under way; nothing of lower views is sent or taken any more."""
    ENTERING = "entering"
    """The NEW-VIEW is here and is being written to disk."""


class Reason(StrEnum):
    """Why a message was of no use; core counts them."""

    STRANGER = "not from a validator"
    OLD_VIEW = "old view"
    OLD_HEIGHT = "old height"
    FAR_HEIGHT = "far height"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    SECOND_PROPOSAL = "second proposal"
    NOT_FRESH = "height belongs to the new view's blocks"
    TOO_OFTEN = "asked too often"


class Timer(StrEnum):
    PROGRESS = "progress"
    STATUS = "status"


@define
class Final:
    """The newest final block. Its certificate is None for genesis only."""

    height: int
    block_hash: Hash
    certificate: Certificate | None


@define
class Replica:
    chain_id: Hash
    config: PbftConfig
    members: Membership
    own: int | None
    """Index of the own key; None at a node that only follows."""
    final: Final
    view: int = 0
    mode: Mode = Mode.ACTIVE
    new_view: NewView | None = None
    """What made `view` active; None for view 0 and while a change is pending."""
    fresh_from: int = 1
    """The first height at which the active view's primaries propose blocks of their own."""
    committed: int = 0
    """The highest block that was handed to core, or final."""
    heights: dict[int, HeightLog] = field(factory=dict)
    proofs: dict[int, PreparedProof] = field(factory=dict)
    """Per height the proof of the highest view in which a block was prepared here, ancestors included. At most the
    window."""
    work_waiting: bool = False
    changes_since_final: int = 0
    """View changes since a block became final: each doubles the patience of the next."""
    now_ms: int = 0
    _effects: list[api.Effect] = field(factory=list)
    _last_token: int = 0
    _due_ms: dict[Timer, int] = field(factory=dict)

    # --- effects -----------------------------------------------------------------------------------------------------

    def emit(self, *effects: api.Effect) -> None:
        self._effects.extend(effects)

    def take_effects(self) -> tuple[api.Effect, ...]:
        effects, self._effects = tuple(self._effects), []
        return effects

    def persist(self, height: int, record: bytes, contents: tuple[Hash, ...] = ()) -> int:
        self._last_token += 1
        self.emit(api.Persist(token=self._last_token, height=height, records=(record,), contents=contents))
        return self._last_token

    def ignore(self, reason: Reason, sender: ConsensusKey) -> None:
        self.emit(api.Ignored(reason=reason.value, sender=sender))

    def trace(self, what: str) -> None:
        self.emit(api.StateChange(what=what))

    # --- timers ------------------------------------------------------------------------------------------------------

    def set_timer(self, timer: Timer, after_ms: int) -> None:
        self._due_ms[timer] = self.now_ms + after_ms
        self.emit(api.SetTimer(name=timer.value, after_ms=after_ms))

    def cancel_timer(self, timer: Timer) -> None:
        if self._due_ms.pop(timer, None) is not None:
            self.emit(api.CancelTimer(name=timer.value))

    def is_running(self, timer: Timer) -> bool:
        return timer in self._due_ms

    def timer_fired(self, timer: Timer) -> int | None:
        """How late it is, in ms; None when it was not running, or not due: it was cancelled on its way here."""
        due_ms = self._due_ms.get(timer)
        if due_ms is None or self.now_ms < due_ms:
            return None
        del self._due_ms[timer]
        return self.now_ms - due_ms

    @property
    def patience_ms(self) -> int:
        """The paper's T, then 2T, 4T and so on (section 4.5.2): views must not change faster than messages arrive."""
        doublings = min(max(self.changes_since_final - 1, 0), PATIENCE_DOUBLINGS_MAX)
        return self.config.view_change_timeout_ms << doublings

    # --- heights -----------------------------------------------------------------------------------------------------

    @property
    def window_top(self) -> int:
        """No block above is proposed or voted for."""
        return self.final.height + self.config.window

    @property
    def buffer_top(self) -> int:
        """Nothing above is kept."""
        return self.final.height + BUFFER_WINDOWS * self.config.window

    def log_of(self, height: int) -> HeightLog:
        """Only for heights up to `buffer_top`, or that a NEW-VIEW carried over: that bounds the number of logs."""
        if (log := self.heights.get(height)) is None:
            log = self.heights[height] = HeightLog.empty(self.members)
        return log
