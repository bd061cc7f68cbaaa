"""Signatures are verified once, whoever brings them again, and a bad one is never taken for a good one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import trio
from attrs import evolve

from photon_core.api.consensus import Claim
from photon_core.api.finality import block_hash
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.node import verifier as module
from photon_core.node.verifier import SLICE, Verifier
from photon_core.testing.node import Network, transfer

KEY = from_seed(b"\x31" * 32, KeyPurpose.CONSENSUS)
CHAIN = b"\x05" * 32


def claim(text: bytes) -> Claim:
    return Claim(KEY.public, text, KEY.sign_message(text))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    """What was really verified."""
    found: list[Claim] = []

    def verify(claims: Sequence[Claim]) -> list[bool]:
        found.extend(claims)
        return keys.verify_batch(claims)

    monkeypatch.setattr(module, "verify_batch", verify)
    return found


async def test_a_claim_that_came_before_is_not_verified_again(verified: list[Claim]) -> None:
    verifier = Verifier()
    nested = [claim(bytes([n])) for n in range(5)]
    assert await verifier.claims(nested[:1]) == [True]
    assert await verifier.claims([*nested, nested[4]]) == [True] * 6
    assert len(verified) == 5


async def test_a_bad_claim_is_bad_each_time_and_spoils_no_other() -> None:
    verifier = Verifier()
    good = claim(b"vote")
    bad = [
        evolve(good, message=b"another"),
        evolve(good, signature=bytes(64)),
        evolve(good, signature=good.signature[:-1]),
        evolve(good, key=good.key + good.signature[:1], signature=good.signature[1:] + b"v", message=b"ote"),
    ]
    for _ in range(2):
        assert await verifier.claims([bad[0], good, *bad[1:]]) == [False, True, False, False, False]


async def test_many_are_verified_in_their_order_and_others_have_their_turns_meanwhile() -> None:
    verifier, turns = Verifier(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    many = [claim(bytes([number])) for number in range(5 * SLICE)]
    many[SLICE + 4] = evolve(many[SLICE + 4], signature=bytes(64))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        answers = await verifier.claims(many)
        nursery.cancel_scope.cancel()
    assert [number for number, good in enumerate(answers) if not good] == [SLICE + 4]
    assert turns >= 3, "one for each rest; who is first in a round is nobody's business"


async def test_however_many_bring_transactions_one_slice_is_verified_in_each_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verifier, verified, rounds = Verifier(), 0, [0]

    def verify(claims: Sequence[Claim]) -> list[bool]:
        nonlocal verified
        verified += len(claims)
        return [True] * len(claims)

    async def look() -> None:
        while True:
            rounds.append(verified)
            await trio.lowlevel.checkpoint()

    monkeypatch.setattr(module, "verify_batch", verify)
    async with trio.open_nursery() as watching:
        watching.start_soon(look)
        async with trio.open_nursery() as nursery:
            for batch in range(8):
                some = [transfer(CHAIN, 3 * SLICE * batch + number) for number in range(3 * SLICE)]
                nursery.start_soon(verifier.transactions, some)
        watching.cancel_scope.cancel()
    assert verified == 8 * 3 * SLICE
    assert max(after - before for before, after in pairwise(rounds)) <= 2 * SLICE


async def test_what_this_node_signed_needs_no_verification(verified: list[Claim]) -> None:
    verifier = Verifier()
    verifier.trust(claim(b"mine"))
    assert await verifier.claims([claim(b"mine")]) == [True]
    assert not verified


async def test_a_certificate_of_known_statements_costs_nothing(verified: list[Claim]) -> None:
    network = Network(4)
    node = network.add(validator=True)
    while not node.certificates:
        network.step()
    (certificate, *_) = node.certificates
    verifier, validators = Verifier(), node.genesis.validator_set
    assert certificate.statement.block_hash == block_hash(node.blocks[0].header)
    for _ in range(2):
        assert await verifier.certificate(certificate, validators, node.chain_id) == ""
    assert len(verified) == 1
    forged = evolve(certificate, signatures=(evolve(certificate.signatures[0], signature=bytes(64)),))
    assert "invalid one" in await verifier.certificate(forged, validators, node.chain_id)


async def test_transactions_are_remembered_by_id(verified: list[Claim]) -> None:
    verifier = Verifier()
    many = [transfer(CHAIN, n) for n in range(4)]
    assert await verifier.transactions(many[:2]) == [True, True]
    assert await verifier.transactions(many) == [True] * 4
    assert len(verified) == 4
