"""Ends every sandbox below a folder, whoever made it and whether or not an agent is left: `sweep(home)`, or

    python -m photon_runtime_process.sweep HOME...

`photon up` does it when it stops, and before it starts in a folder that a killed one left. It asks nobody, it kills;
the folders stay for the next agent, or for whoever deletes the whole home. Needs no event loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from photon_runtime_process.folder import SANDBOXES, Folder
from photon_runtime_process.helper.plan import STATE_FILE
from photon_runtime_process.sandbox import kill_now

KILLED_WITHIN_S = 10.0
"""SIGKILL takes effect at once; longer takes only a process that hangs in a broken disk or driver."""


def sweep(home: Path) -> int:
    """How many were killed. OSError when one may not be killed or does not die."""
    killed = 0
    for folder in _folders(home):
        helper = folder.helper()
        if helper:
            if not kill_now(helper, KILLED_WITHIN_S):
                raise TimeoutError(f"process {helper.pid} of {folder.path} did not die within {KILLED_WITHIN_S} s")
            killed += 1
    return killed


def _folders(home: Path) -> Iterator[Folder]:
    """Wherever below `home` a runtime keeps them. What workloads wrote is not searched: they could lay false tracks."""
    for path, directories, files in os.walk(home):
        if Path(path).parent.name == SANDBOXES:
            directories.clear()
            if STATE_FILE in files:
                yield Folder(Path(path))
        directories.sort()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python -m photon_runtime_process.sweep HOME...")
    killed = sum(sweep(Path(home)) for home in sys.argv[1:])
    print(f"{killed} sandboxes ended")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
