"""The signer never signs two things for one slot, whatever it is asked and however often it starts."""

from __future__ import annotations

from threading import Thread

import pytest
from attrs import evolve

from photon_core.api.chain import FinalityStatement
from photon_core.api.errors import CodecError, LocalProtocolError, PhotonError
from photon_core.api.finality import statement_message
from photon_core.chain.keys import KeyPurpose, from_seed, verify_message
from photon_core.node.signer import Abstaining, HeightFinal, Signer, SignRequest, SlotTaken, engine_slot, statement_slot
from photon_core.node.signer.signer import FORGET_EVERY_HEIGHTS, REQUESTS_MAX
from photon_core.testing.node import VALIDATOR
from photon_core.testing.slot_memory import Crashed, CrashingMemory, CrashPoint


def statement(height: int, root: int = 1) -> FinalityStatement:
    return FinalityStatement(
        chain_id=b"\x05" * 32, height=height, block_hash=b"\x01" * 32, state_root=bytes([root]) * 32,
        receipts_root=b"\x03" * 32, next_validators_hash=b"\x04" * 32,
    )  # fmt: skip


def opened(memory: CrashingMemory) -> Signer:
    signer = Signer(VALIDATOR, memory)
    signer.open_gate()
    return signer


def reopened(memory: CrashingMemory, *, found: bool = False) -> tuple[Signer, CrashingMemory]:
    memory = memory.after_crash(found=found)
    return opened(memory), memory


@pytest.fixture
def memory() -> CrashingMemory:
    return CrashingMemory()


@pytest.fixture
def signer(memory: CrashingMemory) -> Signer:
    return opened(memory)


# --- slots -----------------------------------------------------------------------------------------------------------


def test_signs_once_and_the_same_again(signer: Signer) -> None:
    first = signer.sign_statement(statement(1))
    assert verify_message(VALIDATOR.public, statement_message(statement(1)), first.signature)
    assert signer.sign_statement(statement(1)) == first
    with pytest.raises(SlotTaken, match="signed before") as caught:
        signer.sign_statement(statement(1, root=2))
    assert caught.value.code == "slot-taken"


def test_remembers_across_restarts(signer: Signer, memory: CrashingMemory) -> None:
    first = signer.sign_statement(statement(1))
    signer, _ = reopened(memory)
    assert signer.sign_statement(statement(1)) == first
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(1, root=2))


def test_engines_and_finality_never_share_a_slot(signer: Signer) -> None:
    signer.sign_statement(statement(1))
    one = signer.sign((1, 0, 0), b"prepare")
    assert signer.sign((1, 0, 0), b"prepare") == one
    signer.sign((1, 0, 1), b"commit")
    with pytest.raises(SlotTaken):
        signer.sign((1, 0, 0), b"another")


@pytest.mark.parametrize("slot", [(), (1,), (1, -1), (1, 2**64), (1, True), tuple(range(8))])
def test_what_is_no_slot_is_a_bug_of_the_caller(signer: Signer, slot: tuple[int, ...]) -> None:
    with pytest.raises(LocalProtocolError, match="no engine's slot"):
        signer.sign(slot, b"vote")


def test_a_statement_of_another_chain_is_another_thing(signer: Signer) -> None:
    signer.sign_statement(statement(1))
    with pytest.raises(SlotTaken):
        signer.sign_statement(evolve(statement(1), chain_id=b"\x06" * 32))


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "found", "remembered"),
    [
        (CrashPoint.BEFORE_WRITE, False, False),
        (CrashPoint.BEFORE_SYNC, False, False),
        (CrashPoint.BEFORE_SYNC, True, True),
        (CrashPoint.AFTER_SYNC, False, True),
    ],
)
def test_killed_at_each_step_it_knows_all_that_it_may_have_signed(
    signer: Signer, memory: CrashingMemory, point: CrashPoint, found: bool, remembered: bool
) -> None:
    memory.crash_at = point
    with pytest.raises(Crashed):  # so no signature left
        signer.sign((1, 7, 0), b"view change", round_floor=7)
    signer, _ = reopened(memory, found=found)
    assert signer.round_floor == (7 if remembered else 0)
    if remembered:
        with pytest.raises(SlotTaken):
            signer.sign((1, 7, 0), b"another")
    else:
        signer.sign((1, 7, 0), b"another")  # the first was never signed: the slot is free


