"""How many transfers per second a network of validators on this machine commits, and how fast.

python -m benchmarks.throughput --validators 4 --seconds 20 --json
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import trio
from attrs import frozen

from benchmarks import checks
from benchmarks.accounts import Lane, Plan, sign_lanes
from benchmarks.load import Client, LoadFailed, Measured
from benchmarks.network import Network, NetworkFailed, benchmark_genesis, running_network
from photon_core.api.errors import PhotonError
from photon_core.chain.genesis import chain_id
from photon_core.node.client import NodeClient

RAMP_S_MAX = 3.0
"""From a load's beginning to its steady part: caches warm, blocks of their usual size."""


@frozen(kw_only=True)
class Options:
    validators: int
    seconds: float
    offered_per_s: int
    transfers_per_tx: int
    consensus: str
    lanes: int
    batch: int
    signed_per_s: int
    folder: Path | None
    profile: Path | None

    @property
    def plan(self) -> Plan:
        return Plan(lanes=self.lanes, batch=self.batch, transfers_per_transaction=self.transfers_per_tx)

    @property
    def ramp_s(self) -> float:
        return min(RAMP_S_MAX, self.seconds / 4)

    @property
    def rounds(self) -> int:
        """Transactions of each account: of both loads, and one of every lane that was begun when they ended."""
        per_s = self.offered_per_s + self.signed_per_s
        return math.ceil(per_s * (self.seconds + self.ramp_s) / self.plan.accounts) + 2


@frozen(kw_only=True)
class Results:
    options: Options
    offered: Measured
    saturated: Measured

    def to_json(self) -> dict[str, Any]:
        full = self.saturated
        return {
            "tx_per_s": round(full.per_s, 1),
            "commit_ms": {
                "p50": round(self.offered.percentile(0.5), 1),
                "p99": round(self.offered.percentile(0.99), 1),
            },
            "cpu_us_per_tx_node": round(self._cpu_us(full), 1),
            "validators": self.options.validators,
            "seconds": self.options.seconds,
            "offered_per_s": self.options.offered_per_s,
            "client_cpu_s": round(full.client_cpu_s, 2),
        }

    def _cpu_us(self, measured: Measured) -> float:
        """Per transaction and validator."""
        return 1e6 * measured.validators_cpu_s / self.options.validators / measured.transactions

    def to_text(self) -> str:
        found, transfers = self.to_json(), self.options.transfers_per_tx
        full, open_loop = self.saturated, self.offered
        share = 100 * full.client_cpu_s / full.seconds
        rows = [
            (
                "validators",
                f"{found['validators']} ({self.options.consensus}), each a process; {os.cpu_count()} CPUs for all",
            ),
            (
                "committed at saturation",
                f"{found['tx_per_s']:.0f} transactions/s, {full.per_s * transfers:.0f} transfers/s",
            ),
            ("CPU per transaction and validator", f"{found['cpu_us_per_tx_node']:.0f} us"),
            (
                "CPU of the client meanwhile",
                f"{full.client_cpu_s:.1f} s in {full.seconds:.1f} s ({share:.0f} % of one CPU)",
            ),
            ("committed when offered steadily", f"{open_loop.per_s:.0f}/s of {found['offered_per_s']}/s"),
            ("CPU per transaction and validator then", f"{self._cpu_us(open_loop):.0f} us"),
            (
                "submission to certificate",
                f"p50 {found['commit_ms']['p50']:.0f} ms, p99 {found['commit_ms']['p99']:.0f} ms",
            ),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def say(text: str) -> None:
    click.echo(text, err=True)


def measure(options: Options) -> Results:
    """Blocking. LoadFailed, NetworkFailed, checks.Untrue and PhotonError when the figures would be worth nothing."""
    plan = options.plan
    genesis = benchmark_genesis(options.consensus, options.validators, plan.genesis_accounts())
    say(f"signing {options.rounds * plan.accounts} transactions")
    lanes = sign_lanes(plan, chain_id(genesis), options.validators, options.rounds, os.cpu_count() or 1)
    say(f"starting {options.validators} validators")
    with running_network(genesis, options.consensus, options.folder, options.profile) as network:
        return trio.run(_measure, options, network, lanes)


async def _measure(options: Options, network: Network, lanes: list[Lane]) -> Results:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(NodeClient(one.api, timeout_s=30)) for one in network.validators]
        client = Client(nodes, network, say)
        await checks.whole_network(nodes)
        say(f"offering {options.offered_per_s}/s in an open loop")
        offered = await client.offer(lanes, options.offered_per_s, options.ramp_s, options.seconds)
        say(f"keeping {options.plan.accounts} transactions waiting in a closed loop")
        if options.profile is not None:
            network.profile(True)
        saturated = await client.saturate(lanes, options.ramp_s, options.seconds)
        if options.profile is not None:
            network.profile(False)
        if client.refusals:
            say(f"refused for the moment, and sent again: {dict(client.refusals)}")
        height, root = await checks.equal_roots(nodes)
        await checks.acknowledged_transfers(nodes[0], options.plan, options.plan.addresses(), lanes)
        say(f"every validator has state root {root.hex()[:16]} at height {height}; all {client.transactions} are there")
    return Results(options=options, offered=offered, saturated=saturated)


