"""A validator and a follower as real processes: starts that cannot be, and disks that are full."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from photon_core.api.bech32m import encode_address
from photon_core.chain.keys import KeyPurpose, generate

PHOTON = (str(Path(sys.executable).with_name("photon")),)
RICH = generate(KeyPurpose.ACCOUNT)


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
        [*PHOTON, "genesis", "create", str(genesis), "--consensus", "solo", "--development",
         "--account", f"{account}=1000", "--validator", validator.facts["card"]],
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
