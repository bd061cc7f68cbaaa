"""What the signer was asked for and has not answered.

An answer names its slot only. So a slot is asked for one statement at a time, and an answer is matched with that: a
signature can never end up under another statement than it was made for.
"""

from __future__ import annotations

from attrs import define, field

from photon_core.api.consensus import Sign, Slot

from .replica import Replica


@define
class Signing:
    """Bounded: one entry per slot above the last final block that this validator may sign in, and of those only what
    the signer has yet to answer.
    """

    replica: Replica
    _asked: dict[Slot, bytes] = field(factory=dict)

    def is_asked(self, slot: Slot) -> bool:
        return slot in self._asked

    def ask(self, slot: Slot, statement: bytes, round_floor: int = 0) -> None:
        if slot not in self._asked:
            self._asked[slot] = statement
            self.replica.emit(Sign(slot=slot, statement=statement, round_floor=round_floor))

    def answered(self, slot: Slot) -> bytes | None:
        """What was asked for in this slot; None if nothing was."""
        return self._asked.pop(slot, None)

    def forget(self, height: int) -> None:
        """Nothing at or below this height is of use any more."""
        for slot in [slot for slot in self._asked if slot[0] <= height]:
            del self._asked[slot]
