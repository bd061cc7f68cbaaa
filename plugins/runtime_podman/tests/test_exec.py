"""Commands in a container of a real Podman."""

from __future__ import annotations

import threading

import pytest

from photon_core.api.runtime import ExecStream, RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import CannotStart, NoSuchContainer
from photon_runtime_podman.engine import PodmanEngine

from .conftest import running, spec, until

pytestmark = [pytest.mark.engines, pytest.mark.root]

SIZES = ("sh", "-c", "stty size; read go; stty size")


def test_a_command_that_leaves_its_input_ends_like_any_other(engine: PodmanEngine) -> None:
    """Podman's connection is then reset, or says words of Podman's own; by chance, so it is tried some times."""
    container = running(engine)
    for _ in range(6):
        command = engine.exec(container, ("sh", "-c", "echo out; exit 3"), None)
        writer = threading.Thread(target=command.write, args=(bytes(3_000_000),))
        writer.start()
        assert list(iter(command.read, None)) == [(ExecStream.STDOUT, b"out\n")]
        assert command.exit_code() == 3
        writer.join(5)
        assert not writer.is_alive()
        command.close()


def test_a_command_beside_it_has_two_outputs(engine: PodmanEngine) -> None:
    command = engine.exec(running(engine), ("sh", "-c", "cat; echo aside >&2; exit 7"), None)
    command.write(b"given\n")
    command.end_input()
    heard = list(iter(command.read, None))
    assert sorted(heard, key=lambda one: one[0].value) == [
        (ExecStream.STDERR, b"aside\n"),
        (ExecStream.STDOUT, b"given\n"),
    ]
    assert (command.exit_code(), command.pid()) == (7, 0)
    command.write(b"late")
    command.close()
    command.close()


def test_a_command_beside_it_has_a_terminal(engine: PodmanEngine) -> None:
    shell = engine.exec(running(engine), SIZES, TerminalSize(columns=90, rows=30))
    assert shell.read() == (ExecStream.STDOUT, b"30 90\r\n")
    shell.resize(TerminalSize(columns=100, rows=40))
    shell.write(b"\n")
    assert b"40 100\r\n" in b"".join(data for _, data in iter(shell.read, None))
    assert shell.exit_code() == 0
    shell.resize(TerminalSize(columns=1, rows=1))
    shell.close()


def test_a_command_goes_with_its_container(engine: PodmanEngine) -> None:
    container = running(engine)
    command = engine.exec(container, ("sleep", "1000"), None)
    until(lambda: command.pid() > 0)
    engine.remove(container)
    assert command.read() is None
    assert command.pid() == 0
    with pytest.raises(RuntimeFailure, match="is gone"):
        command.exit_code()
    command.close()


@pytest.mark.parametrize("terminal", [None, TerminalSize(columns=90, rows=30)])
@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_executed_is_told(
    engine: PodmanEngine, command: str, code: int, terminal: TerminalSize | None
) -> None:
    with pytest.raises(CannotStart) as told:
        engine.exec(running(engine), (command,), terminal)
    assert (told.value.exit_code, told.value.reason[:5]) == (code, "exec:")
    assert command in told.value.reason
    assert "OCI" not in told.value.reason


def test_a_quick_command_may_end_as_if_there_were_none(engine: PodmanEngine) -> None:
    command = engine.exec(running(engine), ("sh", "-c", "echo Error: mine; exit 127"), None)
    assert list(iter(command.read, None)) == [(ExecStream.STDOUT, b"Error: mine\n")]
    assert command.exit_code() == 127
    command.close()


def test_a_command_beside_nothing(engine: PodmanEngine) -> None:
    with pytest.raises(NoSuchContainer):
        engine.exec("absent", ("true",), None)
    with pytest.raises(NoSuchContainer):
        engine.exec(engine.create(spec()), ("true",), None)
