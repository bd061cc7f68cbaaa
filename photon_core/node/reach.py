"""Whom a node lets in and as what, whom it dials, and where it listens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import trio

from photon_core.api.errors import UsageError
from photon_core.api.ids import NodeKey
from photon_core.api.transport import Standing, Transport
from photon_core.chain.genesis import Genesis

from .assembly import NodeSetup
from .config import CONFIG_FILE, parse_peer

DIAL_AGAIN_S = 2.0
"""A configured peer that broke the protocol is given another chance this often; the transport backs off on its own."""


def admit(genesis: Genesis, configured: Collection[NodeKey], peer: NodeKey) -> Standing:
    """A validator is known by its node key, on every node. Anybody may follow a public ledger, but takes no place of a
    peer that the operator named.
    """
    if genesis.validator_by_node_key(peer) is not None:
        return Standing.VALIDATOR
    return Standing.PEER if peer in configured else Standing.FOLLOWER


def configured_peers(setup: NodeSetup) -> dict[NodeKey, tuple[str, ...]]:
    """Those to be dialled, with their addresses; this node itself is none, so that all may share one list."""
    found: dict[NodeKey, tuple[str, ...]] = {}
    for peer, address in map(parse_peer, setup.settings.peers):
        if peer != setup.node_key.public:
            found[peer] = (*found.get(peer, ()), address)
    return found


async def keep_linked(transport: Transport, configured: Mapping[NodeKey, tuple[str, ...]]) -> None:
    """Dials the configured peers, and once more those that were dropped for a breach: an operator named them."""
    while True:
        linked = {link.peer for link in transport.links()}
        for peer, addresses in configured.items():
            if peer not in linked:
                _dial(transport, peer, addresses)
        await trio.sleep(DIAL_AGAIN_S)


def _dial(transport: Transport, peer: NodeKey, addresses: tuple[str, ...]) -> None:
    try:
        transport.dial(peer, addresses)
    except ValueError as error:
        raise UsageError(
            code="bad-peer",
            where="[node] peers",
            what=f"{peer.hex()}@{', '.join(addresses)} cannot be dialled: {error}",
            remedy="`photon node status` of the peer prints the line to use",
        ) from None


async def listen(transport: Transport, address: str, setup: NodeSetup) -> str:
    try:
        return await transport.listen(address)
    except (ValueError, OSError) as error:
        raise UsageError(
            code="cannot-listen",
            what=f"peers cannot be listened for at {address!r}: {error}",
            where=f"{setup.home / CONFIG_FILE} [node] listen",
            remedy="Stop what uses the address, or name another in the form of the transport plugin.",
        ) from None
