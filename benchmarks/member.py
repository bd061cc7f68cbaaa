"""One validator of a benchmark's network, in a process of its own: what `network` starts. Not for people.

It reads lines of JSON: `["run", {…}]` first, then `["profile", true]` and `["profile", false]`; it ends with its stdin.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import trio

from benchmarks.network import key_of
from benchmarks.sampling import Sampler
from photon_core.chain.genesis import load_genesis
from photon_core.chain.keys import KeyPurpose
from photon_core.node.config import NodeSettings
from photon_core.node.process import settle_process
from photon_core.node.service import NodeSetup, run_node
from photon_core.plugins import PluginManager, choose

LISTEN = "/ip4/127.0.0.1/tcp/0"
LINE_BYTES_MAX = 65_536


async def main() -> None:
    lines = _Lines()
    _, told = await lines.read()
    sampler = Sampler(Path(told["profile"])) if told["profile"] else None
    async with trio.open_nursery() as nursery:
        info = await nursery.start(run_node, _setup(told))
        settle_process()
        answer = {"api": info.api, "node_key": info.node_key, "addresses": list(info.addresses)}
        print(json.dumps(answer), flush=True)  # noqa: T201  # how the benchmark learns of it
        while (line := await lines.read()) is not None:
            if line[0] == "profile" and sampler is not None:
                if line[1]:
                    sampler.start()
                else:
                    sampler.stop()
        nursery.cancel_scope.cancel()
    if sampler is not None:
        sampler.write()


def _setup(told: dict[str, Any]) -> NodeSetup:
    home, index = Path(told["home"]), told["index"]
    choice = choose(flag=(f"consensus_{told['consensus']}", "market_auction", "transport_libp2p"), environment={})
    return NodeSetup(
        home=home,
        genesis=load_genesis(home / "genesis.toml"),
        settings=NodeSettings(api="127.0.0.1:0", listen=(LISTEN,), peers=tuple(told["peers"])),
        plugins=PluginManager(choice, tables={}),
        node_key=key_of(index, KeyPurpose.NODE),
        consensus_key=key_of(index, KeyPurpose.CONSENSUS),
    )


class _Lines:
    """stdin, line by line."""

    def __init__(self) -> None:
        self._stream = trio.lowlevel.FdStream(sys.stdin.fileno())
        self._read = b""

    async def read(self) -> Any:
        """One line's value; None at the end."""
        while b"\n" not in self._read:
            piece = await self._stream.receive_some(LINE_BYTES_MAX)
            if not piece:
                return None
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return json.loads(line)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    trio.run(main)
