"""`photon exec` as a command line: what it makes of its words, its terminal, its exit code."""

import json
import os
import pty
import signal
import termios
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from click.testing import CliRunner

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.ids import LeaseId
from photon_core.api.runtime import ExecOutput, ExecStream, TerminalSize
from photon_core.cli import exec as exec_module
from photon_core.cli import main, screen
from photon_core.cli.tenancy import Place


class Session:
    """What a tenant has of a command: it says `pieces` and ends with `code`."""

    def __init__(self, pieces, code):
        self.pieces, self.code = list(pieces), code
        self.written, self.sizes, self.ended = [], [], False

    async def read(self):
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else None

    def exit_code(self):
        return self.code

    async def write(self, data):
        self.written.append(data)

    async def end_input(self):
        self.ended = True

    async def resize(self, size):
        self.sizes.append(size)


class Tenant:
    """`asked`: what `exec` was asked for."""

    def __init__(self, *pieces, code=0, deployments=(17,)):
        self.session, self.deployments, self.asked = Session(pieces, code), deployments, []

    async def list(self):
        return [type("Detail", (), {"deployment": type("Deployment", (), {"id": n})}) for n in self.deployments]

    async def active_lease(self, deployment, service):
        if deployment not in self.deployments:
            raise PhotonError(code="no-lease", what="no lease", exit_code=ExitCode.NOT_FOUND)
        return LeaseId(deployment, 0, 0)

    @asynccontextmanager
    async def exec(self, lease, command, *, service, ordinal, terminal):
        self.asked.append((str(lease), service, ordinal, command, terminal))
        yield self.session


@pytest.fixture
def run(monkeypatch):
    def go(tenant, *arguments):
        monkeypatch.setattr(Place, "unlock", lambda self, key, passphrase_file: None)
        monkeypatch.setattr(Place, "run_as_tenant", lambda self, key, work: trio.run(work, tenant))
        shown = []

        async def show(piece):
            shown.append((piece.stream.value, piece.data))

        monkeypatch.setattr(screen, "write_out", show)
        result = CliRunner().invoke(main, ["exec", *map(str, arguments)])
        result.shown = shown
        return result

    return go


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("17", "web"), ("17/0/0", "web", 0)),
        (("17", "web/2"), ("17/0/0", "web", 2)),
        (("17", "web", "--instance", "2"), ("17/0/0", "web", 2)),
        (("17/1/3", "web"), ("17/1/3", "web", 0)),
        (("17",), ("17/0/0", "", 0)),
        (("web",), ("17/0/0", "web", 0)),
        (("web/1",), ("17/0/0", "web", 1)),
    ],
)
def test_words_before_the_dashes_say_where(run, words, asked):
    tenant = Tenant()
    result = run(tenant, *words, "--no-input", "--", "sh", "-c", "echo --output json -- $1")
    assert result.exit_code == 0, result.output
    assert tenant.asked == [(*asked, ("sh", "-c", "echo --output json -- $1"), None)]
    assert tenant.session.ended, "without input the command reads the end of a file"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("17", "web"), "say what to run behind --"),
        (("17", "web", "--"), "say what to run behind --"),
        (("--", "sh"), "name a deployment, a service, or both"),
        (("1", "2", "3", "--", "sh"), "name a deployment, a service, or both"),
        (("x", "web", "--", "sh"), "17/0/1"),
        (("17", "web/x", "--", "sh"), "no instance such as web/1"),
        (("17", "web/1", "--instance", "2", "--", "sh"), "say one of them"),
        (("17", "web", "-t", "--output", "json", "--", "sh"), "a document is not a screen"),
    ],
)
def test_words_that_cannot_be(run, words, says):
    result = run(Tenant(), *words)
    assert result.exit_code == 2
    assert says in result.output


def test_a_deployment_is_only_guessed_when_there_is_one(run):
    several = run(Tenant(deployments=(17, 18)), "web", "-n", "--", "sh")
    assert several.exit_code == 2
    assert "17, 18" in several.output
    assert run(Tenant(deployments=()), "web", "-n", "--", "sh").exit_code == 3


