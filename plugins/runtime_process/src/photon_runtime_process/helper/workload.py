"""The workload's life inside its sandbox, as the helper knows it and writes it down.

    (none) --start--> running --exit--> exited --start--> running …
               \\--cannot--> failed --start--> running …

Only the agent starts: whether and when a dead workload comes back is its decision. When the main process ends, all
others in the sandbox are killed, as they would be if it were process 1 of a container.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import termios
import time
from dataclasses import asdict, dataclass, replace

from photon_runtime_process.helper import drop, linux
from photon_runtime_process.helper.plan import WORK_PATH, WORKLOAD_FILE, Plan, write_json
from photon_runtime_process.helper.session import TERMINAL_NAME

REASON_CHARS_MAX = 300
"""The agent gets it in one packet, in which JSON may write 12 bytes for a character; people need no more."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit codes that a shell gives for a command that it cannot find, and for one that it cannot execute."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Life:
    """What `workload.json` says. `state` is a word of photon_core.api.runtime.InstanceState."""

    state: str
    spec_digest: str = ""
    exit_code: int | None = None
    reason: str = ""
    since_ms: int = 0
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class Start:
    """What to run. `limits` are names of resource.RLIMIT_* with their values."""

    argv: list[str]
    env: dict[str, str]
    limits: dict[str, int]
    spec_digest: str = ""
    restarts: int = 0


class Workload:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.pid = plan, 0
        self.started: Start | None = None
        self.life = Life(state="sandbox")
        self._record(self.life)

    def start(self, start: Start, output: int) -> str:
        """Output goes to the given pipe. Returns why it could not be started, or nothing."""
        pid, reason = spawn(self.plan, start, output=output)
        self.pid, self.started = pid, start
        self._record(
            Life(
                state="failed" if reason else "running",
                reason=reason,
                since_ms=now_ms(),
                spec_digest=start.spec_digest,
                restarts=start.restarts,
            )
        )
        return reason

    def beside(self, argv: list[str], terminal: bool) -> Start:
        """The same for another command: its environment and limits. RuntimeError while there is no workload."""
        if not self.pid or self.started is None:
            raise RuntimeError("the workload does not run")
        env = {"TERM": TERMINAL_NAME, **self.started.env} if terminal else self.started.env
        return replace(self.started, argv=argv, env=env)

    def ended(self, status: int) -> None:
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        reason = f"killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        exit_code = 128 - code if code < 0 else code
        self._record(replace(self.life, state="exited", exit_code=exit_code, reason=reason, since_ms=now_ms()))

    def _record(self, life: Life) -> None:
        self.life = life
        with contextlib.suppress(OSError):  # a full disk must not end the sandbox; the agent can still ask for it
            write_json(self.plan.folder_fd, WORKLOAD_FILE, asdict(life))


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The standard descriptors of a process. `terminal`: they are one, which becomes its session's own."""

    stdin: int
    stdout: int
    stderr: int
    terminal: bool = False


def spawn(plan: Plan, start: Start, *, output: int) -> tuple[int, str]:
    """The pid of a new process of the workload; or 0 and the reason, in words for the tenant."""
    if not start.argv:
        return 0, "nothing to run: this provider runs a service's command and args, not its image; give a command"
    report_r, report_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        nothing = os.open("/dev/null", os.O_RDONLY)
        _become(plan, start, Streams(stdin=nothing, stdout=output, stderr=output), report_w)
    os.close(report_w)
    with os.fdopen(report_r, "r") as report:
        reason = report.read()
    if reason:
        os.waitpid(pid, 0)
        return 0, reason
    return pid, ""


def spawn_beside(plan: Plan, start: Start, streams: Streams) -> int:
    """The pid of a command beside the workload. What keeps it from starting it says itself, as a shell would."""
    pid = os.fork()
    if pid == 0:
        _become(plan, start, streams, None)
    return pid


def _become(plan: Plan, start: Start, streams: Streams, report: int | None) -> None:
    """In the child: never returns. The report pipe closes by itself when exec succeeds; without one a line on the
    process' own stderr says why it did not.
    """
    code = NOT_FOUND
    try:
        for source, target in ((streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)):
            os.dup2(source, target)
        linux.close_all_but(0, 1, 2, *([] if report is None else [report]))
        drop.become_workload(plan, start.limits)
        if streams.terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(WORK_PATH)
        env = {"PATH": DEFAULT_PATH, "HOME": WORK_PATH, "LANG": "C.UTF-8", **start.env}
        os.execvpe(start.argv[0], start.argv, env)  # noqa: S606 - that is what this module is for
    except BaseException as problem:  # noqa: BLE001 - a forked child must not run on as a second helper
        code = NOT_FOUND if getattr(problem, "errno", None) == errno.ENOENT else NOT_EXECUTABLE
        why = _why(start, problem)[:REASON_CHARS_MAX]
        target, words = (2, f"photon: {why}\n") if report is None else (report, why)
        os.write(target, words.encode(errors="replace"))
    finally:
        os._exit(code)


def _why(start: Start, problem: BaseException) -> str:
    name = start.argv[0]
    match getattr(problem, "errno", None):
        case errno.ENOENT if "/" not in name:
            return f"command {name!r} was not found in PATH={start.env.get('PATH', DEFAULT_PATH)}"
        case errno.ENOENT:
            return f"command {name!r} does not exist here, or its interpreter does not"
        case errno.EACCES:
            return f"command {name!r} may not be executed"
        case errno.ENOEXEC:
            return f"command {name!r} is not a program: a script begins with #! and its interpreter"
        case _:
            return f"command {name!r} could not be started: {problem}"


def kill_all() -> None:
    """Everything in the sandbox but the helper, which as process 1 is spared by kill(-1)."""
    if os.getpid() != 1:
        raise RuntimeError("kill_all outside a PID namespace would kill the host's processes")
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
