"""What a tenant sees and does in a running deployment: a shell by a real terminal, logs through restarts, events."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio
from harness import PHOTON, ROOT, Network, endpoints_of, eventually

from photon_core.cli.frame.session import HOME
from photon_core.cli.tenancy import NETWORK
from photon_core.peers.methods import EventKind

TICKING = """\
version: "2.0"
services:
  web:
    image: photon.test/ticks:1
    command: [sh, -c]
    args:
      - |
        python3 -m http.server 8080 > /dev/null 2>&1 &
        while :; do
          n=$(($(cat ticks || echo 0) + 1)); echo $n > ticks; echo tick $n
          test ! -e die || { rm die; exit 5; }
          sleep 0.2
        done
    expose: [{port: 8080, as: 80, to: [{global: true}]}]
profiles:
  compute: {small: {resources: {cpu: {units: 0.1}, memory: {size: 128Mi}, storage: {size: 64Mi}}}}
  placement: {anywhere: {pricing: {small: {denom: uptn, amount: 1000}}}}
deployment: {web: {anywhere: {profile: small, count: 1}}}
"""
PATIENT = {"reconfirmation_period_ms": 120_000}
"""A provider may be away for a while without losing its lease."""
WAIT_S = 40.0


class Screen:
    """A `photon …` on a terminal of its own, as a person has it."""

    def __init__(self, network: Network, *arguments: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(PHOTON, [PHOTON, *arguments], environment(network))
        self.resize(99, 33)
        self.before = termios.tcgetattr(self._fd)
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        """The kernel tells the foreground process, as when a window is drawn larger."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._fd, text)

    def until(self, what: bytes) -> bytes:
        """What was shown up to that, since the last time."""
        deadline = time.monotonic() + WAIT_S
        while what not in self.seen:
            readable, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"not within {WAIT_S} s: {what!r}; shown: {self.seen!r}"
            try:
                self.seen += os.read(self._fd, 65_536)
            except OSError:
                raise AssertionError(f"it ended before {what!r}; shown: {self.seen!r}") from None
        shown, _, self.seen = self.seen.partition(what)
        return shown + what

    def exit_code(self) -> int:
        with suppress(OSError):  # EIO: nobody has the terminal any more
            while os.read(self._fd, 65_536):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    @property
    def mode(self) -> list[object]:
        return list(termios.tcgetattr(self._fd))

    def close(self) -> None:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@contextmanager
def screen(network: Network, *arguments: str) -> Iterator[Screen]:
    made = Screen(network, *arguments)
    try:
        yield made
    finally:
        made.close()


def environment(network: Network) -> dict[str, str]:
    """That of a tenant's terminal: the network says which home."""
    return {**{name: value for name, value in os.environ.items() if name != HOME}, NETWORK: str(network.folder)}