def test_streams_stay_apart_and_the_exit_code_is_the_commands(run):
    pieces = ExecOutput(ExecStream.STDOUT, b"out\xff"), ExecOutput(ExecStream.STDERR, b"err")
    result = run(Tenant(*pieces, code=42), "17", "web", "-n", "--", "x")
    assert result.exit_code == 42
    assert result.shown == [("stdout", b"out\xff"), ("stderr", b"err")]


def test_a_document_has_both_streams_bounded(run, monkeypatch):
    monkeypatch.setattr(exec_module, "JSON_BYTES_MAX", 5)
    pieces = [ExecOutput(ExecStream.STDOUT, b"1234"), ExecOutput(ExecStream.STDOUT, b"5678")]
    pieces.append(ExecOutput(ExecStream.STDERR, b"\xff"))
    result = run(Tenant(*pieces, code=3), "17", "web", "-n", "--output", "json", "--", "x")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"exit_code": 3, "stdout": "12345", "stderr": "\ufffd", "truncated": True}


def test_a_terminal_can_be_demanded_where_there_is_none(run):
    tenant = Tenant()
    assert run(tenant, "17", "web", "-t", "-n", "--", "sh").exit_code == 0
    assert tenant.asked[0][-1] is not None


def test_help_teaches_by_example():
    shown = CliRunner().invoke(main, ["exec", "--help"]).stdout
    assert "[ID] SERVICE -- COMMAND..." in shown
    assert "photon exec 17 web -- sh" in shown


# --- the person's own terminal ----------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch):
    master, slave = pty.openpty()
    monkeypatch.setattr(screen, "STDIN", slave)
    yield master, slave
    os.close(master)
    os.close(slave)


class Broken(Exception):
    pass


def test_a_terminal_is_raw_for_a_while_and_then_what_it_was(terminal):
    _, slave = terminal
    before = termios.tcgetattr(slave)
    with screen.raw(slave):
        assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert termios.tcgetattr(slave) == before


async def test_keys_go_to_the_command_and_a_signal_ends_it_with_the_terminal_given_back(terminal):
    master, slave = terminal
    before = termios.tcgetattr(slave)

    class Shell(Session):
        async def read(self):
            await trio.sleep_forever()

        async def write(self, data):
            self.written.append(data)
            os.kill(os.getpid(), signal.SIGWINCH)

        async def resize(self, size):
            self.sizes.append(size)
            os.kill(os.getpid(), signal.SIGTERM)

    shell, codes = Shell((), 0), []
    shell.read = trio.sleep_forever
    async with trio.open_nursery() as nursery:

        async def talk():
            codes.append(await screen.converse(shell, terminal=True, with_input=True))

        nursery.start_soon(talk)
        await trio.testing.wait_all_tasks_blocked()
        os.write(master, b"\x03")
    assert shell.written == [b"\x03"], "Ctrl-C is a key like others"
    assert len(shell.sizes) == 1
    assert isinstance(shell.sizes[0], TerminalSize)
    assert codes == [128 + signal.SIGTERM]
    assert termios.tcgetattr(slave) == before


async def test_a_link_that_breaks_gives_the_terminal_back(terminal):
    _, slave = terminal
    before = termios.tcgetattr(slave)

    class Cut(Session):
        async def read(self):
            await trio.lowlevel.checkpoint()
            raise Broken

    with pytest.raises(BaseExceptionGroup):
        await screen.converse(Cut((), 0), terminal=True, with_input=True)
    assert termios.tcgetattr(slave) == before


async def test_a_file_is_read_to_its_end(tmp_path, monkeypatch):
    path = tmp_path / "input"
    path.write_bytes(b"x" * (screen.READ_BYTES + 1))
    with path.open("rb") as file:
        monkeypatch.setattr(screen, "STDIN", file.fileno())
        talk = screen._Talk(Session((), 0), terminal=False)
        await talk.feed()
    assert b"".join(talk._session.written) == path.read_bytes()
    assert talk._session.ended
