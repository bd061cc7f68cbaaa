import pytest

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import InstanceState, Observed
from photon_core.peers.methods import InstancePhase
from photon_core.provider.health import (
    BACKOFF_FIRST_MS,
    BACKOFF_MAX_MS,
    STABLE_MS,
    Memory,
    backoff_ms,
    judge,
    remember,
)

WEB = InstanceId(LeaseId(1, 0, 0), "web", 0)
TIMEOUT_MS = 30_000


class History:
    """One instance through time: what is seen goes in, how it is judged comes out."""

    def __init__(self) -> None:
        self.memory, self.now_ms, self._endings = Memory(), 1_000_000, 0

    def sees(self, state: InstanceState, *, closed: tuple[int, ...] = (), code: int | None = None, after_ms: int = 0):
        self.now_ms += after_ms
        if state in (InstanceState.EXITED, InstanceState.FAILED):
            self._endings += 1
        one = Observed(id=WEB, state=state, exit_code=code, reason="no such file", since_ms=self._endings)
        self.memory = remember(self.memory, one, closed, self.now_ms)
        return judge(one, self.memory, closed, self.now_ms, TIMEOUT_MS)


@pytest.fixture
def history():
    return History()


def test_ready_is_running_with_every_declared_port_open(history):
    assert history.sees(InstanceState.RUNNING, closed=(80,)).phase is InstancePhase.STARTING
    health = history.sees(InstanceState.RUNNING)
    assert (health.phase, health.fault) == (InstancePhase.READY, "")


def test_port_that_never_opens_is_a_fault_after_the_timeout_and_not_before(history):
    history.sees(InstanceState.RUNNING, closed=(80,))
    assert not history.sees(InstanceState.RUNNING, closed=(80,), after_ms=TIMEOUT_MS - 1).fault
    assert "80" in history.sees(InstanceState.RUNNING, closed=(80,), after_ms=1).fault


def test_port_that_closed_has_the_whole_timeout_again(history):
    history.sees(InstanceState.RUNNING, closed=(80,))
    history.sees(InstanceState.RUNNING, after_ms=TIMEOUT_MS - 1)
    assert not history.sees(InstanceState.RUNNING, closed=(80,), after_ms=1).fault
    assert not history.sees(InstanceState.RUNNING, closed=(80,), after_ms=TIMEOUT_MS - 1).fault


def test_start_that_failed_is_a_fault_with_its_reason(history):
    health = history.sees(InstanceState.FAILED)
    assert health.phase is InstancePhase.FAILED
    assert "no such file" in health.fault


def test_exit_that_is_not_clean_is_a_fault_at_once(history):
    assert "code 3" in history.sees(InstanceState.EXITED, code=3).fault


def test_clean_exit_is_a_fault_only_when_it_repeats(history):
    assert not history.sees(InstanceState.EXITED, code=0).fault
    history.sees(InstanceState.RUNNING, closed=(80,))
    assert "repeatedly" in history.sees(InstanceState.EXITED, code=0).fault


def test_one_failure_is_forgiven_as_soon_as_it_answers(history):
    history.sees(InstanceState.RUNNING)
    history.sees(InstanceState.EXITED, code=1, after_ms=STABLE_MS)
    assert not history.sees(InstanceState.RUNNING).fault


def test_loop_of_starts_and_exits_stays_at_fault_while_it_answers_in_between(history):
    for _ in range(2):
        history.sees(InstanceState.EXITED, code=1)
        history.sees(InstanceState.RUNNING, after_ms=100)
    assert history.sees(InstanceState.RUNNING, after_ms=STABLE_MS - 1).fault
    assert not history.sees(InstanceState.RUNNING, after_ms=1).fault


def test_restart_waits_longer_each_time_and_not_at_all_the_first(history):
    assert [backoff_ms(n) for n in range(4)] == [0, 0, BACKOFF_FIRST_MS, 2 * BACKOFF_FIRST_MS]
    assert backoff_ms(10**6) == BACKOFF_MAX_MS
    for n in range(1, 5):
        history.sees(InstanceState.EXITED, code=1)
        assert history.memory.hold_until_ms == history.now_ms + backoff_ms(n)


def test_one_ending_is_counted_once_however_often_it_is_seen():
    one = Observed(id=WEB, state=InstanceState.EXITED, exit_code=1, since_ms=5)
    memory = remember(Memory(), one, None, 1000)
    assert remember(memory, one, None, 2000) == memory
