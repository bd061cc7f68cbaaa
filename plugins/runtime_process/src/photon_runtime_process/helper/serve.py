"""Process 1 of a sandbox: answers the agent, moves output to the log, reaps.

One request per connection, one packet each way (SOCK_SEQPACKET, JSON, file descriptors beside it by SCM_RIGHTS):

| op | with it | answer |
|---|---|---|
| `socket` | | a fresh TCP socket of the sandbox's network; the agent binds or connects it itself |
| `start` | fd of `Start` as JSON | `reason`, empty when it runs |
| `stop` | `grace_ms` | nothing, once the workload and all it started are dead |
| `session` | fds of the command, stdin, stdout, stderr | `began`; `exit_code` at its end; hanging up kills it |
| `session` | `columns`, `rows`, fd of the command | `began` with the terminal's master; then the same |
| `watch` | | an `event`, now and at each change of the workload's state |
| `follow` | `offset` | an `event` once the log is longer than that; then the agent asks again |
| `redirect` | `port` | `why` not, or nothing |
| `except` | `address`, `port` | `why` not; this target is no longer redirected |

The connections are the agent's alone: the socket lies in a folder that only it can enter. All the same everything is
bounded, and a connection that errs loses itself only.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from typing import Any

from photon_runtime_process.helper import packets
from photon_runtime_process.helper.log import LogWriter
from photon_runtime_process.helper.plan import Plan
from photon_runtime_process.helper.redirect import Redirect
from photon_runtime_process.helper.session import SESSIONS_MAX, kill_session, open_terminal
from photon_runtime_process.helper.workload import Start, Streams, Workload, kill_all, spawn_beside

FDS_MAX = 4
CLIENTS_MAX = 256
FOLDER_CHECK_S = 10  # how long a sandbox outlives its deleted folder: nothing else could find it any more
DRAIN_SPLICES_MAX = 64  # per turn of the loop, so that a workload that floods its log leaves requests answered


class Client:
    """One connection. `pid` is its session's leader; `armed` says that it waits for more of the log."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.pid = 0
        self.watching = self.armed = self.stopping = False

    def answer(self, value: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Never blocks. An agent that does not read has a full socket: it knows that it missed something."""
        with contextlib.suppress(OSError):
            packets.send(self.socket, value, fds)


class Server:
    def __init__(self, plan: Plan, log: LogWriter) -> None:
        self.plan, self.log = plan, log
        self.workload = Workload(plan)
        self.clients: dict[int, Client] = {}
        self.output = -1
        self.redirect = Redirect()
        self.kill_at = 0.0
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(fileno=plan.listener_fd)
        self.listener.setblocking(False)
        self.wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's own handler would let the workload interrupt us
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.wakeup, selectors.EVENT_READ, self._reap)

    def forever(self) -> None:
        while os.fstat(self.plan.folder_fd).st_nlink:
            wait = max(0.0, self.kill_at - time.monotonic()) if self.kill_at else FOLDER_CHECK_S
            for key, _ in self.selector.select(wait):
                key.data()
            if self.kill_at and time.monotonic() >= self.kill_at:
                self.kill_at = 0.0
                kill_all()

    # --- connections -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.listener.accept()
            if len(self.clients) >= CLIENTS_MAX:
                connection.close()
                return
            client = Client(connection)
            self.clients[connection.fileno()] = client
            self.selector.register(connection, selectors.EVENT_READ, lambda: self._received(client))

    def _received(self, client: Client) -> None:
        fds: list[int] = []
        if client.socket.fileno() < 0:  # dropped earlier in this turn of the loop
            return
        try:
            packet, fds = packets.receive(client.socket, FDS_MAX)
            if not packet:
                self._drop(client)
                return
            self._request(client, json.loads(packet), fds)
        except BlockingIOError:
            return
        except Exception as problem:  # noqa: BLE001 - whatever it was: the sandbox outlives a bad request
            client.answer({"error": f"{type(problem).__name__}: {problem}"})
            self._drop(client)
        finally:
            packets.close_all(fds)

    def _drop(self, client: Client) -> None:
        if self.clients.pop(client.socket.fileno(), None) is None:
            return
        self.selector.unregister(client.socket)
        client.socket.close()
        if client.pid:
            kill_session(client.pid)

    def _request(self, client: Client, request: dict[str, Any], fds: list[int]) -> None:
        match request["op"]:
            case "socket":
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as fresh:
                    client.answer({}, (fresh.fileno(),))
            case "start":
                self._start(client, Start(**_read(fds[0])))
            case "stop":
                self._stop(client, int(request["grace_ms"]))
            case "session" if "columns" in request:
                self._session_on_terminal(client, _read(fds[0]), int(request["columns"]), int(request["rows"]))
            case "session":
                streams = Streams(stdin=fds[1], stdout=fds[2], stderr=fds[3])
                client.pid = self._beside(_read(fds[0]), streams)
                client.answer({"began": ""})
            case "watch":
                client.watching = True
                client.answer({"event": "state"})
            case "follow":
                client.armed = True
                if self.log.end > int(request["offset"]):
                    self._tell_of_log(client)
            case "redirect":
                client.answer({"why": self.redirect.to(int(request["port"]))})
            case "except":
                client.answer({"why": self.redirect.leave(str(request["address"]), int(request["port"]))})
            case unknown:
                raise ValueError(f"unknown op {unknown!r}")

    def _tell_of_state(self) -> None:
        for client in self.clients.values():
            if client.watching:
                client.answer({"event": "state"})

    def _tell_of_log(self, *clients: Client) -> None:
        """Once per question, so that a flood of output is not a flood of packets."""
        for client in clients or self.clients.values():
            if client.armed:
                client.armed = False
                client.answer({"event": "log"})

    # --- the workload ------------------------------------------------------------------------------------------------

    def _start(self, client: Client, start: Start) -> None:
        if self.workload.pid:
            raise RuntimeError("the workload already runs; stop it first")
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        reason = self.workload.start(start, write)
        os.close(write)
        self.output = read
        self.selector.register(read, selectors.EVENT_READ, self._drain)
        if reason:
            self._close_output()
        client.answer({"reason": reason})
        self._tell_of_state()

    def _stop(self, client: Client, grace_ms: int) -> None:
        if not self.workload.pid:
            client.answer({})
            return
        client.stopping = True
        os.killpg(self.workload.pid, signal.SIGTERM)
        self.kill_at = time.monotonic() + grace_ms / 1000

    def _session_on_terminal(self, client: Client, argv: list[str], columns: int, rows: int) -> None:
        master, slave = open_terminal(columns, rows, self.plan.uid, self.plan.gid)
        try:
            client.pid = self._beside(argv, Streams(stdin=slave, stdout=slave, stderr=slave, terminal=True))
            client.answer({"began": ""}, (master,))
        finally:
            os.close(slave)
            os.close(master)

    def _beside(self, argv: list[str], streams: Streams) -> int:
        if sum(client.pid > 0 for client in self.clients.values()) >= SESSIONS_MAX:
            raise RuntimeError(f"{SESSIONS_MAX} commands run beside the workload already")
        return spawn_beside(self.plan, self.workload.beside(argv, streams.terminal), streams)

    def _drain(self) -> bool:
        """Output to the log. True at its end, which the loop may have found already in this same turn."""
        if self.output < 0:
            return True
        for _ in range(DRAIN_SPLICES_MAX):
            try:
                if not self.log.take(self.output):
                    self._close_output()
                    return True
            except BlockingIOError:
                break
        self._tell_of_log()
        return False

    def _close_output(self) -> None:
        self.selector.unregister(self.output)
        os.close(self.output)
        self.output = -1
        self._tell_of_log()

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wakeup, 512):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.workload.pid:
                self._workload_ended(status)
            else:
                self._session_ended(pid, status)

    def _workload_ended(self, status: int) -> None:
        self.kill_at = 0.0
        kill_all()
        with contextlib.suppress(ChildProcessError):
            while True:  # all are killed: this ends with the last of them
                self._session_ended(*os.waitpid(-1, 0))
        while self.output >= 0 and not self._drain():
            pass
        self.workload.ended(status)
        for client in self.clients.values():
            if client.stopping:
                client.stopping = False
                client.answer({})
        self._tell_of_state()

    def _session_ended(self, pid: int, status: int) -> None:
        for client in self.clients.values():
            if client.pid == pid:
                client.pid = 0
                code = os.waitstatus_to_exitcode(status)
                client.answer({"exit_code": 128 - code if code < 0 else code})


def _read(fd: int) -> Any:
    with open(fd, "rb", closefd=False) as file:
        file.seek(0)
        return json.load(file)
