"""Blocks from peers: every kind of lie is found before core sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photon_core.api import codec
from photon_core.api.chain import Block, Certificate, Validator, ValidatorSet
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.finality import block_hash, validators_hash
from photon_core.chain import blocks
from photon_core.chain.certificates import sign_statement
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.chain.transactions import decode_transaction
from photon_core.node import blocksync
from photon_core.node.steps import FetchBlocks
from photon_core.node.verifier import Verifier
from photon_core.testing.node import VALIDATOR, Network, SimulatedNode, transfer

ASKED = FetchBlocks(peer=b"\x01" * 32, from_height=1, count=3)
STRANGER = from_seed(b"\x55" * 32, KeyPurpose.CONSENSUS)


@pytest.fixture(scope="module")
def source() -> SimulatedNode:
    network = Network(3)
    node = network.add(validator=True)
    for height in range(3):
        network.submit(node, [transfer(node.chain_id, height)], height)
        while len(node.certificates) <= height:
            network.step()
    return node


def pair(source: SimulatedNode, height: int) -> list[bytes]:
    return [blocks.encode_block(source.blocks[height - 1]), codec.encode_record(source.certificates[height - 1])]


def signed_anew(block: Block, certificate: Certificate, key: Any = VALIDATOR) -> list[bytes]:
    """The pair with a certificate that fits the block and is signed by `key`."""
    header = block.header
    statement = evolve(certificate.statement, height=header.height, block_hash=block_hash(header))
    honest = Certificate(statement=statement, signatures=(sign_statement(key, statement),))
    return [blocks.encode_block(block), codec.encode_record(honest)]


async def checked(plain: Any, source: SimulatedNode) -> list[int]:
    found = await blocksync.check(plain, ASKED, source.genesis.validator_set, source.chain_id, Verifier())
    return [certified.block.header.height for certified in found]


async def test_the_truth_passes(source: SimulatedNode) -> None:
    assert await checked([pair(source, height) for height in (1, 2, 3)], source) == [1, 2, 3]
    assert await checked([], source) == []


@pytest.mark.parametrize("sort", ["claims", "transactions"])
async def test_all_blocks_of_an_answer_are_verified_together(
    source: SimulatedNode, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    batches: list[int] = []
    verify = getattr(Verifier, sort)

    async def counted(self: Verifier, some: Any) -> list[bool]:
        batches.append(len(some))
        answers: list[bool] = await verify(self, some)
        return answers

    monkeypatch.setattr(Verifier, sort, counted)
    await checked([pair(source, height) for height in (1, 2, 3)], source)
    assert len(batches) == 1


Lie = Callable[[SimulatedNode], Any]


def wrong_certificate(source: SimulatedNode) -> Any:
    return [[pair(source, 1)[0], pair(source, 2)[1]]]


def other_transactions(source: SimulatedNode) -> Any:
    block = evolve(source.blocks[0], transactions=(transfer(source.chain_id, 0, amount_uptn=99).raw,))
    return [[blocks.encode_block(block), pair(source, 1)[1]]]


def left_out_transactions(source: SimulatedNode) -> Any:
    return [[blocks.encode_block(evolve(source.blocks[0], transactions=())), pair(source, 1)[1]]]


def other_header(source: SimulatedNode) -> Any:
    block = evolve(source.blocks[0], header=evolve(source.blocks[0].header, time_ms=1))
    return [[blocks.encode_block(block), pair(source, 1)[1]]]


def other_validators(source: SimulatedNode) -> Any:
    strangers = ValidatorSet(validators=(Validator(key=STRANGER.public, power=1),))
    header = evolve(source.blocks[0].header, validators_hash=validators_hash(strangers))
    return [signed_anew(evolve(source.blocks[0], header=header), source.certificates[0], STRANGER)]


def signed_by_a_stranger(source: SimulatedNode) -> Any:
    return [signed_anew(source.blocks[0], source.certificates[0], STRANGER)]


def bad_signature(source: SimulatedNode) -> Any:
    certificate = source.certificates[0]
    forged = evolve(certificate.signatures[0], signature=b"\x01" * 64)
    return [[pair(source, 1)[0], codec.encode_record(evolve(certificate, signatures=(forged,)))]]


def no_signature_at_all(source: SimulatedNode) -> Any:
    return [[pair(source, 1)[0], codec.encode_record(evolve(source.certificates[0], signatures=()))]]


def forged_transaction(source: SimulatedNode) -> Any:
    """In a block that the validator itself certified: its quorum could lie about signatures, and is not believed."""
    body, _ = codec.decode(source.blocks[0].transactions[0], max_bytes=10_000)
    raw = codec.encode([body, b"\x02" * 64])
    ids = [decode_transaction(raw, source.chain_id).id]
    header = evolve(source.blocks[0].header, transactions_root=blocks.transactions_root(ids))
    return [signed_anew(Block(header=header, transactions=(raw,)), source.certificates[0])]


def another_height(source: SimulatedNode) -> Any:
    return [pair(source, 2)]


def a_gap(source: SimulatedNode) -> Any:
    return [pair(source, 1), pair(source, 3)]


def too_many(source: SimulatedNode) -> Any:
    return [pair(source, 1)] * 4


LIES: tuple[Lie, ...] = (
    wrong_certificate, other_transactions, left_out_transactions, other_header, other_validators,
    signed_by_a_stranger, bad_signature, no_signature_at_all, forged_transaction, another_height, a_gap, too_many,
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_a_lie_is_the_peers_fault(lie: Lie, source: SimulatedNode) -> None:
    with pytest.raises(PeerProtocolError):
        await checked(lie(source), source)


async def test_blocks_of_another_chain_are_refused(source: SimulatedNode) -> None:
    validators = source.genesis.validator_set
    with pytest.raises(PeerProtocolError, match="chain"):
        await blocksync.check([pair(source, 1)], ASKED, validators, b"\x09" * 32, Verifier())


plain = st.recursive(st.integers() | st.binary(max_size=30) | st.none(), lambda inner: st.lists(inner, max_size=3))


@given(plain)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_answer_is_blocks_or_the_peers_fault(source: SimulatedNode, answer: Any) -> None:
    import trio

    async def check() -> None:
        if answer != []:
            with pytest.raises(PeerProtocolError):
                await checked(answer, source)

    trio.run(check)


# --- answering -------------------------------------------------------------------------------------------------------


async def test_answers_what_there_is_consecutively(source: SimulatedNode) -> None:
    async def read(height: int) -> tuple[bytes, bytes] | None:
        return tuple(pair(source, height)) if height <= 3 else None  # type: ignore[return-value]

    assert await blocksync.answer([2, 64], read) == [pair(source, 2), pair(source, 3)]
    assert await blocksync.answer([4, 1], read) == []


async def test_an_answer_stops_growing_once_it_is_large() -> None:
    async def read(_height: int) -> tuple[bytes, bytes]:
        return bytes(2**20), b""

    found = await blocksync.answer([1, 64], read)
    assert len(found) * 2**20 <= blocksync.ANSWER_BYTES_MAX - 4 * 2**20


@pytest.mark.parametrize("params", [None, [], [1], [0, 1], [1, 0], [1, 65], [-1, 1], [1, 2, 3], [b"", 1], [2**63, 1]])
async def test_questions_out_of_bounds_are_refused(params: Any) -> None:
    async def read(_height: int) -> tuple[bytes, bytes] | None:
        raise AssertionError("nothing is read for them")

    with pytest.raises(CodecError):
        await blocksync.answer(params, read)