def photon(network: Network, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [PHOTON, *arguments]
    return subprocess.run(command, input=given, capture_output=True, env=environment(network), check=False, cwd=ROOT)


def following(network: Network, deployment: int, out: Path, notes: Path) -> subprocess.Popen[bytes]:
    with out.open("wb") as stdout, notes.open("wb") as stderr:
        return subprocess.Popen(
            [PHOTON, "logs", "-f", str(deployment)], stdout=stdout, stderr=stderr, env=environment(network)
        )


async def serve_ticks(network: Network, folder: Path) -> int:
    file = folder / "ticks.yml"
    file.write_text(TICKING)
    async with network.tenant() as tenant:
        deployment = await tenant.deploy(await tenant.plan(file))
        async with tenant.following(deployment):
            await endpoints_of(tenant, deployment)
        return deployment


@pytest.mark.slow
async def test_a_shell_by_a_real_terminal_and_commands_without_one(
    new_network: Callable[..., Network], tmp_path: Path
) -> None:
    network = new_network()
    deployment = str(await serve_ticks(network, tmp_path))

    with screen(network, "exec", deployment, "web", "--", "sh") as shell:
        shell.until(b"$ ")
        assert shell.mode != shell.before, "raw, while the shell has it"
        shell.type(b"tty; stty size; echo 'on'e\r")
        assert b"/dev/pts/0\r\n33 99\r\n" in shell.until(b"one\r\n")
        shell.resize(132, 50)
        shell.type(b"until stty size | grep 132; do sleep 0.1; done; echo 'tw'o\r")
        assert b"50 132\r\n" in shell.until(b"two\r\n")
        shell.type(b"cat\rechoed twice\r")
        shell.until(b"echoed twice\r\nechoed twice\r\n")
        shell.type(b"\x03")  # interrupts cat, neither shell nor photon
        shell.until(b"$ ")
        shell.type(b"echo 'thre'e\r")
        shell.until(b"three\r\n")
        shell.type(b"exit 42\r")
        assert shell.exit_code() == 42
    with screen(network, "exec", deployment, "web", "--", "sh") as shell:
        shell.until(b"$ ")
        os.kill(shell.pid, signal.SIGTERM)
        await eventually(lambda: _now(shell.mode), lambda mode: mode == shell.before)
        assert shell.exit_code() == 128 + signal.SIGTERM

    done = photon(network, "exec", "web", "--", "sh", "-c", "cat; echo aside >&2; exit 9", given=b"given")
    assert (done.returncode, done.stdout, done.stderr) == (9, b"given", b"aside\n")
    unknown = photon(network, "exec", deployment, "web", "--output", "json", "--", "no-such-command")
    document = json.loads(unknown.stdout)
    assert (unknown.returncode, document["exit_code"], document["stdout"]) == (127, 127, "")
    assert "no-such-command" in document["stderr"]
    assert photon(network, "exec", deployment, "nope", "--", "true").returncode == 3
    async with network.tenant() as tenant:
        await tenant.close(int(deployment))


@pytest.mark.slow
async def test_logs_are_followed_through_restarts_and_events_say_what_happened(
    new_network: Callable[..., Network], tmp_path: Path
) -> None:
    """Each tick has its own number: none is missing and none comes twice."""
    network = new_network(parameters=PATIENT)
    deployment = await serve_ticks(network, tmp_path)
    followed = tmp_path / "followed"
    follower = following(network, deployment, followed, tmp_path / "notes")
    try:
        await more_ticks(followed)
        async with network.tenant() as tenant:
            lease = await tenant.active_lease(deployment)
            async with tenant.exec(lease, ("touch", "die")) as session:
                while await session.read() is not None:
                    pass
            await eventually(lambda: tenant.courier.events(lease), lambda events: of_kind(events, EventKind.RESTARTED))
        await more_ticks(followed)

        providers = network.members("provider")
        (holder,) = [name for name in providers if (network.folder / name / "provider/events").exists()]
        network.kill(holder)
        network.start_again(holder)
        await more_ticks(followed)
        ticks = ticks_in(followed)
        assert ticks == list(range(1, len(ticks) + 1))

        async with network.tenant() as tenant:
            events = await tenant.courier.events(lease)
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
            (ended,) = of_kind(events, EventKind.EXITED)
            assert (ended.service, ended.ordinal, ended.text) == ("web", 0, "exited with code 5")
            listed = json_lines(photon(network, "events", str(deployment), "--output", "json"))
            what = [each["what"] for each in listed]
            assert what.index("leased") < what.index("manifest-taken") < what.index("exited") < what.index("restarted")
            await tenant.close(deployment)
        assert await trio.to_thread.run_sync(follower.wait, WAIT_S) == 0
        notes = (tmp_path / "notes").read_text()
        assert "the provider does not answer; trying again" in notes
        assert notes.rstrip().endswith(f"deployment {deployment} is closed")
    finally:
        follower.kill()
        follower.wait()


async def more_ticks(path: Path) -> None:
    """Waits for some that were not there."""
    now = len(ticks_in(path))
    await eventually(lambda: _now(len(ticks_in(path))), lambda count: count > now + 3)


def ticks_in(path: Path) -> list[int]:
    lines = path.read_text().splitlines()
    return [int(line.split()[-1]) for line in lines if line.startswith("web/0  tick ") and line.split()[-1].isdigit()]


def of_kind(events: tuple, kind: EventKind) -> list:
    return [event for event in events if event.kind is kind]


def json_lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def _now(value: object) -> object:
    return value
