"""What is granted goes to one listener of the agent, and every other connection is refused: by nft or iptables.

Without either of them the agent listens at each granted target itself, and the kernel refuses the rest unasked. Rules
are written as a whole each time, which both tools do atomically.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from photon_core.api.sandbox_net import RULE_TOOLS, Target, route_everything_to_loopback, rules
from photon_runtime_process.helper import drop, linux
from photon_runtime_process.helper.workload import DEFAULT_PATH


def redirect(port: int, targets: Sequence[Target]) -> str:
    """Why not, or nothing."""
    found = [(name, shutil.which(name, path=DEFAULT_PATH), arguments) for name, arguments in RULE_TOOLS]
    why = "neither nft nor iptables-restore is installed"
    if not any(path for _, path, _ in found):
        return why
    try:
        route_everything_to_loopback()
    except OSError as problem:
        return f"no route: {problem}"
    for name, path, arguments in found:
        if path:
            why = run_tool((path, *arguments), rules(name, port, targets))
            if not why:
                break
    return why


def run_tool(argv: tuple[str, ...], rules: str) -> str:
    """What it complained of, or nothing. It waits: the tools take some milliseconds."""
    stdin, output = os.memfd_create("rules"), os.memfd_create("output")
    try:
        os.write(stdin, rules.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        pid = os.fork()
        if pid == 0:
            _become_tool(argv, stdin, output)
        _, status = os.waitpid(pid, 0)
        said = os.pread(output, 500, 0).decode(errors="replace").strip()
        return "" if status == 0 else f"{argv[0]}: {said or status}"
    finally:
        os.close(stdin)
        os.close(output)


def _become_tool(argv: tuple[str, ...], stdin: int, output: int) -> None:
    """In the child: never returns."""
    try:
        for source, target in ((stdin, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        linux.close_all_but(0, 1, 2)
        drop.become_network_tool()
        env = {"PATH": DEFAULT_PATH, "XTABLES_LOCKFILE": "/run/xtables.lock"}
        os.execve(argv[0], argv, env)  # noqa: S606 - that is what this function is for
    except OSError as problem:
        os.write(2, str(problem).encode())
    finally:
        os._exit(127)
