"""Real processes, killed at random moments under load: what was acknowledged is there, and everybody agrees."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import Hash
from photon_core.chain.genesis import chain_id, load_genesis
from photon_core.chain.keys import KeyPurpose, generate
from photon_core.chain.transactions import build_transaction
from photon_core.exchange.messages import MESSAGE, Transfer
from photon_core.node.client import NodeClient, NodeUnreachable

PHOTON = (str(Path(sys.executable).with_name("photon")),)
KILLS = int(os.environ.get("PHOTON_TEST_KILLS", "5"))
"""Each is a start of a process, which takes some seconds; more when hunting."""
BATCH = 20
RICH = generate(KeyPurpose.ACCOUNT)
RECEIVER = b"\x77" * 20


def free_port() -> int:
    """The same at each start, so that a peer's configuration stays right."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@define
class Folder:
    """A node's home, and the process that runs from it."""

    home: Path
    passphrase: Path
    role: str
    process: subprocess.Popen[str] | None = None
    facts: dict[str, Any] = field(factory=dict)
    info: dict[str, Any] = field(factory=dict)

    def photon(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)

    def command(self, *arguments: str) -> list[str]:
        options = ["--home", str(self.home), "--passphrase-file", str(self.passphrase), "--output", "json"]
        return [*PHOTON, *arguments, *options]

    def init(self, *arguments: str) -> None:
        done = self.photon(self.role, "init", "--key-cost", "interactive", "--api", "127.0.0.1:0", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        self.facts = json.loads(done.stdout)

    def start(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            self.command(self.role, "start", *arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.role} did not start: {self.photon(self.role, 'start', *arguments).stdout}"
        self.info = json.loads(line)

    def listen(self, address: str) -> str:
        """Another place in its configuration; what was there before."""
        file = self.home / "config.toml"
        document = tomllib.loads(file.read_text())
        (before,) = document["node"]["listen"]
        file.write_text(file.read_text().replace(before, address))
        return str(before)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@define
class Pair:
    validator: Folder
    follower: Folder
    genesis: Path


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("not much of a secret\n")
    passphrase.chmod(0o600)
    address = f"/ip4/127.0.0.1/tcp/{free_port()}"
    validator = Folder(tmp_path / "validator", passphrase, "validator")
    validator.init("--listen", address)
    genesis = tmp_path / "genesis.toml"
    account = encode_address(RICH.address)
    made = subprocess.run(
        [*PHOTON, "genesis", "create", str(genesis), "--consensus", "solo", "--development", "--account", f"{account}=1000",
         "--validator", validator.facts["card"]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    joined = subprocess.run(
        [*PHOTON, "validator", "join", str(genesis), "--home", str(validator.home)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert joined.returncode == 0, joined.stdout
    follower = Folder(tmp_path / "follower", passphrase, "node")
    follower.init(
        "--genesis", str(genesis), "--listen", "/ip4/127.0.0.1/tcp/0",
        "--peer", f"{validator.facts['node_key']}@{address}",
    )  # fmt: skip
    yield Pair(validator, follower, genesis)
    for folder in (validator, follower):
        folder.stop()


async def transfers_until_gone(node: NodeClient, identity: Hash, acknowledged: dict[Hash, int]) -> None:
    plain: list[Any] = [MESSAGE.to_plain(Transfer(to=RECEIVER, amount_uptn=1))]
    with suppress(NodeUnreachable):
        sequence = (await node.account(RICH.address)).sequence
        while True:
            height = (await node.status()).height
            batch = [build_transaction(RICH.seed, identity, sequence + n, 0, height + 500, plain) for n in range(BATCH)]
            for done in await node.submit(batch, wait_s=10):
                assert done.status == "committed", f"{done.code}: {done.reason}"
                assert done.height is not None
                acknowledged[done.id] = done.height
            sequence += BATCH


async def under_load(folder: Folder, identity: Hash, acknowledged: dict[Hash, int], after_s: float) -> None:
    async with NodeClient(folder.info["api"]) as node, trio.open_nursery() as nursery:
        nursery.start_soon(transfers_until_gone, node, identity, acknowledged)
        await trio.sleep(after_s)  # the random moment
        os.kill(folder.info["pid"], signal.SIGKILL)
    folder.stop()


@pytest.mark.slow
async def test_kill_9_at_random_moments_loses_nothing_that_was_acknowledged(pair: Pair) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    identity = chain_id(load_genesis(pair.genesis))
    acknowledged: dict[Hash, int] = {}
    alone = ("--plugin", "transport_memory")  # starts in a third of the time; links come at the end
    listen = pair.validator.listen("memory:1")
    pair.validator.start(*alone)
    for _ in range(KILLS):
        await under_load(pair.validator, identity, acknowledged, chance.uniform(0.01, 0.6))
        pair.validator.start(*alone)
    await under_load(pair.validator, identity, acknowledged, 0.2)

    pair.validator.listen(listen)
    pair.validator.start()
    pair.follower.start()
    await trio.sleep(chance.uniform(0.01, 0.3))
    pair.follower.stop()
    pair.follower.start()
    await under_load(pair.validator, identity, acknowledged, 0.3)
    pair.validator.start()
    where = f"seed {seed}, {len(acknowledged)} acknowledged"
    assert acknowledged, f"{where}: nothing was under way"

    async with NodeClient(pair.validator.info["api"]) as validator, NodeClient(pair.follower.info["api"]) as follower:
        for transaction_id, height in acknowledged.items():
            found = await validator.transaction(transaction_id)
            assert found is not None, f"{where}: {transaction_id.hex()} of block {height} is lost"
            assert found.height == height, where
        sent = (await validator.account(RICH.address)).sequence
        assert (await validator.account(RECEIVER)).balance_uptn == sent >= len(acknowledged), where

        top = (await validator.status()).height
        with trio.move_on_after(30) as waiting:
            async for block in follower.events(top):
                assert block.height == top
                waiting.cancel()
        for height in range(1, top + 1):
            one, other = await validator.block(height), await follower.block(height)
            assert one is not None
            assert one == other, f"{where}: they differ at {height}"
            assert one.certificate is not None, where
        assert (await follower.account(RECEIVER)).balance_uptn >= sent, where
        assert (await follower.status()).halted == (await validator.status()).halted == ""


# --- starts that cannot be, and disks that are full ------------------------------------------------------------------


def refused(folder: Folder, *arguments: str) -> tuple[int, dict[str, str]]:
    done = folder.photon(folder.role, "start", *arguments)
    assert "Traceback" not in done.stderr
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return done.returncode, error


@pytest.mark.slow
def test_a_start_that_cannot_be_says_why(pair: Pair, tmp_path: Path) -> None:
    pair.validator.start()
    code, error = refused(pair.validator)
    assert (code, error["code"]) == (1, "folder-in-use")
    assert str(pair.validator.info["pid"]) in error["found"]

    config = (pair.follower.home / "config.toml").read_text()
    busy = pair.validator.info["api"].removeprefix("http://")
    (pair.follower.home / "config.toml").write_text(config.replace("127.0.0.1:0", busy))
    code, error = refused(pair.follower)
    assert (code, error["code"], error["where"]) == (2, "cannot-listen", busy)
    assert "127.0.0.1:0" in error["remedy"]

    (pair.follower.home / "config.toml").write_text(config.replace("127.0.0.1:0", "nowhere"))
    code, error = refused(pair.follower)
    assert (code, error["code"]) == (2, "bad-bind")

    (pair.follower.home / "config.toml").write_text(config.replace("/ip4/127.0.0.1/tcp/0", "nonsense"))
    code, error = refused(pair.follower)
    assert code in (1, 2)
    assert "nonsense" in json.dumps(error)

    stranger = Folder(tmp_path / "stranger", pair.validator.passphrase, "validator")
    stranger.init("--listen", "/ip4/127.0.0.1/tcp/0")
    code, error = refused(stranger)
    assert (code, error["code"]) == (2, "no-genesis")
    assert "photon validator join" in error["remedy"]

    shutil.copy(pair.genesis, stranger.home / "genesis.toml")
    code, error = refused(stranger)
    assert (code, error["code"]) == (1, "not-a-validator")
    assert error["found"] in stranger.facts["consensus_key"]

    (stranger.home / "keys" / "consensus.json").write_text((stranger.home / "keys" / "node.json").read_text())
    code, error = refused(stranger)
    assert code in (1, 2)
    assert "purpose" in json.dumps(error) or "consensus" in json.dumps(error)

    other = tmp_path / "other.toml"
    other.write_text(pair.genesis.read_text().replace('name = "photon"', 'name = "other"'))
    code, error = refused(pair.follower, "--genesis", str(other))
    assert (code, error["code"]) == (2, "wrong-chain")

    assert pair.validator.stop(signal.SIGTERM) == 0
    assert not (pair.validator.home / "run.json").exists()


@pytest.mark.slow
def test_a_full_disk_ends_the_node_with_a_reason_and_the_next_start_goes_on(pair: Pair) -> None:
    pair.validator.start()
    pair.validator.stop(signal.SIGTERM)
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, str(pair.validator.home), str(pair.validator.passphrase)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    error = json.loads(limited.stdout.partition("\n")[2])["error"]
    assert (limited.returncode, error["code"]) == (1, "disk-full"), limited.stderr
    assert "Traceback" not in limited.stderr
    pair.validator.start()
    assert pair.validator.stop(signal.SIGTERM) == 0


LIMITED = """
import errno, os, sys
from photon_core.chain import framed_file
from photon_core.cli import main

real, left = os.pwrite, [30]

def pwrite(file, data, offset):
    left[0] -= 1
    if left[0] < 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    return real(file, data, offset)

framed_file.os.pwrite = pwrite
sys.argv = ["photon", "validator", "start", "--home", sys.argv[1], "--passphrase-file", sys.argv[2], "--output", "json"]
sys.exit(main())
"""
