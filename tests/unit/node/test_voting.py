"""Validators' messages on their way to core: verified, bounded, and every lie costs the liar its link, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from photon_core.api import codec
from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.consensus import Claim
from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import Hash
from photon_core.api.transport import Channel, SendResult, Standing
from photon_core.chain.certificates import sign_statement
from photon_core.chain.genesis import Genesis, GenesisValidator, chain_id
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.node import consensus_frames, contentsync, steps
from photon_core.node.inputs import Inputs
from photon_core.node.recent import RecentBytes
from photon_core.node.verifier import Verifier
from photon_core.node.voting import Voting
from photon_core.peers.errors import RemoteError
from photon_core.peers.requests import Peers
from photon_core.testing.fakes.transport import FakeTransport, linked_transports
from photon_core.testing.node import node_genesis, transfer

OWN = from_seed(b"\x21" * 32, KeyPurpose.CONSENSUS)
OTHER = from_seed(b"\x22" * 32, KeyPurpose.CONSENSUS)
THIRD = from_seed(b"\x23" * 32, KeyPurpose.CONSENSUS)
OWN_NODE, OTHER_NODE, THIRD_NODE = (bytes([n]) * 32 for n in (1, 2, 3))
BLOCK = b"\x0b" * 32


def genesis() -> Genesis:
    pairs = [(OWN, OWN_NODE), (OTHER, OTHER_NODE), (THIRD, THIRD_NODE)]
    validators = [GenesisValidator(key=key.public, node_key=node, power=1, payee=OWN.address) for key, node in pairs]
    return evolve(node_genesis(), validators=tuple(sorted(validators, key=lambda one: one.key)))


GENESIS = genesis()
CHAIN = chain_id(GENESIS)
THREE = tuple(transfer(CHAIN, n) for n in range(3))


class ToyEngine:
    """A message is a list of `[key, text, signature]`, and claims them all."""

    def inspect(self, message: bytes) -> tuple[Claim, ...]:
        try:
            plain = codec.decode(message, max_bytes=10_000)
        except ValueError as error:
            raise PeerProtocolError(str(error)) from None
        if plain == "bug":
            raise KeyError("the engine has one")
        return tuple(Claim(key, text, signature, (1, 0)) for key, text, signature in plain)


def vote(*texts: bytes, key: SigningKey = OTHER) -> bytes:
    return codec.encode([[key.public, text, key.sign_message(text)] for text in texts])


@define
class ToyCore:
    """What of a core the room asks for."""

    chain_id: Hash = CHAIN
    own_key: bytes = OWN.public
    head_height: int = 10
    head: None = None
    engine: ToyEngine = field(factory=ToyEngine)
    validators: Any = GENESIS.validator_set

    def content(self, name: Hash, ids: tuple[Hash, ...] | None) -> tuple[bytes, ...] | None:
        if name != BLOCK:
            return None
        return tuple(t.raw for t in THREE if ids is None or t.id in ids) or None


@define
class Setting:
    voting: Voting
    inputs: Inputs
    own: FakeTransport
    other: FakeTransport
    other_peers: Peers

    def send(self, frame: bytes) -> None:
        assert self.other.send(OWN_NODE, Channel.CONSENSUS, frame) is SendResult.QUEUED

    async def arrived(self) -> list[steps.Input]:
        """What core would be given by now."""
        await trio.testing.wait_all_tasks_blocked(0.01)
        found = []
        while (event := self.inputs.take()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def setting(standing: Standing = Standing.VALIDATOR) -> AsyncIterator[Setting]:
    """`standing` is the other node's, at this one."""
    own, other = linked_transports(standing, of_the_first=Standing.VALIDATOR)
    peers, other_peers, inputs = Peers(own), Peers(other), Inputs()
    core = cast(Any, ToyCore())
    voting = Voting(core, GENESIS, peers, Verifier(), inputs, RecentBytes(CHAIN, {}))
    async with trio.open_nursery() as nursery:
        await nursery.start(peers.run)
        await nursery.start(other_peers.run)
        await nursery.start(voting.run)
        yield Setting(voting, inputs, own, other, other_peers)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def room() -> AsyncIterator[Setting]:
    async with setting() as made:
        yield made


