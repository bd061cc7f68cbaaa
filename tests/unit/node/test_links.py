"""Gossip on its way in and out: read once, verified together, told to those whom it is of use to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from photon_core.api.ids import Hash, NodeKey
from photon_core.api.transport import Channel, Standing
from photon_core.chain.transactions import Transaction
from photon_core.node import gossip, links, steps
from photon_core.node.inputs import Inputs, Urgency
from photon_core.node.links import Links
from photon_core.node.recent import RecentBytes
from photon_core.node.verifier import Verifier
from photon_core.peers.requests import Peers
from photon_core.testing.fakes.transport import FakeTransport, linked_transports
from photon_core.testing.node import VALIDATOR, node_genesis, transfer

CHAIN = b"\x05" * 32
OWN, OTHER = b"\x01" * 32, b"\x02" * 32
VALIDATOR_NODE = b"\x03" * 32
MANY = [transfer(CHAIN, n) for n in range(20)]


@define
class ToyCore:
    chain_id: Hash = CHAIN
    waiting: dict[Hash, Transaction] = field(factory=dict)


@define
class Setting:
    links: Links
    inputs: Inputs
    core: ToyCore
    own: FakeTransport
    other: FakeTransport
    other_peers: Peers

    def send(self, frame: bytes) -> None:
        self.other.send(OWN, Channel.GOSSIP, frame)

    async def arrived(self) -> list[steps.Input]:
        await trio.testing.wait_all_tasks_blocked(0.01)
        found = []
        while (event := self.inputs.take()) is not None:
            found.append(event)
        return found


@pytest.fixture
async def room() -> AsyncIterator[Setting]:
    own, other = linked_transports(Standing.PEER)
    validator = evolve(node_genesis().validators[0], node_key=VALIDATOR_NODE)
    genesis = evolve(node_genesis(), validators=(validator,))
    peers, other_peers, inputs, core = Peers(own), Peers(other), Inputs(), ToyCore()
    recent = RecentBytes(CHAIN, core.waiting)
    made = Links(cast(Any, core), genesis, peers, cast(Any, None), Verifier(), inputs, recent)
    async with trio.open_nursery() as nursery:
        await nursery.start(peers.run)
        await nursery.start(other_peers.run)
        await nursery.start(made.run)
        setting = Setting(made, inputs, core, own, other, other_peers)
        assert await setting.arrived() == [steps.PeerAppeared(peer=OTHER)]
        yield setting
        nursery.cancel_scope.cancel()


def frames(transactions: list[Transaction]) -> list[bytes]:
    return list(gossip.transaction_frames(transactions))


async def test_transactions_arrive_in_order_and_together(room: Setting) -> None:
    for transaction in MANY:
        room.links._frame_arrived(OTHER, frames([transaction])[0])
    (event,) = await room.arrived()
    assert event == steps.TransactionsArrived(transactions=tuple(MANY), source=OTHER)


async def test_what_waits_in_the_mempool_is_not_read_again_but_what_was_dropped_is(room: Setting) -> None:
    room.send(frames(MANY)[0])
    assert len(await room.arrived()) == 1
    room.core.waiting.update({t.id: t for t in MANY[1:]})
    room.send(frames(MANY)[0])
    (event,) = await room.arrived()
    assert event == steps.TransactionsArrived(transactions=(MANY[0],), source=OTHER)


async def test_a_bad_signature_costs_the_peer_its_link(room: Setting) -> None:
    body, signature = MANY[0].raw[:-64], MANY[0].raw[-64:]
    room.send(gossip.codec.encode([gossip.Kind.TRANSACTIONS.value, [body + signature[::-1]]]))
    assert await room.arrived() == [steps.PeerVanished(peer=OTHER)]
    assert room.links.peers.breaches[OTHER] == 1


async def test_heights_go_on(room: Setting) -> None:
    room.send(gossip.head_frame(7))
    assert await room.arrived() == [steps.PeerHead(peer=OTHER, height=7)]


async def test_a_head_for_followers_is_not_told_to_validators(room: Setting) -> None:
    heard: list[bytes] = []
    room.other_peers.on_frame(Channel.GOSSIP, lambda _peer, frame: heard.append(frame))
    room.links.tell_head(steps.GossipHead(height=3, followers=True))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert heard == [gossip.head_frame(3)]
    (validator,) = room.links.genesis.validators
    room.links.genesis = evolve(room.links.genesis, validators=(evolve(validator, node_key=OTHER),))
    room.links.tell_head(steps.GossipHead(height=4, followers=True))
    room.links.tell_head(steps.GossipHead(height=5))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert heard == [gossip.head_frame(3), gossip.head_frame(5)]


async def test_a_flood_of_one_peer_waits_at_its_own_door_and_delays_nobody(room: Setting) -> None:
    for _ in range(links.FRAMES_PER_PEER_MAX + 50):
        room.links._frame_arrived(OTHER, gossip.head_frame(1))
    room.links._frame_arrived(VALIDATOR_NODE, frames(MANY)[0])
    assert [peer for peer, _ in await room.links._queue.take(2)] == [OTHER, VALIDATOR_NODE]
    assert len(await room.links._queue.take(links.FRAMES_PER_PEER_MAX + 50)) == links.FRAMES_PER_PEER_MAX - 1


async def test_of_many_heights_of_one_peer_core_hears_the_newest(room: Setting) -> None:
    for height in range(1, 101):
        room.links._frame_arrived(OTHER, gossip.head_frame(height))
    room.links._frame_arrived(VALIDATOR_NODE, gossip.head_frame(7))
    assert await room.arrived() == [
        steps.PeerHead(peer=OTHER, height=100),
        steps.PeerHead(peer=VALIDATOR_NODE, height=7),
    ]


async def test_large_frames_of_one_peer_are_bounded_by_their_bytes(room: Setting) -> None:
    large = gossip.codec.encode([gossip.Kind.TRANSACTIONS.value, [MANY[0].raw] * 900])
    for _ in range(2 * links.BYTES_PER_PEER_MAX // len(large)):
        room.links._frame_arrived(OTHER, large)
    assert room.links._queue.size_of(OTHER) <= links.BYTES_PER_PEER_MAX


async def test_a_new_link_of_a_validator_says_whose_it_is(room: Setting) -> None:
    validator = FakeTransport(VALIDATOR_NODE)
    room.own.connect(validator, Standing.VALIDATOR)
    assert await room.arrived() == [steps.PeerAppeared(peer=VALIDATOR_NODE, validator=VALIDATOR.public)]


@define
class _Told:
    """A transport that says to whom something was sent."""

    peers: dict[NodeKey, Standing]
    sent: list[tuple[NodeKey, bytes]] = field(factory=list)

    def links(self) -> tuple[Any, ...]:
        return tuple(_Link(peer, standing) for peer, standing in self.peers.items())

    def send(self, peer: NodeKey, _channel: Channel, frame: bytes) -> Any:
        self.sent.append((peer, frame))
        return gossip.SendResult.QUEUED


@define
class _Link:
    peer: NodeKey
    standing: Standing


@pytest.mark.parametrize(
    ("peers", "besides", "told"),
    [
        ({OWN: Standing.FOLLOWER, OTHER: Standing.PEER}, None, {OWN, OTHER}),
        ({OWN: Standing.FOLLOWER, OTHER: Standing.PEER}, OTHER, {OWN}),
        ({OWN: Standing.FOLLOWER, VALIDATOR_NODE: Standing.VALIDATOR}, OWN, {VALIDATOR_NODE}),
        ({OWN: Standing.FOLLOWER, VALIDATOR_NODE: Standing.VALIDATOR}, VALIDATOR_NODE, set()),
        ({OWN: Standing.STRANGER}, None, set()),
    ],
    ids=["all", "not the source", "validators only", "a validator's own", "no strangers"],
)
async def test_transactions_are_told_together_to_whom_they_are_of_use(
    room: Setting,
    monkeypatch: pytest.MonkeyPatch,
    peers: dict[NodeKey, Standing],
    besides: NodeKey | None,
    told: set[NodeKey],
) -> None:
    transport = _Told(peers)
    monkeypatch.setattr(room.links.peers, "transport", transport)
    for transaction in MANY:
        room.links.tell_transactions(steps.GossipTransactions(transactions=(transaction,), besides=besides))
    assert transport.sent == []
    room.links.flush()
    assert {peer for peer, _ in transport.sent} == told
    assert len(transport.sent) == len(told)
    assert room.inputs.has_room(Urgency.TRANSACTIONS)
