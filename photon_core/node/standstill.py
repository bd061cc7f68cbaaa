"""When a validator says in its log that the chain stands still, and who is missing. Pure.

A chain that waits for a quorum looks healthy from inside: nothing fails. So silence is told: once blocks have not come
for longer than a heartbeat explains, again each minute, and when they come again.
"""

from __future__ import annotations

from attrs import define

PATIENCE_MS = 10_000
"""And five heartbeats at least: a view change or two are no standstill."""
AGAIN_MS = 60_000


@define
class Standstill:
    heartbeat_ms: int
    _height: int = -1
    _since_ms: int = 0
    _told_ms: int | None = None

    def look(self, height: int, linked_power: int, quorum_power: int, now_ms: int) -> str:
        """What to say now, or nothing. `linked_power`: of the validators that are linked, this one included."""
        if height != self._height:
            stood_ms, was_told = now_ms - self._since_ms, self._told_ms is not None
            self._height, self._since_ms, self._told_ms = height, now_ms, None
            return f"blocks come again, after {stood_ms // 1000} s: height {height}" if was_told else ""
        stood_ms = now_ms - self._since_ms
        if stood_ms < max(PATIENCE_MS, 5 * self.heartbeat_ms):
            return ""
        if self._told_ms is not None and now_ms - self._told_ms < AGAIN_MS:
            return ""
        self._told_ms = now_ms
        missing = (
            "too few: start those that are missing, or look at the network between them"
            if linked_power < quorum_power
            else "enough; `photon validator status` of each says what it waits for"
        )
        return (
            f"the chain stands still at height {height} for {stood_ms // 1000} s: validators with {linked_power} of "
            f"the power are linked, this one included, and blocks need {quorum_power}: {missing}"
        )
