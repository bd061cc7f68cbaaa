"""Starting nft or iptables inside the sandbox: with power over its network, and nothing else of the helper's."""

from __future__ import annotations

import os

from photon_runtime_process.helper import drop, linux
from photon_runtime_process.helper.workload import DEFAULT_PATH


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
