"""Whatever a signer is asked, wherever it crashes, and whichever copy of its folder it is started from: what leaves it
never contradicts what left it before.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from photon_core.api.chain import StatementSignature
from photon_core.api.finality import statement_message
from photon_core.node.signer import Abstaining, Answer, Signer, SignRequest, SlotTaken, engine_slot, statement_slot
from photon_core.node.signer.seen import Seen
from photon_core.node.signer.signer import ENGINE
from photon_core.testing.slot_memory import Crashed, CrashingMemory, CrashPoint

WINDOW = 3

heights = st.integers(1, WINDOW)
variants = st.integers(1, 2)
rounds = st.integers(0, 3)


class Signing(RuleBasedStateMachine):
    """The validator is `committee.keys[0]`; the other one, which has seen all that left, is a quorum by itself."""

    committee: Any

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[tuple[int, ...], bytes] = {}
        """All that ever left: slot → message."""
        self.asked: dict[tuple[int, ...], set[bytes]] = {}
        self.asked_before_promise: dict[tuple[int, ...], set[bytes]] = {}
        self.floor = 0
        """The highest that ever left with a signature."""
        self.certified = 0
        self.seen = Seen(self.committee.validators)
        self.copies: list[CrashingMemory] = []

    @initialize()
    def begin(self) -> None:
        self._start(CrashingMemory())

    def _start(self, memory: CrashingMemory) -> None:
        """With the start-up rule, as a node does it."""
        self.memory = memory
        self.signer = Signer(self.committee.keys[0], memory)
        certificate = self.committee.certificate(self.certified, by=(1,)) if self.certified else None
        startup = self.committee.rule(self.signer, window=WINDOW)
        startup.answered(self.committee.key(1), self.seen.answer([self.committee.key(0)], certificate))
        decision = startup.decision
        self.signer.learn(decision.unknown, abstains_until=decision.abstains_until, round_floor=decision.round_floor)
        self.signer.open_gate()

    # --- what is asked -----------------------------------------------------------------------------------------------

    def _vote(self, ahead: int, round_: int, variant: int, promises: bool) -> SignRequest:
        """A promise to leave the rounds below opens a round: nothing was asked in it before, as engines do."""
        promises = promises and all(slot[1] != ENGINE or slot[2] < round_ for slot in self.asked)
        slot = (self.certified + ahead, round_, 0 if promises else 1)
        return SignRequest(engine_slot(slot), self.committee.vote(slot, bytes([variant])), round_ if promises else 0)

    def _ask(self, requests: list[SignRequest]) -> tuple[Answer, ...]:
        for request in requests:
            self.asked.setdefault(request.slot, set()).add(request.message)
        answers = self.signer.sign_all(requests)
        assert len(answers) == len(requests)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, bytes):
                self._leaves(request)
            else:
                assert isinstance(answer, SlotTaken | Abstaining)
        return answers

    def _leaves(self, request: SignRequest) -> None:
        slot, message = request.slot, request.message
        assert self.left.setdefault(slot, message) == message, f"two things signed in {slot}"
        if slot[1] == ENGINE and slot[2] < self.floor:
            before = self.asked_before_promise.get(slot, set())
            assert message in before, f"{slot} was signed after round {self.floor} was promised"
        if request.round_floor > self.floor:
            self.floor = request.round_floor
            self.asked_before_promise = {known: set(messages) for known, messages in self.asked.items()}
        if slot[1] == ENGINE:
            whole = self.committee.message(message)
            self.seen.note(whole, self.committee.inspect(whole))

    @rule(ahead=heights, variant=variants)
    def statement(self, ahead: int, variant: int) -> None:
        statement = self.committee.statement(self.certified + ahead, root=variant)
        (signature,) = self._ask([SignRequest(statement_slot(statement.height), statement_message(statement))])
        if isinstance(signature, bytes):
            self.seen.note_statement(statement, StatementSignature(validator=self.signer.public, signature=signature))

    @rule(ahead=heights, round_=rounds, variant=variants, promises=st.booleans())
    def vote(self, ahead: int, round_: int, variant: int, promises: bool) -> None:
        self._ask([self._vote(ahead, round_, variant, promises)])

    @rule(votes=st.lists(st.tuples(heights, rounds, variants, st.booleans()), max_size=4))
    def many(self, votes: list[tuple[int, int, int, bool]]) -> None:
        self._ask([self._vote(*vote) for vote in votes])

    # --- what happens to it ------------------------------------------------------------------------------------------

    @rule(steps=st.sampled_from([1, 2, 70]))
    def certificate(self, steps: int) -> None:
        self.certified += steps
        self.signer.raise_mark(self.certified)

    @rule()
    def restart(self) -> None:
        self._start(self.memory.after_crash())

    @rule(
        point=st.sampled_from(CrashPoint), found=st.booleans(), ahead=heights, round_=rounds, variant=variants,
        promises=st.booleans(),
    )  # fmt: skip
    def crash(self, point: CrashPoint, found: bool, ahead: int, round_: int, variant: int, promises: bool) -> None:
        self.memory.crash_at = point
        try:
            self._ask([self._vote(ahead, round_, variant, promises)])
        except Crashed:
            self._start(self.memory.after_crash(found=found))
        self.memory.crash_at = None

    @rule()
    def copy(self) -> None:
        self.copies.append(self.memory.copy())

    @precondition(lambda self: self.copies)
    @rule(which=st.integers(0, 10))
    def start_from_a_copy(self, which: int) -> None:
        self._start(self.copies[which % len(self.copies)].copy())


def test_nothing_that_leaves_contradicts_what_left_before(committee_of: Any) -> None:
    Signing.committee = committee_of((1, 5))
    run_state_machine_as_test(Signing, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
