"""Between core and signer: batches in order, refusals by kind, and nothing before the start-up rule has spoken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from attrs import define, field

from photon_core.api.chain import FinalityStatement
from photon_core.api.consensus import Claim
from photon_core.api.finality import statement_message
from photon_core.chain.keys import KeyPurpose, from_seed, verify_message
from photon_core.node import steps
from photon_core.node.signer import Signer
from photon_core.node.signing import Signing
from photon_core.node.verifier import Verifier
from photon_core.testing.slot_memory import CrashingMemory

KEY = from_seed(b"\x31" * 32, KeyPurpose.CONSENSUS)


def vote(height: int, text: bytes = b"vote", round_floor: int = 0) -> steps.SignSlot:
    return steps.SignSlot(slot=(height, 0, 1), message=text, round_floor=round_floor)


def statement(height: int, root: bytes = bytes(32)) -> steps.SignStatement:
    return steps.SignStatement(
        statement=FinalityStatement(
            chain_id=bytes(32),
            height=height,
            block_hash=bytes(32),
            state_root=root,
            receipts_root=bytes(32),
            next_validators_hash=bytes(32),
        )
    )


@define
class Desk:
    signer: Signer
    verifier: Verifier = field(factory=Verifier)
    done: list[steps.Input] = field(factory=list)
    signing: Signing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.signing = Signing(self.signer, self.verifier, self.done.append)

    async def answers(self, count: int) -> list[steps.Input]:
        with trio.fail_after(10):
            while len(self.done) < count:
                await trio.testing.wait_all_tasks_blocked(0.001)
        return self.done


@asynccontextmanager
async def desk(*, settled: bool = True) -> AsyncIterator[Desk]:
    made = Desk(Signer(KEY, CrashingMemory()))
    if settled:
        made.signer.open_gate()
        made.signing.settled()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.signing.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_what_gathers_is_signed_in_order() -> None:
    async with desk() as made:
        for effect in (vote(1), statement(1), vote(2)):
            made.signing.begin(effect)
        one, two, three = await made.answers(3)
        assert isinstance(one, steps.SlotSigned)
        assert isinstance(two, steps.StatementSigned)
        assert isinstance(three, steps.SlotSigned)
        assert (one.slot, three.slot) == ((1, 0, 1), (2, 0, 1))
        assert verify_message(KEY.public, b"vote", one.signature)
        assert verify_message(KEY.public, statement_message(two.statement), two.signature.signature)
        assert made.signing.state == "signing"
        assert await made.verifier.claims([Claim(KEY.public, b"vote", one.signature)]) == [True]


async def test_a_second_statement_is_refused_and_that_is_no_doubt() -> None:
    async with desk() as made:
        for effect in (vote(1), vote(1, b"another"), statement(1), statement(1, b"\x01" * 32)):
            made.signing.begin(effect)
        _, slot, _, second = await made.answers(4)
        assert isinstance(slot, steps.SlotRefused)
        assert isinstance(second, steps.SigningRefused)
        assert not second.abstains
        assert second.height == 1


async def test_in_doubt_the_signer_abstains_and_says_why() -> None:
    async with desk() as made:
        made.signer.learn({}, abstains_until=5, round_floor=0)
        made.signing.begin(statement(5))
        made.signing.begin(vote(5))
        first, second = await made.answers(2)
        assert isinstance(first, steps.SigningRefused)
        assert first.abstains
        assert isinstance(second, steps.SlotRefused)
        made.signing.begin(statement(6))
        assert isinstance((await made.answers(3))[2], steps.StatementSigned)


async def test_it_says_that_it_is_silent_before_anything_was_refused_and_until_the_height_is_final() -> None:
    async with desk() as made:
        made.signer.learn({}, abstains_until=5, round_floor=0)
        for final in (0, 4):
            made.signer.raise_mark(final)
            assert made.signing.state.startswith("silent up to height 5: the other validators hold signatures")
        made.signer.raise_mark(5)
        assert made.signing.state == "signing"


async def test_a_height_that_is_final_already_is_no_silence() -> None:
    async with desk() as made:
        made.signer.raise_mark(3)
        made.signing.begin(vote(3))
        assert isinstance((await made.answers(1))[0], steps.SlotRefused)
        assert made.signing.state == "signing"


async def test_nothing_is_signed_or_refused_until_the_others_were_asked() -> None:
    async with desk(settled=False) as made:
        made.signing.begin(vote(1))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert made.done == []
        assert made.signing.state.startswith("asking")
        made.signer.open_gate()
        made.signing.settled()
        assert isinstance((await made.answers(1))[0], steps.SlotSigned)
