"""Validators and followers as real processes, with libp2p on loopback and real disks: made, killed, stopped, compared.

    cluster = Cluster(tmp_path)
    try:
        await cluster.make(validators=4, followers=1)
        await cluster.start()
        primary = await cluster.primary()
        primary.kill()
        …
    finally:
        cluster.close()

Ports are chosen once, so that a member that comes back is found where it was. `warm` processes are forked from one that
has imported everything (`warm_photon`); the others are started as an operator would.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import trio
from attrs import define, field, frozen
from warm_photon import WarmPhoton

from photon_core.api.bech32m import encode_address
from photon_core.api.chain import FinalityStatement, Header
from photon_core.api.ids import Address, Hash
from photon_core.chain.genesis import chain_id, load_genesis
from photon_core.node.client import NodeClient, NodeUnreachable
from photon_core.node.views import NodeStatus

PHOTON = str(Path(sys.executable).with_name("photon"))
READY_S = 60.0
"""Starting Python takes a second or two, and much longer beside others."""
LOOK_EVERY_S = 0.02
PORTS_FROM = 20_000
BLOCKS_AT_ONCE = 4
LOG_TAIL_BYTES = 4_000

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Below the range that the system takes outgoing connections from: else one of these, such as a peer's that dials
    a dead member, could hold the port when the member comes back.
    """
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(PORTS_FROM, end)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def figure(text: str) -> None:
    """Something measured: shown with `pytest -s`, and when the test fails."""
    print(text)  # noqa: T201


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], object], within_s: float) -> T:
    """What `look` returns once it is `wanted`; AssertionError with what it was last. A node may be away meanwhile."""
    found: object = "nothing"
    with trio.move_on_after(within_s):
        while True:
            with suppress(NodeUnreachable, httpx.TransportError):
                found = now = await look()
                if wanted(now):
                    return now
            await trio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"not within {within_s} s; at last: {found}")


class Process(Protocol):
    """`stdout` is a file descriptor. What `warm_photon.WarmProcess` is as well."""

    pid: int
    stdout: int

    def wait(self) -> int: ...


class ColdProcess:
    """A `photon …` as an operator starts it."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        read, write = os.pipe()
        with log.open("ab") as errors:
            self._popen = subprocess.Popen([PHOTON, *arguments], stdin=subprocess.DEVNULL, stdout=write, stderr=errors)
        os.close(write)
        self.pid, self.stdout = self._popen.pid, read

    def wait(self) -> int:
        return self._popen.wait()


@frozen
class Ended:
    """A command that is over. Its last document is what `--output json` printed."""

    code: int
    document: dict[str, Any]


@define
class Member:
    """A node's home, and the process that runs from it, if one does."""

    name: str
    role: str
    home: Path
    passphrase: Path
    api: str
    listen: str
    warm: WarmPhoton
    facts: dict[str, Any] = field(factory=dict)
    started_at: float = 0.0
    is_paused: bool = False
    is_behind: bool = False
    """It was away, and has not caught up yet."""
    was_away: bool = False
    _process: Process | None = None

    # --- commands ----------------------------------------------------------------------------------------------------

    async def photon(self, *arguments: str) -> Ended:
        """One that ends by itself."""
        process = self.warm.run(self._options(arguments), log=self.log)
        try:
            said = await _read_all(process.stdout)
        except BaseException:
            os.kill(process.pid, signal.SIGKILL)
            raise
        finally:
            os.close(process.stdout)
            code = process.wait()
        return Ended(code, json.loads(said) if said.strip() else {})

    async def must(self, *arguments: str) -> dict[str, Any]:
        done = await self.photon(*arguments)
        assert done.code == 0, f"{self.name}: photon {' '.join(arguments)}: {done.document}"
        return done.document

    def _options(self, arguments: Sequence[str]) -> list[str]:
        options = ["--home", str(self.home), "--output", "json"]
        if arguments[1] in {"init", "start"}:
            options += ["--passphrase-file", str(self.passphrase)]
        return [*arguments, *options]

    @property
    def log(self) -> Path:
        return self.home.parent / f"{self.name}.log"

    @property
    def log_tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    # --- its process -------------------------------------------------------------------------------------------------

    def begin(self, *, warm: bool = False) -> None:
        """`ready` tells when it answers."""
        assert self._process is None, f"{self.name} runs"
        arguments = self._options([self.role, "start"])
        self.started_at = trio.current_time()
        self._process = self.warm.run(arguments, log=self.log) if warm else ColdProcess(arguments, self.log)

    async def ready(self) -> None:
        assert self._process is not None
        said = b""
        with trio.move_on_after(READY_S):
            while b"\n" not in said:
                await trio.lowlevel.wait_readable(self._process.stdout)
                more = os.read(self._process.stdout, 2**16)
                said += more
                if not more:
                    break
        assert said.startswith(b'{"pid"'), f"{self.name} did not start: {said.decode()!r}\n{self.log_tail}"

    async def start(self, *, warm: bool = False) -> None:
        self.begin(warm=warm)
        await self.ready()

    async def refused(self) -> dict[str, str]:
        """Why it does not start."""
        with trio.fail_after(READY_S):
            done = await self.photon(self.role, "start")
        assert done.code != 0
        error: dict[str, str] = done.document["error"]
        return error

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and has not ended by itself."""
        if self._process is None:
            return False
        state = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def pause(self) -> None:
        self.is_paused = self.is_behind = self.was_away = True
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)
        self.is_paused = False

    def stop(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Returns when it is gone, with its exit code."""
        self.is_paused, self.is_behind, self.was_away = False, True, True
        self.send(number)
        process, self._process = self._process, None
        assert process is not None
        code = process.wait()
        os.close(process.stdout)
        return code

    # --- asking it ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://{self.api}"

    def client(self) -> NodeClient:
        return NodeClient(self.url)

    async def status(self) -> NodeStatus:
        async with self.client() as node:
            return await node.status()

    async def balance(self, address: Address) -> int:
        async with self.client() as node:
            return (await node.account(address)).balance_uptn