def statement(height: int, **changes: Any) -> FinalityStatement:
    return evolve(
        FinalityStatement(
            chain_id=CHAIN,
            height=height,
            block_hash=BLOCK,
            state_root=bytes(32),
            receipts_root=bytes(32),
            next_validators_hash=bytes(32),
        ),
        **changes,
    )


def statement_frame(said: FinalityStatement, key: SigningKey = OTHER) -> bytes:
    return consensus_frames.statement_frame(said, sign_statement(key, said))


# --- messages ----------------------------------------------------------------------------------------------------


async def test_messages_whose_claims_hold_arrive_in_order_under_their_senders_name(room: Setting) -> None:
    messages = [vote(), vote(b"one"), vote(b"one", b"two"), vote(*[bytes([n]) for n in range(40)])]
    for message in messages:
        room.send(consensus_frames.message_frame(message))
    assert await room.arrived() == [steps.MessageArrived(sender=OTHER.public, message=one) for one in messages]
    assert not room.own.dropped


async def test_a_nested_claim_that_does_not_hold_costs_the_sender_its_link(room: Setting) -> None:
    good, bad = vote(b"one"), codec.decode(vote(b"two"), max_bytes=10_000)
    bad[0][1] = b"three"
    room.send(consensus_frames.message_frame(good))
    room.send(consensus_frames.message_frame(codec.encode([*codec.decode(good, max_bytes=10_000), *bad])))
    assert await room.arrived() == [steps.MessageArrived(sender=OTHER.public, message=good)]
    assert len(room.own.dropped) == 1
    assert room.voting.counters["bad-signature"] == 1


@pytest.mark.parametrize("frame", [b"", b"\xff", codec.encode([7, b""]), consensus_frames.message_frame(b"\xff")])
async def test_what_is_no_message_costs_the_sender_its_link(frame: bytes, room: Setting) -> None:
    room.send(frame)
    assert await room.arrived() == []
    assert len(room.own.dropped) == 1
    assert room.voting.counters["malformed"] == 1


