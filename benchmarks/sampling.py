"""Where a process spends its CPU: stacks sampled by a timer that runs on CPU time, and each thread's share.

SIGPROF comes every few milliseconds of CPU that any thread uses; its handler runs on the main thread and looks at all
of them. Threads that wait are left out; when several do not, each gets its part of the sample. So C code that releases
the interpreter (signatures, disks) counts for the Python line that called it, and the loop's waiting for nothing. Which
threads really ran is told apart, by the kernel's own accounts.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

SAMPLE_EVERY_S = 0.004
"""Of CPU time: about the kernel's own tick."""
WAITING = frozenset({"get_events", "_work", "wait", "_worker", "select"})
"""Python functions that a thread is in while it waits: trio's loop, its worker threads, the standard library's."""
LISTED = 60


class Sampler:
    """Writes to `path` a table of functions, and beside it (`.folded`) whole stacks, as flame graph tools read them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stacks: Counter[tuple[str, ...]] = Counter()
        self._threads: Counter[str] = Counter()
        self._before: dict[str, int] = {}

    def start(self) -> None:
        """On the main thread."""
        self._before = _thread_cpu_ns()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY_S, SAMPLE_EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        for thread, used_ns in _thread_cpu_ns().items():
            name = "main thread" if thread == str(threading.main_thread().native_id) else "worker threads"
            self._threads[name] += used_ns - self._before.get(thread, 0)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._table())
        folded = "".join(f"{';'.join(stack)} {weight}\n" for stack, weight in sorted(self._stacks.items()))
        self.path.with_suffix(".folded").write_text(folded)

    def _sample(self, _number: int, interrupted: FrameType | None) -> None:
        frames = dict(sys._current_frames())  # noqa: SLF001  # the documented way to see all threads
        if interrupted is not None:
            frames[threading.get_ident()] = interrupted
        busy = [stack for stack in map(_stack_of, frames.values()) if stack[-1].rpartition(":")[2] not in WAITING]
        for stack in busy:
            self._stacks[stack] += 12 // len(busy)

    def _table(self) -> str:
        total = sum(self._stacks.values()) or 1
        own: Counter[str] = Counter()
        below: Counter[str] = Counter()
        for stack, weight in self._stacks.items():
            own[stack[-1]] += weight
            for name in set(stack):
                below[name] += weight
        lines = [f"{name}: {used_ns / 1e9:.2f} s of CPU" for name, used_ns in self._threads.most_common()]
        for title, found in (("with what they call", below), ("themselves", own)):
            lines += ["", f"functions, {title}"]
            lines += [f"{100 * weight / total:6.1f} %  {name}" for name, weight in found.most_common(LISTED)]
        return "\n".join(lines) + "\n"


def _stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """Outermost first."""
    found = []
    while frame is not None:
        found.append(_name_of(frame.f_code))
        frame = frame.f_back
    return tuple(reversed(found))


@cache  # a sample must cost little of what it counts
def _name_of(code: CodeType) -> str:
    """`file:function`, the file with its folder."""
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_name}"


def _thread_cpu_ns() -> dict[str, int]:
    used = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            used[task.name] = int((task / "schedstat").read_text("ascii").split()[0])
        except OSError:  # it has ended meanwhile
            continue
    return used