def test_nothing_is_signed_or_promised_when_the_disk_fails(
    signer: Signer, memory: CrashingMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise PhotonError(code="disk-full", what="no space")

    with monkeypatch.context() as patch:
        patch.setattr(CrashingMemory, "append", full)
        with pytest.raises(PhotonError, match="no space"):
            signer.sign((1, 3, 0), b"view change", round_floor=3)
    signer.sign((1, 2, 0), b"vote of a round that is open still")
    signer.sign((1, 3, 0), b"another")


# --- rounds ----------------------------------------------------------------------------------------------------------


def test_a_round_floor_closes_lower_rounds_at_every_height(signer: Signer, memory: CrashingMemory) -> None:
    before = signer.sign((5, 1, 1), b"prepare in round 1")
    signer.sign((5, 2, 0), b"view change", round_floor=2)
    for _ in range(2):
        for height in (5, 6, 500):
            with pytest.raises(SlotTaken, match="below 2 are closed") as caught:
                signer.sign((height, 1, 2), b"commit in round 1")
            assert caught.value.code == "round-closed"
        assert signer.sign((5, 1, 1), b"prepare in round 1") == before, "it was said before the promise"
        signer.sign((5, 2, 1), b"prepare in round 2")
        signer.sign_statement(statement(5))  # has no round
        signer, memory = reopened(memory)


def test_a_floor_that_comes_with_what_was_signed_before_holds_as_well(signer: Signer, memory: CrashingMemory) -> None:
    signer.sign((5, 2, 0), b"view change")
    signer.sign((5, 2, 0), b"view change", round_floor=2)
    signer, _ = reopened(memory)
    assert signer.round_floor == 2


def test_a_refused_request_promises_nothing(signer: Signer) -> None:
    signer.sign((5, 2, 0), b"view change")
    with pytest.raises(SlotTaken):
        signer.sign((5, 2, 0), b"another", round_floor=9)
    assert signer.round_floor == 0


# --- the mark --------------------------------------------------------------------------------------------------------


def test_below_the_mark_nothing_is_signed(signer: Signer) -> None:
    signer.sign_statement(statement(1))
    signer.raise_mark(5)
    for height in (1, 5):
        with pytest.raises(HeightFinal, match="final already, up to height 5"):
            signer.sign_statement(statement(height))
    signer.sign_statement(statement(6))
    signer.raise_mark(3)
    with pytest.raises(Abstaining):
        signer.sign_statement(statement(5))


def test_a_mark_that_a_crash_lost_leaves_the_slots(signer: Signer, memory: CrashingMemory) -> None:
    signer.sign_statement(statement(1))
    signer.raise_mark(1)
    signer.sign_statement(statement(2))
    signer, _ = reopened(memory)
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(1, root=2))


def test_memory_does_not_grow_with_the_chain_and_keeps_every_promise(signer: Signer, memory: CrashingMemory) -> None:
    signer.sign((1, 4, 0), b"view change", round_floor=4)
    for height in range(1, 10 * FORGET_EVERY_HEIGHTS):
        signer.sign_statement(statement(height))
        signer.raise_mark(height)
    assert len(memory.read_all()) <= 2 * FORGET_EVERY_HEIGHTS
    signer, _ = reopened(memory)
    assert signer.round_floor == 4
    for height in (1, FORGET_EVERY_HEIGHTS, 10 * FORGET_EVERY_HEIGHTS - 1):
        with pytest.raises((SlotTaken, Abstaining)):
            signer.sign_statement(statement(height, root=2))


