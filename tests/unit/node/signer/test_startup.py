"""Design, section 6: "it signs only after a quorum (itself included) has answered; if a valid signature of its own is
not in its store, the store is old: it abstains up to the highest verified certificate + 2W".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photon_core.api.errors import PeerProtocolError
from photon_core.node.signer import Abstaining, Signer, SlotTaken, make_signer_store, statement_slot
from photon_core.testing.slot_memory import CrashingMemory

NOTHING: list[Any] = [None, [], []]


@pytest.fixture
def memory() -> CrashingMemory:
    return CrashingMemory()


@pytest.fixture
def signer(committee: Any, memory: CrashingMemory) -> Signer:
    return Signer(committee.keys[0], memory)


def settled(rule: Any) -> Signer:
    """What `settle_signer` does with a decision."""
    decision, signer = rule.decision, rule.signer
    signer.learn(decision.unknown, abstains_until=decision.abstains_until, round_floor=decision.round_floor)
    signer.open_gate()
    return signer


# --- the quorum ------------------------------------------------------------------------------------------------------


def test_a_quorum_itself_included_must_have_answered(committee: Any, signer: Signer) -> None:
    rule = committee.rule(signer)
    rule.answered(committee.key(1), NOTHING)
    assert rule.decision is None
    rule.answered(committee.key(1), NOTHING)  # once more
    rule.answered(b"\x99" * 32, NOTHING)  # of a stranger
    rule.answered(committee.key(0), NOTHING)  # of itself
    assert rule.decision is None
    rule.answered(committee.key(3), NOTHING)
    assert rule.decision.abstains_until == 0
    assert rule.waits_for == (committee.key(2),)


def test_a_quorum_is_counted_by_power(committee_of: Any, memory: CrashingMemory) -> None:
    committee = committee_of((1, 5, 1, 1))
    rule = committee.rule(Signer(committee.keys[0], memory))
    rule.answered(committee.key(2), NOTHING)
    rule.answered(committee.key(3), NOTHING)
    assert rule.decision is None
    rule.answered(committee.key(1), NOTHING)
    assert rule.decision is not None


def test_alone_it_has_nobody_to_ask(committee_of: Any, memory: CrashingMemory) -> None:
    committee = committee_of((1,))
    assert committee.rule(Signer(committee.keys[0], memory)).decision.abstains_until == 0


# --- an old store ----------------------------------------------------------------------------------------------------


def old_and_new(committee: Any, memory: CrashingMemory) -> tuple[CrashingMemory, bytes]:
    """A copy of the folder, taken before the validator went on to sign, and what others got of it after that."""
    signer = Signer(committee.keys[0], memory)
    signer.open_gate()
    signer.sign((20, 0, 1), committee.vote((20, 0, 1)))
    copy = memory.copy()
    vote = committee.vote((21, 2, 1))
    signer.sign((21, 2, 1), vote, round_floor=2)
    return copy, committee.message(vote)


def test_what_others_have_seen_and_the_store_does_not_know_makes_it_abstain(
    committee: Any, memory: CrashingMemory
) -> None:
    copy, message = old_and_new(committee, memory)
    rule = committee.rule(Signer(committee.keys[0], copy), window=4)
    rule.answered(committee.key(1), NOTHING)
    rule.answered(committee.key(2), committee.answer(committee.certificate(20), messages=[message]))
    signer = settled(rule)
    assert signer.abstains_until == 20 + 2 * 4
    for height in (22, 28):
        with pytest.raises(Abstaining, match="the other validators hold signatures"):
            signer.sign_statement(committee.statement(height))
    with pytest.raises(SlotTaken):
        signer.sign((21, 2, 1), b"against what it is known now to have signed")
    with pytest.raises(SlotTaken, match="below 2 are closed"):
        signer.sign((29, 1, 1), b"a round that it may have promised to leave")
    signer.sign((29, 2, 1), b"beyond the doubt")


def test_a_restart_forgets_neither_the_abstention_nor_prolongs_it(committee: Any, memory: CrashingMemory) -> None:
    copy, message = old_and_new(committee, memory)
    rule = committee.rule(Signer(committee.keys[0], copy))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(committee.certificate(20), messages=[message]))
    settled(rule)
    again = copy.after_crash()
    rule = committee.rule(Signer(committee.keys[0], again))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(committee.certificate(24), messages=[message]))
    signer = settled(rule)
    assert (signer.abstains_until, signer.round_floor) == (28, 2)
    signer.sign_statement(committee.statement(29))


def test_a_finality_statement_is_a_signature_as_well(committee: Any, signer: Signer) -> None:
    rule = committee.rule(signer)
    rule.answered(committee.key(1), committee.answer(statement=committee.statement(7)))
    rule.answered(committee.key(2), NOTHING)
    assert list(rule.decision.unknown) == [statement_slot(7)]
    assert settled(rule).abstains_until == 8


@pytest.mark.parametrize("own", [True, False])
def test_a_certificate_that_it_signed_itself_shows_it_too(committee: Any, signer: Signer, own: bool) -> None:
    """The signer's folder is older than the chain's, next to it or elsewhere."""
    certificate = committee.certificate(9, by=(0, 1, 2))
    rule = committee.rule(signer, own_certificate=certificate if own else None)
    rule.answered(committee.key(1), committee.answer(certificate))
    rule.answered(committee.key(2), NOTHING)
    assert rule.decision.abstains_until == 9 + 8


def test_alone_with_a_folder_older_than_its_chain_it_abstains(committee_of: Any, memory: CrashingMemory) -> None:
    committee = committee_of((1,))
    rule = committee.rule(Signer(committee.keys[0], memory), own_certificate=committee.certificate(30, by=(0,)))
    assert rule.decision.abstains_until == 38


def test_an_answer_after_the_quorum_can_still_make_it_abstain(committee: Any, memory: CrashingMemory) -> None:
    copy, message = old_and_new(committee, memory)
    rule = committee.rule(Signer(committee.keys[0], copy))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(committee.certificate(20)))
    signer = settled(rule)
    signer.sign((25, 0, 1), b"vote")
    rule.answered(committee.key(3), committee.answer(messages=[message]))
    settled(rule)
    with pytest.raises(Abstaining):
        signer.sign((25, 0, 2), b"vote")


# --- a good store ----------------------------------------------------------------------------------------------------


def test_a_store_that_knows_all_that_is_shown_goes_on(committee: Any, memory: CrashingMemory) -> None:
    _, message = old_and_new(committee, memory)
    signer = Signer(committee.keys[0], memory.after_crash())
    rule = committee.rule(signer, own_certificate=committee.certificate(19))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(committee.certificate(20), messages=[message]))
    assert not rule.decision.unknown
    settled(rule).sign((22, 2, 1), b"vote")


def test_what_is_final_and_forgotten_is_no_news(committee: Any, memory: CrashingMemory) -> None:
    signer = Signer(committee.keys[0], memory)
    signer.open_gate()
    for height in range(1, 200):
        signer.sign_statement(committee.statement(height))
        signer.raise_mark(height)
    rule = committee.rule(Signer(committee.keys[0], memory.after_crash()))
    for n, height in ((1, 3), (2, 199)):
        rule.answered(committee.key(n), committee.answer(committee.certificate(height, by=(0, 1, 2))))
    assert not rule.decision.unknown


def test_at_the_start_of_a_network_all_are_new_and_none_abstains(committee: Any) -> None:
    for n in range(4):
        rule = committee.rule(Signer(committee.keys[n], CrashingMemory()))
        for other in range(4):
            rule.answered(committee.key(other), NOTHING)
        settled(rule).sign_statement(committee.statement(1))


# --- liars -----------------------------------------------------------------------------------------------------------


def lies(committee: Any) -> dict[str, Any]:
    good = committee.vote((9, 0, 1))
    bad_certificate = committee.certificate(1_000, by=(1, 2))
    forged = committee.certificate(1_000)
    return {
        "no list": 7,
        "too few": [None],
        "a certificate one vote short": committee.answer(bad_certificate),
        "a certificate with another's signatures": [
            [
                [committee.chain_id, 1_001, *[b"\x01" * 32] * 4],
                [[s.validator, s.signature] for s in forged.signatures],
            ],
            [],
            [],
        ],
        "a statement under another key": committee.answer(statement=committee.statement(9), by=1),
        "a statement of another chain": committee.answer(statement=committee.statement(9, chain_id=b"\x06" * 32)),
        "a forged vote": committee.answer(messages=[committee.message(good, forged=True)]),
        "a message of somebody else": committee.answer(messages=[committee.message(good, by=2)]),
        "no message of the engine": committee.answer(messages=[b"\xff\xff"]),
        "too many messages": [None, [], [committee.message(good)] * 100],
        "a good statement with a bad message": committee.answer(
            statement=committee.statement(9), messages=[committee.message(good, forged=True)]
        ),
    }


@pytest.mark.parametrize("lie", range(11))
def test_a_liar_costs_itself_and_neither_silences_nor_opens_the_signer(
    committee: Any, signer: Signer, lie: int
) -> None:
    said = list(lies(committee).values())[lie]
    rule = committee.rule(signer)
    rule.answered(committee.key(1), NOTHING)
    with pytest.raises(PeerProtocolError):
        rule.answered(committee.key(2), said)
    assert rule.decision is None, "it has not answered"
    rule.answered(committee.key(3), NOTHING)
    assert (rule.decision.abstains_until, rule.decision.certified_height) == (0, 0)


def test_an_old_signature_cannot_be_shown_for_a_new_one(committee: Any, memory: CrashingMemory) -> None:
    """Which slot a signature is of, only this node's own engine says."""
    signer = Signer(committee.keys[0], memory)
    signer.open_gate()
    old = committee.vote((3, 0, 1))
    signer.sign((3, 0, 1), old)
    for height in range(4, 100):
        signer.sign_statement(committee.statement(height))
        signer.raise_mark(height)
    rule = committee.rule(Signer(committee.keys[0], memory.after_crash()))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(messages=[committee.message(old)]))
    assert not rule.decision.unknown


# --- damage that the disk cannot tell from a crash -------------------------------------------------------------------


def test_a_last_frame_that_was_whole_and_is_damaged_opens_like_a_torn_one_and_the_peers_know_better(
    committee: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "signer"
    make_signer_store(folder, committee.keys[0])
    signer = Signer.open(committee.keys[0], folder, committee.chain_id)
    signer.open_gate()
    vote = committee.vote((5, 1, 1))
    signer.sign((5, 1, 1), vote)
    signer.close()
    log = folder / "wal.log"
    log.write_bytes(log.read_bytes()[:-1] + b"\xff")

    signer = Signer.open(committee.keys[0], folder, committee.chain_id)  # it cannot know
    try:
        rule = committee.rule(signer)
        rule.answered(committee.key(1), committee.answer(messages=[committee.message(vote)]))
        rule.answered(committee.key(2), NOTHING)
        settled(rule)
        with pytest.raises(SlotTaken):
            signer.sign((5, 1, 1), committee.vote((5, 1, 1), b"another"))
        with pytest.raises(Abstaining):
            signer.sign((5, 1, 2), b"commit")
    finally:
        signer.close()
