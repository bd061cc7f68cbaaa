"""A network of validators on this machine: one process each, libp2p on loopback, disks synced, in one folder.

Theory of operation
-------------------
Each validator is `python -m benchmarks.member`. It imports what it needs (all of them at the same time), then waits for
one line of JSON on stdin that says which validator it is and whom to dial, and answers on stdout with where it can be
reached. So they are told in order, each with the addresses of those before it, and no port is chosen beforehand.

A member lives as long as its stdin is open: when the benchmark ends, in whatever way, all of them end.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

from attrs import define, frozen

from photon_core.api.consensus import CRASH_ONLY
from photon_core.chain.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    Rule,
    RuleKind,
    make_genesis,
    save_genesis,
)
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.exchange.genesis import genesis_parameters
from photon_core.exchange.parameters import Parameters
from photon_core.node.signer import SIGNER_FOLDER, make_signer_store

END_TIMEOUT_S = 15.0
"""Of a member, from its stdin's end: it flushes its state. Then it is killed."""
START_TIMEOUT_S = 60.0
CHECKOUT = Path(__file__).resolve().parents[1]


class NetworkFailed(Exception):
    """A validator did not start, or is not there any more."""


def key_of(validator: int, purpose: KeyPurpose) -> SigningKey:
    return from_seed(blake2b(f"{purpose} {validator}".encode(), digest_size=32).digest(), purpose)


def benchmark_genesis(consensus: str, validators: int, accounts: Sequence[GenesisAccount]) -> Genesis:
    """The default parameters, fees included: what a real chain would ask."""
    return make_genesis(
        name="benchmark",
        time_ms=time.time_ns() // 1_000_000,
        rules=(
            Rule(kind=RuleKind.CODEC, from_height=0, name="photon", version=1),
            Rule(kind=RuleKind.EXCHANGE, from_height=0, name="photon", version=1),
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name=consensus, version=1),
            Rule(kind=RuleKind.MARKET, from_height=0, name="auction", version=1),
        ),
        validators=tuple(
            GenesisValidator(
                key=key_of(index, KeyPurpose.CONSENSUS).public,
                node_key=key_of(index, KeyPurpose.NODE).public,
                power=1,
                payee=key_of(index, KeyPurpose.PAYEE).address,
            )
            for index in range(validators)
        ),
        accounts=tuple(accounts),
        parameters=genesis_parameters(Parameters()),
        allow=(CRASH_ONLY,) if consensus == "solo" else (),
    )


@frozen(kw_only=True)
class CpuTime:
    """Of a process, all its threads."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s


@define
class Validator:
    index: int
    process: subprocess.Popen[bytes]
    log: Path
    api: str = ""
    peer: tuple[str, ...] = ()
    """As its peers' configuration names it: `<node key>@<address>`."""

    def tell(self, *words: object) -> None:
        """One line of JSON on its stdin."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(words).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failed("has ended") from None

    def cpu(self) -> CpuTime:
        ticks = os.sysconf("SC_CLK_TCK")
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii")
        except OSError:
            raise self.failed("has ended") from None
        fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        return CpuTime(user_s=int(fields[11]) / ticks, system_s=int(fields[12]) / ticks)

    def failed(self, what: str) -> NetworkFailed:
        tail = self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""
        return NetworkFailed(f"validator {self.index} {what}; its log ends with:\n{tail}")


@define
class Network:
    folder: Path
    genesis: Genesis
    validators: list[Validator]

    def cpu_s(self) -> list[float]:
        return [validator.cpu().total_s for validator in self.validators]

    def profile(self, wanted: bool) -> None:
        """Begins or ends sampling in every validator; each writes what it found when it ends."""
        for validator in self.validators:
            validator.tell("profile", wanted)


@contextmanager
def running_network(genesis: Genesis, consensus: str, folder: Path | None, profiles: Path | None) -> Iterator[Network]:
    """All validators up and told of each other; afterwards they and their folder are gone."""
    home = Path(tempfile.mkdtemp(prefix="photon-benchmark-", dir=folder))
    network = Network(home, genesis, [])
    try:
        for index in range(len(genesis.validators)):
            network.validators.append(_start(home, index))
        for validator in network.validators:
            _introduce(network, validator, consensus, profiles)
        yield network
    finally:
        _end(network.validators)
        shutil.rmtree(home)


def _start(home: Path, index: int) -> Validator:
    folder = home / f"validator-{index}"
    folder.mkdir()
    log = home / f"validator-{index}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.member"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends them
        )
    return Validator(index, process, log)


def _introduce(network: Network, validator: Validator, consensus: str, profiles: Path | None) -> None:
    home = network.folder / f"validator-{validator.index}"
    save_genesis(network.genesis, home / "genesis.toml")
    make_signer_store(home / SIGNER_FOLDER, key_of(validator.index, KeyPurpose.CONSENSUS))
    profile = None if profiles is None else str(profiles.resolve() / f"validator-{validator.index}.txt")
    validator.tell(
        "run",
        {
            "index": validator.index,
            "home": str(home),
            "consensus": consensus,
            "peers": [peer for other in network.validators[: validator.index] for peer in other.peer],
            "profile": profile,
        },
    )
    assert validator.process.stdout is not None
    told = _read_line(validator.process.stdout)
    if told is None:
        raise validator.failed(f"did not start within {START_TIMEOUT_S:g} s")
    answer = json.loads(told)
    validator.api = answer["api"]
    validator.peer = tuple(f"{answer['node_key']}@{address}" for address in answer["addresses"])


def _read_line(stdout: IO[bytes]) -> bytes | None:
    """None when there is none in time."""
    line, deadline = b"", time.monotonic() + START_TIMEOUT_S
    os.set_blocking(stdout.fileno(), False)
    while not line.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not _readable(stdout, left_s) or not (piece := stdout.read()):
            return None
        line += piece
    return line


def _readable(stdout: IO[bytes], timeout_s: float) -> bool:
    return bool(select.select([stdout], [], [], timeout_s)[0])


def _end(validators: Sequence[Validator]) -> None:
    for validator in validators:
        assert validator.process.stdin is not None
        validator.process.stdin.close()
    deadline = time.monotonic() + END_TIMEOUT_S
    for validator in validators:
        try:
            validator.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            validator.process.kill()
            validator.process.wait()
        assert validator.process.stdout is not None
        validator.process.stdout.close()