def test_forgetting_keeps_an_abstention_that_reaches_further(memory: CrashingMemory) -> None:
    signer = opened(memory)
    signer.learn({}, abstains_until=1_000, round_floor=6)
    signer.raise_mark(1_000 - 1)
    signer.sign((1_001, 6, 0), b"beyond the doubt")  # forgets what lies below the mark
    signer, _ = reopened(memory)
    assert (signer.abstains_until, signer.round_floor) == (1_000, 6)
    with pytest.raises(Abstaining):
        signer.sign_statement(statement(1_000))


# --- abstaining ------------------------------------------------------------------------------------------------------


def test_before_the_gate_opens_nothing_is_signed(memory: CrashingMemory) -> None:
    signer = opened(memory)
    signer.sign_statement(statement(1))
    signer = Signer(VALIDATOR, memory.after_crash())
    for height in (1, 2):
        with pytest.raises(Abstaining, match="not asked yet"):
            signer.sign_statement(statement(height))
    signer.open_gate()
    signer.sign_statement(statement(2))


def test_an_abstention_holds_up_to_its_height_also_after_a_restart(signer: Signer, memory: CrashingMemory) -> None:
    known = signer.sign_statement(statement(3))
    signer.learn({}, abstains_until=10, round_floor=2)
    for _ in range(2):
        for height in (4, 10):
            with pytest.raises(Abstaining, match=r"the other validators hold signatures.*up to height 10") as caught:
                signer.sign_statement(statement(height))
            assert caught.value.until_height == 10
        with pytest.raises(Abstaining):
            signer.sign((10, 9, 0), b"vote")
        assert signer.sign_statement(statement(3)) == known, "what is in the store was signed before"
        with pytest.raises(SlotTaken):
            signer.sign((11, 1, 0), b"a vote in a round that it may have closed")
        signer.sign((11, 2, 0), b"vote")
        signer, memory = reopened(memory)


def test_an_abstention_is_never_shortened(signer: Signer) -> None:
    signer.learn({}, abstains_until=10, round_floor=2)
    signer.learn({}, abstains_until=5, round_floor=1)
    assert (signer.abstains_until, signer.round_floor) == (10, 2)


# --- many at once ----------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_as_one_after_the_other_with_one_sync(signer: Signer, memory: CrashingMemory) -> None:
    answers = signer.sign_all(
        [
            SignRequest(statement_slot(1), b"statement"),
            SignRequest(engine_slot((1, 0, 1)), b"prepare"),
            SignRequest(engine_slot((1, 0, 1)), b"another"),
            SignRequest(engine_slot((1, 0, 1)), b"prepare"),
            SignRequest(engine_slot((1, 3, 0)), b"view change", 3),
            SignRequest(engine_slot((2, 2, 1)), b"prepare in a closed round"),
        ]
    )
    assert memory.appends == 1
    assert verify_message(VALIDATOR.public, b"view change", answers[4])  # type: ignore[arg-type]
    assert [type(answer) for answer in answers] == [bytes, bytes, SlotTaken, bytes, bytes, SlotTaken]
    assert answers[1] == answers[3]
    signer, memory = reopened(memory)
    assert signer.sign((1, 0, 1), b"prepare") == answers[1]
    assert memory.appends == 0, "what is known costs no sync"
    assert signer.sign_all([]) == ()


def test_a_batch_is_bounded(signer: Signer) -> None:
    with pytest.raises(LocalProtocolError, match="at once"):
        signer.sign_all([SignRequest(statement_slot(1), b"same")] * (REQUESTS_MAX + 1))


def test_of_two_threads_that_ask_for_one_slot_one_wins(signer: Signer) -> None:
    outcomes: list[object] = []

    def ask(message: bytes) -> None:
        outcomes.extend(signer.sign_all([SignRequest(statement_slot(9), message)]))

    threads = [Thread(target=ask, args=(bytes([n]),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, bytes) for outcome in outcomes) == 1


def test_the_memory_of_another_key_is_refused(signer: Signer, memory: CrashingMemory) -> None:
    signer.learn({}, abstains_until=1, round_floor=0)  # says whose memory it is
    with pytest.raises(CodecError, match="the memory of"):
        Signer(from_seed(b"\x12" * 32, KeyPurpose.CONSENSUS), memory)
