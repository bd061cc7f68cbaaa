"""What happened, told from two sights."""

import pytest
from attrs import evolve

from photon_core.peers.methods import EventKind, InstancePhase
from photon_core.provider.happenings import (
    MINUTE_MS,
    NEVER,
    REFUSED_AGAIN_MS,
    REFUSED_PER_MINUTE,
    InstanceSight,
    RefusedSight,
    Sight,
    happened,
)

WAITING, PREPARING, STARTING, READY, EXITED, FAILED = InstancePhase
NOW = 1_700_000_000_000


def web(phase, restarts=0, exit_code=None, **more):
    return InstanceSight(service="web", ordinal=0, phase=phase, restarts=restarts, exit_code=exit_code, **more)


def sight(*instances, **more):
    return Sight(instances=instances, **more)


def kinds(before, after, now_ms=NOW):
    return [event.kind.name for event in happened(before, after, now_ms)[0]]


LIFE = [
    (None, web(WAITING), []),
    (web(WAITING), web(PREPARING), ["PREPARING"]),
    (web(PREPARING), web(STARTING), ["STARTED"]),
    (web(STARTING), web(READY), ["READY"]),
    (web(READY), web(READY), []),
    (web(READY), web(STARTING), ["NOT_READY"]),
    (web(READY), web(EXITED, exit_code=3), ["EXITED"]),
    (web(EXITED, exit_code=3), web(EXITED, exit_code=3), []),
    (web(EXITED, exit_code=3), web(STARTING, 1, 3), ["RESTARTED"]),
    (web(EXITED, exit_code=3), web(READY, 1, 3), ["RESTARTED", "READY"]),
    (web(EXITED, 1, 3), web(EXITED, 2, 3, held_until_ms=NOW + 1), ["EXITED", "BACK_OFF"]),
    (web(READY), web(READY, 2), ["EXITED", "RESTARTED", "READY"]),
    (web(STARTING), web(FAILED), ["FAILED"]),
    (web(FAILED), web(STARTING, 1), ["RESTARTED"]),
    (web(READY), web(EXITED, reason="killed: out of memory"), ["OUT_OF_MEMORY"]),
    (web(READY, 5), web(READY, 0), ["STARTED", "READY"]),
    (None, web(READY), ["STARTED", "READY"]),
    (web(READY), None, ["STOPPED"]),
    (web(WAITING), None, []),
]


@pytest.mark.parametrize(("before", "after", "expected"), LIFE)
def test_each_change_of_an_instance_is_told_once(before, after, expected):
    earlier, later = (sight(*([one] if one else [])) for one in (before, after))
    assert kinds(earlier, later) == expected
    assert kinds(happened(earlier, later, NOW)[1], later) == [], "looking again at the same tells nothing"


def test_words_say_which_instance_and_how_it_ended():
    (event, back_off), _ = happened(sight(web(READY)), sight(web(EXITED, 0, 3, held_until_ms=NOW + 1500)), NOW)
    assert (event.service, event.ordinal, event.text, event.time_ms) == ("web", 0, "exited with code 3", NOW)
    assert back_off.text == "it is started again in 2 s"


def test_a_runtime_that_does_not_answer_hides_nothing_and_is_told_itself():
    up = sight(web(READY))
    events, during = happened(up, Sight(trouble="the engine is down"), NOW)
    assert [(e.kind, e.text) for e in events] == [(EventKind.TROUBLE, "the engine is down")]
    assert kinds(during, sight(web(READY, 1))) == ["TROUBLE_OVER", "EXITED", "RESTARTED", "READY"]


def test_manifest_and_grants():
    first = Sight(manifest=b"a" * 32, grants=("web may reach db:5432",), instances=())
    assert kinds(NEVER, first) == ["MANIFEST_TAKEN"]
    second = evolve(first, manifest=b"b" * 32, grants=("web may reach cache:6379",))
    (taken, changed), _ = happened(first, second, NOW)
    assert taken.text.startswith("another manifest")
    assert changed.text == "+ web may reach cache:6379; - web may reach db:5432"


# --- refused attempts -------------------------------------------------------------------------------------------------


def refused(count, target="db:5432"):
    return RefusedSight(service="web", target=target, count=count)


def look(before, now_ms, *found):
    events, kept = happened(before, Sight(instances=(), refused=found), now_ms)
    return [(event.text, event.count) for event in events], kept


def test_a_flood_is_a_few_events_with_large_counts():
    state, told = NEVER, []
    for second in range(3600):
        events, state = look(state, NOW + second * 1000, refused(1 + second * 100))
        told += events
    assert told[0] == ("tried to reach db:5432", 1)
    assert len(told) <= 7, "at once, then after pauses of 1, 2, 4, 8, 16, 32 minutes"
    assert sum(count for _, count in told) > 3600 * 50


def test_many_targets_are_so_many_events_in_a_minute_and_come_later():
    targets = [refused(1, f"10.0.0.{n}:80") for n in range(60)]
    first, state = look(NEVER, NOW, *targets)
    assert len(first) == REFUSED_PER_MINUTE
    assert look(state, NOW + MINUTE_MS - 1, *targets)[0] == []
    second, state = look(state, NOW + MINUTE_MS, *targets)
    assert len(second) == REFUSED_PER_MINUTE
    assert not {text for text, _ in first} & {text for text, _ in second}


def test_counts_that_begin_anew_with_the_agent_are_not_negative():
    _, state = look(NEVER, NOW, refused(100))
    assert look(state, NOW + REFUSED_AGAIN_MS, refused(3))[0] == [("tried to reach db:5432", 3)]
