"""Starting the members, watching them, ending them.

A member that ends before it is ready, or while a demo runs, ends everything. Later the others go on without it, and
`up` says by which command it is started again: who wants to see a network survive kills a member and does just that.
"""

from __future__ import annotations

import json
import os
import signal
import textwrap
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from photon_core.api.errors import PhotonError
from photon_core.cli.up.children import Child
from photon_core.cli.up.layout import Member

READY_TIMEOUT_S = 60.0
"""A machine that is busy with other things; a member is usually ready in half a second."""
STOP_TIMEOUT_S = 15.0
"""Then it is killed. A provider's agent ends its workloads first, which have a few seconds of grace."""
LAST_WORDS_S = 1.0
"""Something that it started may hold its stdout."""
LAST_LINES = 12
LINE_BYTES_MAX = 64 * 1024


@define
class RunningMember:
    member: Member
    child: Child
    log: Path
    ready: trio.Event = field(factory=trio.Event)
    silent: trio.Event = field(factory=trio.Event)
    """It has closed its stdout: all that it said is in its log."""
    ended: trio.Event = field(factory=trio.Event)
    says: dict[str, Any] = field(factory=dict)
    """What it said when it was ready."""
    exit_code: int = 0
    stopping: bool = False

    @property
    def how_it_ended(self) -> str:
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        number = -self.exit_code
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {number}"

    def last_lines(self) -> str:
        """The error that it ended with, or the end of its log."""
        try:
            with self.log.open(errors="replace") as file:
                lines = "".join(deque(file, LAST_LINES)).rstrip()
        except OSError:
            return ""
        try:
            parts = json.loads(lines[lines.rindex('{\n  "error"') :])["error"]
            return str(PhotonError(**parts))
        except (ValueError, KeyError, TypeError):
            return lines

    def died(self) -> PhotonError:
        lines = self.last_lines()
        return PhotonError(
            code="member-died",
            what=f"{self.member.name} ended: {self.how_it_ended}",
            where=str(self.log),
            found="\n" + textwrap.indent(lines, "    ") if lines else "nothing in its log",
        )


class Members:
    """Everybody who was started. Lives in the nursery that it is given."""

    def __init__(self, nursery: trio.Nursery, on_death: Callable[[RunningMember], None]) -> None:
        self._nursery, self._on_death = nursery, on_death
        self.running: dict[str, RunningMember] = {}
        self.fatal = True
        """Whether a death ends everything. Turned off once the network is ready."""
        self.deaths: list[PhotonError] = []

    def start(self, member: Member, child: Child, arguments: Sequence[str], log: Path) -> RunningMember:
        running = RunningMember(member, child, log)
        self.running[member.name] = running
        child.run((*arguments, "--output", "json"), log)
        self._nursery.start_soon(self._shielded, self._listen, running)
        self._nursery.start_soon(self._shielded, self._watch, running)
        return running

    async def wait_ready(self, running: RunningMember) -> dict[str, Any]:
        with trio.move_on_after(READY_TIMEOUT_S):
            await running.ready.wait()
            return running.says
        raise PhotonError(
            code="not-ready",
            what=f"{running.member.name} is not ready after {READY_TIMEOUT_S:.0f} s",
            where=str(running.log),
            found=running.last_lines(),
        )

    async def stop(self, names: Sequence[str]) -> None:
        """Asks these to end, and kills them when they do not."""
        async with trio.open_nursery() as nursery:
            for name in names:
                if name in self.running:
                    nursery.start_soon(self._stop, self.running[name])

    async def _stop(self, running: RunningMember) -> None:
        if running.ended.is_set():
            return
        running.stopping = True
        running.child.signal(signal.SIGTERM)
        with trio.move_on_after(STOP_TIMEOUT_S):
            await running.ended.wait()
            return
        running.child.signal(signal.SIGKILL)
        await running.ended.wait()

    async def _shielded(self, watch: Callable[[RunningMember], Awaitable[None]], running: RunningMember) -> None:
        """Until the member has ended, also while everything is being cancelled: somebody waits for its end."""
        with trio.CancelScope(shield=True):
            await watch(running)

    async def _watch(self, running: RunningMember) -> None:
        await trio.lowlevel.wait_readable(running.child.pidfd)
        with trio.move_on_after(LAST_WORDS_S):
            await running.silent.wait()
        running.exit_code = running.child.exit_code()
        running.ended.set()
        os.close(running.child.pidfd)
        if not running.stopping:
            self.deaths.append(running.died())
            self._on_death(running)
            if self.fatal:
                raise self.deaths[-1]

    async def _listen(self, running: RunningMember) -> None:
        """A line that is a document says that it is ready. All that it says goes to its log."""
        text = b""
        async with trio.lowlevel.FdStream(running.child.output_fd) as stream:
            async for piece in stream:
                with running.log.open("ab") as log:
                    log.write(piece)
                if not running.ready.is_set() and len(text) < LINE_BYTES_MAX:
                    text += piece
                    self._look_for_ready(running, text)
        running.silent.set()

    @staticmethod
    def _look_for_ready(running: RunningMember, text: bytes) -> None:
        line, newline, _ = text.partition(b"\n")
        try:
            document = json.loads(line) if newline else None
        except ValueError:
            return
        if isinstance(document, dict):
            running.says = document
            running.ready.set()
