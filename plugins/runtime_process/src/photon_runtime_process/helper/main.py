"""From the agent's child to process 1 of a sandbox: P0, C and P1 of the package's theory of operation.

    P0                         C                        P1
    fork ───────────────────►  unshare(user)
       ◄─────────────── "map"
    writes the id maps
       "go" ─────────────────► unshare(the others)
                               fork ──────────────────► builds its file tree
       ◄─────────────── "pid"  ends
       ◄────────────────────────────────────── "ready"
    writes sandbox.json
       "go" ──────────────────────────────────────────► serves
    prints, ends

P0 prints one line of JSON: `{"pid", "start_time"}` or `{"error", "step"}`. The order matters where somebody may be
killed in between: who the helper is stands in `sandbox.json` before P1 is let go, and P1 ends if P0 died before that.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from typing import Any

from photon_runtime_process.helper import drop, isolate, linux, rootfs
from photon_runtime_process.helper.log import LogWriter
from photon_runtime_process.helper.plan import STATE_FILE, Plan, start_time, write_json
from photon_runtime_process.helper.serve import Server

ERRORS_FILE = "helper.err"
PACKET_MAX = 4096


class Failed(Exception):
    """A step on the way into the sandbox that the kernel, or this host, does not allow."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(step, why)
        self.step, self.why = step, why


class Line:
    """One end of the conversation between P0 and its children. Hearing nothing more is a failure of its own."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def say(self, **value: object) -> None:
        self._end.send(json.dumps(value).encode())

    def hear(self) -> dict[str, Any]:
        packet = self._end.recv(PACKET_MAX)
        if not packet:
            raise Failed("start", "a process of the helper died without a word")
        value: dict[str, Any] = json.loads(packet)
        if "error" in value:
            raise Failed(value["step"], value["error"])
        return value

    def close(self) -> None:
        self._end.close()


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    for fd in (plan.folder_fd, plan.listener_fd):  # they came by way of exec, and must not go on by it
        os.set_inheritable(fd, False)
    os.fchdir(plan.folder_fd)  # unshare(2) takes the current directory along into the new mount namespace, no open file
    outer, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        outer.close()
        _inside(plan, Line(inner))
    inner.close()
    try:
        pid = _outside(plan, child, Line(outer))
        answer: dict[str, object] = {"pid": pid, "start_time": start_time(pid)}
    except (Failed, OSError) as problem:
        failed = problem if isinstance(problem, Failed) else Failed("start", str(problem))
        answer = {"error": failed.why, "step": failed.step}
    outer.close()
    os.waitpid(child, 0)
    print(json.dumps(answer), flush=True)  # noqa: T201 - the agent reads it


def _outside(plan: Plan, child: int, line: Line) -> int:
    """P0. Returns P1's pid as it is seen from here."""
    if plan.user_namespace:
        line.hear()
        try:
            isolate.map_ids(plan, child)
        except OSError as problem:
            raise Failed("user namespace", str(problem)) from None
        line.say()
    known: dict[str, Any] = {}
    while not {"pid", "ready"} <= known.keys():  # C and P1 speak at once
        known |= line.hear()
    pid = int(known["pid"])
    if not plan.probe:
        write_json(plan.folder_fd, STATE_FILE, {"label": plan.label, "pid": pid, "start_time": start_time(pid)})
        line.say()
    return pid


def _inside(plan: Plan, line: Line) -> None:
    """C, and then P1. Never returns."""
    step = "user namespace"
    try:
        if plan.user_namespace:
            linux.unshare(linux.CLONE_NEWUSER)
            line.say()
            line.hear()
        step = "namespaces"
        linux.unshare(isolate.OTHERS)
        child = os.fork()
        if child:
            line.say(pid=child)
            os._exit(0)
        step = "file tree"
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        _enter(plan)
        step = "serve"
        line.say(ready=True)
        line.hear()  # a probe hears nothing, and ends here
        line.close()
        gc.collect()
        gc.freeze()
        Server(plan, LogWriter(plan.folder_fd, plan.log_bytes)).forever()
    except Failed:
        pass  # P0 is gone, or has refused and knows why
    except BaseException as problem:  # noqa: BLE001 - this process must not run on as a second P0
        _report(line, step, problem)
    finally:
        os._exit(1)


def _enter(plan: Plan) -> None:
    errors = os.open(ERRORS_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=plan.folder_fd)
    nothing = os.open("/dev/null", os.O_RDWR)
    for source, target in ((nothing, 0), (nothing, 1), (errors, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(errors)
    os.setsid()
    drop.ordinary_group(plan)
    linux.new_session_keyring()
    linux.sethostname(plan.label)
    isolate.loopback_up()
    rootfs.enter(plan)
    isolate.settle(plan)


def _report(line: Line, step: str, problem: BaseException) -> None:
    try:
        line.say(error=f"{problem}"[:1000], step=step)
    except OSError:  # already serving: then the file is the only one who listens
        import traceback  # noqa: PLC0415 - not loaded in the healthy case

        traceback.print_exception(problem)
