"""A `photon` that has everything imported and forks for each command: a start in tens of milliseconds, not seconds.

    warm = WarmPhoton()
    process = warm.run(["validator", "start", "--home", …], log=home / "log")    # a real process, to be killed at will

Run as a program it is the parent of those processes. It answers requests on its standard input, a socket, one at a
time: `{"run": arguments}` with the files for stdout and stderr, `{"wait": pid}`. It has one thread and no event loop,
so what forks from it begins as a fresh interpreter would. Its children die with it, and it ends with the test.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

IMPORTED = (
    "httpx",
    "photon_core.cli.genesis",
    "photon_core.cli.node",
    "photon_core.cli.node_home",
    "photon_core.cli.validator",
    "photon_core.node.service",
    "photon_consensus_pbft.engine",
    "photon_consensus_solo.plugin",
    "photon_market_auction.plugin",
    "photon_transport_libp2p.transport",
    "photon_transport_memory.plugin",
)
"""What `photon validator start` needs. What is missing here is imported by each child."""
REQUEST_BYTES_MAX = 2**16
PR_SET_PDEATHSIG = 1


class WarmProcess:
    """Like `subprocess.Popen`, of which it has what tests use: `pid`, `stdout` (a file descriptor), `wait`."""

    def __init__(self, parent: WarmPhoton, pid: int, stdout: int) -> None:
        self._parent, self.pid, self.stdout = parent, pid, stdout
        self._code: int | None = None

    def wait(self) -> int:
        if self._code is None:
            self._code = int(self._parent.ask({"wait": self.pid}))
        return self._code


class WarmPhoton:
    def __init__(self) -> None:
        self._socket, other = socket.socketpair()
        with other:
            self._program = subprocess.Popen([sys.executable, __file__], stdin=other)
        assert self._answer() == "ready"

    def run(self, arguments: Sequence[str], *, log: Path) -> WarmProcess:
        """Its stderr goes to the end of `log`."""
        read, write = os.pipe()
        with log.open("ab") as errors:
            pid = self.ask({"run": list(arguments)}, [write, errors.fileno()])
        os.close(write)
        return WarmProcess(self, pid, read)

    def ask(self, request: dict[str, Any], files: Sequence[int] = ()) -> Any:
        socket.send_fds(self._socket, [json.dumps(request).encode()], files)
        return self._answer()

    def _answer(self) -> Any:
        answer = self._socket.recv(REQUEST_BYTES_MAX)
        assert answer, "the warm photon has ended"
        return json.loads(answer)

    def close(self) -> None:
        self._socket.close()
        self._program.wait()


# --- the parent's side -----------------------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    assert threading.active_count() == 1, "a fork would lose the other threads"
    gc.collect()
    gc.freeze()  # else each child's first collection copies all that was imported
    requests.send(json.dumps("ready").encode())
    while True:
        body, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 2)
        if not body:
            return
        request = json.loads(body)
        if "run" in request:
            answer = fork(request["run"], files, requests)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        for file in files:
            os.close(file)
        requests.send(json.dumps(answer).encode())


def fork(arguments: list[str], files: list[int], requests: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    die_with_parent()
    requests.close()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (files[0], 1), (files[1], 2)):
        os.dup2(file, number)
        os.close(file)
    random.seed()
    from photon_core.cli import main

    code: object = 1
    try:
        main(arguments)
    except SystemExit as ended:
        code = ended.code
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then close the socket
    serve(socket.socket(fileno=0))
