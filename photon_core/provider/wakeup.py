"""Something may have changed: look again. Any number of tasks call, each sleeper of its own hears it once."""

from __future__ import annotations

import trio


class Wakeup:
    def __init__(self) -> None:
        self._event = trio.Event()

    def call(self) -> None:
        self._event.set()

    async def wait(self, at_most_s: float) -> None:
        """Returns at once when called since the last wait."""
        with trio.move_on_after(at_most_s):
            await self._event.wait()
        self._event = trio.Event()


class Bell:
    """Rings several wakeups."""

    def __init__(self) -> None:
        self._wakeups: list[Wakeup] = []

    def sleeper(self) -> Wakeup:
        wakeup = Wakeup()
        self._wakeups.append(wakeup)
        return wakeup

    def ring(self) -> None:
        for wakeup in self._wakeups:
            wakeup.call()