@frozen
class Final:
    """A block as everybody must have it; who signed its certificate may differ."""

    header: Header
    transactions: tuple[Hash, ...]
    statement: FinalityStatement


class Cluster:
    def __init__(self, folder: Path, *, consensus: str = "pbft", parameters: Sequence[str] = ()) -> None:
        self.folder = folder
        self._consensus, self._parameters = consensus, parameters
        self.warm = WarmPhoton()
        self.validators: list[Member] = []
        self.followers: list[Member] = []
        self.chain_id: Hash = b""
        self._ports: Iterator[int] = iter(())

    @property
    def members(self) -> list[Member]:
        return [*self.validators, *self.followers]

    @property
    def genesis(self) -> Path:
        return self.folder / "genesis.toml"

    async def make(self, *, accounts: Sequence[Address], validators: int = 4, followers: int = 1) -> None:
        """Folders, as their operators would make them."""
        self._ports = iter(free_ports(2 * (validators + followers)))
        passphrase = self.folder / "passphrase"
        passphrase.write_text("not much of a secret\n")
        passphrase.chmod(0o600)
        for number in range(validators):
            member = self._member(f"validator-{number + 1}", "validator")
            member.facts = await member.must("validator", "init", *self._places(member))
            self.validators.append(member)
        cards = itertools.chain.from_iterable(("--validator", member.facts["card"]) for member in self.validators)
        owners = itertools.chain.from_iterable(("--account", f"{encode_address(one)}=1000") for one in accounts)
        changes = itertools.chain.from_iterable(("--parameter", one) for one in self._parameters)
        await self.validators[0].must(
            "genesis", "create", str(self.genesis), "--development", "--consensus", self._consensus,
            *cards, *owners, *changes,
        )  # fmt: skip
        self.chain_id = chain_id(load_genesis(self.genesis))
        for member in self.validators:
            await member.must("validator", "join", str(self.genesis))
        for number in range(followers):
            await self.add_follower(f"follower-{number + 1}")

    async def add_follower(self, name: str) -> Member:
        member = self._member(name, "node")
        peers = ("--peers", str(self.folder / "genesis.peers.toml"))
        member.facts = await member.must("node", "init", "--genesis", str(self.genesis), *peers, *self._places(member))
        self.followers.append(member)
        return member

    def _member(self, name: str, role: str) -> Member:
        api, listen = f"127.0.0.1:{next(self._ports)}", f"/ip4/127.0.0.1/tcp/{next(self._ports)}"
        return Member(name, role, self.folder / name, self.folder / "passphrase", api, listen, self.warm)

    @staticmethod
    def _places(member: Member) -> tuple[str, ...]:
        return ("--key-cost", "interactive", "--api", member.api, "--listen", member.listen)

    async def start(self, *, warm: bool = False) -> None:
        for member in self.members:
            member.begin(warm=warm)
        for member in self.members:
            await member.ready()
            member.is_behind = False

    def close(self) -> None:
        """Nothing of it runs any more, whatever state it was in."""
        for member in self.members:
            if member.runs:
                member.stop()
        self.warm.close()

    # --- looking -----------------------------------------------------------------------------------------------------

    def urls(self) -> list[str]:
        """Where a client does not wait for one that is behind."""
        return [member.url for member in self.living() if not member.is_behind]

    def living(self, besides: Sequence[Member] = ()) -> list[Member]:
        return [member for member in self.members if member.runs and not member.is_paused and member not in besides]

    async def describe(self) -> str:
        """How everybody is, for the messages of failed tests."""
        lines: list[str] = []
        with trio.CancelScope(shield=True):
            for member in self.living():
                try:
                    status = await member.status()
                except (NodeUnreachable, httpx.TransportError) as error:
                    lines.append(f"{member.name}: {error}")
                else:
                    lines.append(
                        f"{member.name}: height {status.height} of {status.best_height}, {status.peers} peers, "
                        f"{status.halted or 'not halted'}, {status.consensus}"
                    )
        return "\n".join(lines)

    async def primary(self) -> Member:
        """Who proposed the newest block. It may be another one a moment later."""
        asked = self.living()[0]
        async with asked.client() as node:
            newest = await eventually(node.block, lambda block: block is not None, READY_S)
        assert newest is not None
        return next(m for m in self.validators if m.facts["consensus_key"] == newest.header.proposer.hex())

    async def caught_up(self, member: Member, within_s: float) -> None:
        """It has what the others had when this was called."""
        top = max([(await other.status()).height for other in self.living(besides=[member])], default=0)
        await eventually(member.status, lambda status: status.height >= top, within_s)
        member.is_behind = False

    async def blocks(self, member: Member, heights: Sequence[int]) -> list[Final]:
        found: dict[int, Final] = {}
        todo = iter(heights)

        async def fetch() -> None:
            async with member.client() as node:
                for height in todo:
                    block = await node.block(height)
                    assert block is not None, f"{member.name} has no block {height}"
                    assert block.certificate is not None, f"{member.name} has no certificate of {height}"
                    found[height] = Final(block.header, block.transaction_ids, block.certificate.statement)

        async with trio.open_nursery() as nursery:
            for _ in range(BLOCKS_AT_ONCE):
                nursery.start_soon(fetch)
        return [found[height] for height in heights]

    async def all_agree(self, within_s: float = 10.0) -> list[Final]:
        """All that run are well, and have the same blocks up to a height that somebody has now, with the same state
        roots, which each computed itself: a node whose own are others halts. The blocks.

        Who was away shows every block; of the others the last is enough, since its hash covers all below it.
        """
        top = max([(await member.status()).height for member in self.living()])
        everything = range(1, top + 1)
        first: list[Final] = []
        for member in self.living():
            status = await eventually(member.status, lambda status: status.height >= top, within_s)
            assert status.halted == "", f"{member.name}: {status.halted}"
            first = first or await self.blocks(member, everything)
            for other in await self.blocks(member, everything if member.was_away else [top]):
                one = first[other.header.height - 1]
                assert one == other, f"{member.name} differs at {one.header.height}:\n{one}\n{other}"
        return first


async def _read_all(file: int) -> str:
    said = b""
    while True:
        await trio.lowlevel.wait_readable(file)
        more = os.read(file, 2**16)
        if not more:
            return said.decode()
        said += more
