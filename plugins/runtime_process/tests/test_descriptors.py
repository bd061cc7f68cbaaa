"""What a process of the workload has open when it begins: its input, its output, and nothing of the helper's.

An open folder of the host would undo the file tree, an open control socket would let the workload answer the agent.
"""

from __future__ import annotations

import os

import pytest

from photon_core.api.runtime import TerminalSize
from photon_core.testing.checks.runtime_kit import FOREVER, RuntimeKit, run_beside, said
from photon_runtime_process.helper.redirect import run_tool

LIST_OPEN = "ls /proc/$$/fd; true"
"""`true`: a shell becomes its last command instead of starting it."""
STANDARD = b"0\n1\n2\n"


async def test_a_workload_and_a_command_beside_it_begin_with_standard_descriptors_only(kit: RuntimeKit) -> None:
    spec = kit.spec("web", f"{LIST_OPEN}; echo DONE; {FOREVER}")
    async with kit.leased(spec) as runtime:
        assert await said(runtime, spec.id, b"DONE\n") == STANDARD + b"DONE\n"
        for _ in range(2):  # what the first request left behind would show in the second
            assert (await run_beside(runtime, spec.id, LIST_OPEN, given=b"input")).output == STANDARD
            on_terminal = await run_beside(runtime, spec.id, LIST_OPEN, terminal=TerminalSize(columns=80, rows=24))
            assert on_terminal.output.split() == STANDARD.split()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a network tool is given power over the network")
def test_a_network_tool_begins_with_standard_descriptors_only() -> None:
    left_open, other = os.pipe()
    try:
        os.set_inheritable(left_open, True)
        complaint = run_tool(("/bin/sh", "-c", f"{LIST_OPEN}; exit 1"), "rules")
    finally:
        os.close(left_open)
        os.close(other)
    assert complaint == "/bin/sh: 0\n1\n2"
