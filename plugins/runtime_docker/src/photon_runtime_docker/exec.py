"""A command in a container: Docker's connection of it, and what Docker knows of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from photon_core.api.runtime import ExecStream, RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import EngineDown
from photon_runtime_docker.errors import start_refused
from photon_runtime_docker.wire import Frames, Pieces

STDERR = 2
STARTED_WITHIN_S, ENDED_WITHIN_S, LOOK_AGAIN_S = 30.0, 10.0, 0.01
"""A start takes some 50 ms; between the end of a command's output and Docker's knowledge of its code lie a few."""


class DockerExec:
    """An `EngineExec`."""

    def __init__(
        self,
        pieces: Pieces,
        inspect: Callable[[], dict[str, Any]],
        resize: Callable[[TerminalSize], None],
        *,
        terminal: bool,
    ) -> None:
        self._pieces, self._inspect, self._resize = pieces, inspect, resize
        self._frames = None if terminal else Frames()
        self._waiting: deque[tuple[ExecStream, bytes]] = deque()
        self.write = pieces.write
        self.close = pieces.close

    def wait_until_started(self) -> None:
        """Docker answers before it starts the command, and says among the output, and by an exit code without a pid,
        that it could not. CannotStart then; RuntimeFailure when it is the machine that could not.
        """
        deadline = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < deadline:
            said = self._inspect()
            if said.get("Pid"):
                return
            if not said.get("Running") and said.get("ExitCode") is not None:
                raise start_refused(b"".join(data for _, data in iter(self.read, None)).decode(errors="replace"))
            time.sleep(LOOK_AGAIN_S)
        raise EngineDown("the engine does not start the command", "see the engine's log")

    def end_input(self) -> None:
        """Half-closing the connection of a terminal would end its output too."""
        if self._frames is not None:
            self._pieces.end()

    def resize(self, size: TerminalSize) -> None:
        self._resize(size)

    def read(self) -> tuple[ExecStream, bytes] | None:
        while not self._waiting:
            piece = self._pieces.read()
            if not piece:
                return None
            if self._frames is None:
                return ExecStream.STDOUT, piece
            for stream, data in self._frames.feed(piece):
                self._waiting.append((ExecStream.STDERR if stream == STDERR else ExecStream.STDOUT, data))
        return self._waiting.popleft()

    def pid(self) -> int:
        return int(self._inspect().get("Pid") or 0)

    def exit_code(self) -> int:
        deadline = time.monotonic() + ENDED_WITHIN_S
        while time.monotonic() < deadline:
            said = self._inspect()
            if not said.get("Running") and said.get("ExitCode") is not None:
                return int(said["ExitCode"])
            time.sleep(LOOK_AGAIN_S)
        raise EngineDown("the engine does not say how the command ended", "see the engine's log")


def gone() -> RuntimeFailure:
    return RuntimeFailure("the instance was removed, and the command with it")
