"""Where a process spends its CPU: stacks sampled by a timer that runs on CPU time, weighed by the kernel's accounts.

SIGPROF comes every few milliseconds of CPU that any thread uses; its handler runs on the main thread and looks at all
of them. The CPU that a thread has used since the last look counts for where it is now: so a thread that waits for a
disk counts for little, and C code that releases the interpreter (signatures) for the Python line that called it. A
thread that had done its job by then counts for its waiting (`_work`), and the loop for `get_events`.
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
LISTED = 60


class Sampler:
    """Writes to `path` a table of functions, and beside it (`.folded`) whole stacks, as flame graph tools read them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stacks: Counter[tuple[str, ...]] = Counter()
        """Nanoseconds of CPU."""
        self._threads: Counter[str] = Counter()
        self._used: dict[threading.Thread, int] = {}
        """Nanoseconds of CPU that each had used when it was last looked at."""

    def start(self) -> None:
        """On the main thread."""
        self._used = {thread: _cpu_ns(thread) for thread in threading.enumerate()}
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY_S, SAMPLE_EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._table())
        folded = "".join(f"{';'.join(stack)} {weight}\n" for stack, weight in sorted(self._stacks.items()))
        self.path.with_suffix(".folded").write_text(folded)

    def _sample(self, _number: int, interrupted: FrameType | None) -> None:
        frames = dict(sys._current_frames())  # noqa: SLF001  # the documented way to see all threads
        if interrupted is not None:
            frames[threading.get_ident()] = interrupted
        for thread in threading.enumerate():
            used_ns = _cpu_ns(thread)
            fresh_ns = used_ns - self._used.get(thread, 0)
            self._used[thread] = used_ns
            if fresh_ns > 0 and thread.ident in frames:
                self._stacks[_stack_of(frames[thread.ident])] += fresh_ns
                main = thread is threading.main_thread()
                self._threads["main thread" if main else "worker threads"] += fresh_ns

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


def _cpu_ns(thread: threading.Thread) -> int:
    try:
        return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text("ascii").split()[0])
    except OSError:  # not begun, or ended meanwhile
        return 0