def _first(error: BaseException) -> BaseException:
    """Of all that failed at once."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


@click.command()
@click.option("--validators", type=click.IntRange(1, 16), default=4, show_default=True, help="Processes, one each.")
@click.option(
    "--consensus", default=None, metavar="NAME", help="Plugin; pbft unless there is one validator, then solo."
)
@click.option("--seconds", type=float, default=20.0, show_default=True, help="The steady part of each load.")
@click.option("--offered", type=click.IntRange(1), default=1_000, show_default=True, help="Transactions/s, open loop.")
@click.option(
    "--transfers-per-tx", type=click.IntRange(1, 64), default=1, show_default=True, help="Under one signature."
)
@click.option("--lanes", type=click.IntRange(1), default=16, show_default=True, help="Batches on their way at once.")
@click.option("--batch", type=click.IntRange(1, 1_000), default=128, show_default=True, help="Transactions in each.")
@click.option("--signed-per-s", type=click.IntRange(1), default=6_000, show_default=True, help="Signed beforehand.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the disks are; must be a real one to count.")
@click.option("--profile", type=click.Path(path_type=Path), help="A folder for what each validator does with its CPU.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of the table.")
def main(as_json: bool, consensus: str | None, offered: int, **given: Any) -> None:
    """Measure what a network of validators on this machine commits.

    Every validator is a process with its own synced disk and libp2p links to the others; genesis funds the senders.
    Each transaction is signed beforehand and verified by every validator. This process is the client: it submits
    batches to the validators in turn, by HTTP, on the same CPUs, and its own CPU time is told apart.

    \b
    Two loads, one after the other, each with up to three seconds to get going:
      an open loop at --offered per second  p50 and p99 from submission to the certificate
      a closed loop, --lanes x --batch      transactions per second, CPU per transaction
    Then it checks that all validators have one state root, and that each transfer that was acknowledged is in it.

    \b
    python -m benchmarks.throughput --validators 4 --seconds 20 --json
    python -m benchmarks.throughput --validators 1 --consensus solo --transfers-per-tx 16
    python -m benchmarks.throughput --profile /tmp/profile     # validator-0.txt, validator-0.folded, …
    """
    chosen = consensus or ("solo" if given["validators"] == 1 else "pbft")
    options = Options(consensus=chosen, offered_per_s=offered, **given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: children and folders are cleaned up
    try:
        results = measure(options)
    except* (LoadFailed, NetworkFailed, checks.Untrue, PhotonError) as group:
        say(f"no figures: {_first(group)}")
        sys.exit(1)
    click.echo(json.dumps(results.to_json()) if as_json else results.to_text())


if __name__ == "__main__":
    main()