async def test_an_engine_that_breaks_on_a_message_is_not_the_end_of_the_node(
    room: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    room.send(consensus_frames.message_frame(codec.encode("bug")))
    room.send(consensus_frames.message_frame(vote(b"one")))
    assert len(await room.arrived()) == 1
    assert room.voting.counters["inspect-failed"] == 1
    assert "cannot inspect" in caplog.text


async def test_what_was_seen_of_a_validator_is_told_when_it_asks(room: Setting) -> None:
    room.send(consensus_frames.message_frame(vote(b"one")))
    room.send(statement_frame(statement(11)))
    await room.arrived()
    told = codec.encode(room.voting.seen.answer([OTHER.public], None))
    assert vote(b"one") in told
    assert sign_statement(OTHER, statement(11)).signature in told


# --- statements --------------------------------------------------------------------------------------------------


async def test_statements_of_their_signers_arrive(room: Setting) -> None:
    room.send(statement_frame(statement(11)))
    (found,) = await room.arrived()
    assert isinstance(found, steps.StatementArrived)
    assert found.statement == statement(11)


@pytest.mark.parametrize(("height", "reason"), [(10, "old-statement"), (1, "old-statement"), (10_000, "far-statement")])
async def test_statements_that_are_of_no_use_are_not_even_verified(height: int, reason: str, room: Setting) -> None:
    signature = StatementSignature(validator=OTHER.public, signature=bytes(64))
    room.send(consensus_frames.statement_frame(statement(height), signature))
    assert await room.arrived() == []
    assert room.voting.counters == {reason: 1}
    assert not room.own.dropped


@pytest.mark.parametrize(
    "frame",
    [
        statement_frame(statement(11), THIRD),
        statement_frame(statement(11, chain_id=bytes(32))),
        consensus_frames.statement_frame(
            statement(11), StatementSignature(validator=OTHER.public, signature=bytes(64))
        ),
    ],
    ids=["of another validator", "of another chain", "unsigned"],
)
async def test_a_statement_that_lies_costs_the_sender_its_link(frame: bytes, room: Setting) -> None:
    room.send(frame)
    assert await room.arrived() == []
    assert len(room.own.dropped) == 1


# --- out -----------------------------------------------------------------------------------------------------------


async def test_messages_go_to_the_validators_that_are_linked(room: Setting) -> None:
    got: list[bytes] = []
    room.other_peers.on_frame(Channel.CONSENSUS, lambda _peer, frame: got.append(frame))
    room.voting.send_message(steps.SendMessage(message=b"to all"))
    room.voting.send_message(steps.SendMessage(message=b"to one", to=OTHER.public))
    room.voting.send_message(steps.SendMessage(message=b"to one who is away", to=THIRD.public))
    room.voting.send_message(steps.SendMessage(message=b"to oneself", to=OWN.public))
    await room.arrived()
    assert [consensus_frames.decode_frame(frame) for frame in got] == [b"to all", b"to one"]


async def test_what_a_full_channel_does_not_take_is_counted(room: Setting) -> None:
    message = bytes(consensus_frames.MESSAGE_BYTES_MAX)
    for _ in range(17):
        room.voting.send_message(steps.SendMessage(message=message))
    assert room.voting.counters["channel-full"] == 2


# --- contents ------------------------------------------------------------------------------------------------------


def fetch(ids: tuple[Hash, ...] | None, name: Hash = BLOCK) -> steps.FetchContent:
    return steps.FetchContent(validator=OTHER.public, block_hash=name, transaction_ids=ids)


async def fetched(room: Setting, effect: steps.FetchContent) -> tuple[bytes, ...] | None:
    room.voting.fetch_content(effect)
    (found,) = await room.arrived()
    assert isinstance(found, steps.ContentArrived)
    assert found.block_hash == effect.block_hash
    return None if found.transactions is None else tuple(t.raw for t in found.transactions)


def serve(room: Setting, answer: Any) -> None:
    """Makes the other validator answer so."""

    async def handler(_peer: bytes, params: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return answer(params) if callable(answer) else answer

    room.other_peers.serve(contentsync.METHOD, handler, max_params_bytes=contentsync.PARAMS_BYTES_MAX)


async def test_contents_are_fetched_whole_or_in_part(room: Setting) -> None:
    serve(room, lambda params: contentsync.answer(params, ToyCore().content))
    assert await fetched(room, fetch(None)) == tuple(t.raw for t in THREE)
    assert await fetched(room, fetch((THREE[2].id,))) == (THREE[2].raw,)
    assert await fetched(room, fetch(None, bytes(32))) is None
    assert not room.own.dropped


async def test_a_wrong_content_costs_the_sender_its_link(room: Setting) -> None:
    serve(room, [THREE[0].raw])
    assert await fetched(room, fetch((THREE[2].id,))) is None
    assert len(room.own.dropped) == 1


async def test_who_has_not_answered_yet_is_not_asked_again_and_its_late_answer_counts(room: Setting) -> None:
    answered = trio.Event()
    asked = []

    async def slow(_peer: bytes, params: Any) -> Any:
        asked.append(params)
        await answered.wait()
        return [t.raw for t in THREE]

    room.other_peers.serve(contentsync.METHOD, slow)
    for _ in range(3):
        room.voting.fetch_content(fetch(None))
    nothing = steps.ContentArrived(block_hash=BLOCK, transactions=None)
    assert await room.arrived() == [nothing, nothing]
    answered.set()
    assert await room.arrived() == [steps.ContentArrived(block_hash=BLOCK, transactions=THREE)]
    assert len(asked) == 1


async def test_who_is_not_there_answers_at_once(room: Setting) -> None:
    room.other.disconnect()
    assert await fetched(room, fetch(None)) is None


async def test_contents_are_served_to_validators_only() -> None:
    async with setting() as room:
        await room.arrived()  # the link is up
        plain = await room.other_peers.call(OWN_NODE, contentsync.METHOD, [BLOCK, None])
        assert plain == [t.raw for t in THREE]
    async with setting(Standing.PEER) as room:
        await room.arrived()
        with pytest.raises(RemoteError):
            await room.other_peers.call(OWN_NODE, contentsync.METHOD, [BLOCK, None])
