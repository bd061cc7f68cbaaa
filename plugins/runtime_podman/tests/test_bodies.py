"""Our records as Podman's JSON, and the other way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_runtime_containers.engine import ContainerSpec, ContainerState, Limits, Mount
from photon_runtime_podman import bodies

MIB = 2**20
ULIMITS = bodies.ulimits_body(
    [{"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}, {"Name": "RLIMIT_CORE", "Soft": 9, "Hard": 9}]
)
NEVER = "0001-01-01T00:00:00Z"


def spec(**more: Any) -> ContainerSpec:
    return ContainerSpec(name="n", image="photon.test/a:1", labels=(("l", "1"),), **more)


def told(**state: Any) -> dict[str, Any]:
    """As much of an `inspect` as is read."""
    return {
        "Id": "ab" * 32,
        "Name": "n",
        "Created": "2026-12-01T01:55:35.749204014Z",
        "State": {"Status": "running", "Pid": 7, "ExitCode": 0, "StartedAt": NEVER, "FinishedAt": NEVER, **state},
        "Config": {"Labels": None},
        "HostConfig": {"CpuQuota": 50_000, "CpuPeriod": 100_000, "Memory": 64 * MIB, "PidsLimit": -1},
    }


def test_every_container_is_shut_in() -> None:
    body = bodies.create_body(spec(), "photon.test/a:1", "", ULIMITS)
    assert body["cap_drop"] == ["ALL"]
    assert body["cap_add"] == []
    assert body["no_new_privileges"] is True
    assert body["netns"] == {"nsmode": "none"}
    assert not body["privileged"]
    assert body["r_limits"] == [{"type": "NOFILE", "soft": 1, "hard": 2}, {"type": "CORE", "soft": 0, "hard": 0}]
    assert json.loads(json.dumps(body)) == body


def test_what_the_spec_says_is_asked_for() -> None:
    body = bodies.create_body(
        spec(
            entrypoint=("sh",),
            command=("-c", "true"),
            env=(("A", "b c"),),
            network_of="id",
            mounts=(Mount(source="/s", target="/etc/hosts"), Mount(source="/w", target="/w", read_only=False)),
            temporary=(("/tmp", 1024),),
            limits=Limits(cpu_milli=500, memory_bytes=64 * MIB, pids_max=9),
            storage_bytes=MIB,
            log_bytes=1000,
            read_only=True,
            capabilities=("NET_BIND_SERVICE",),
        ),
        "full",
        "web",
        ULIMITS,
    )
    assert (body["entrypoint"], body["command"], body["env"]) == (["sh"], ["-c", "true"], {"A": "b c"})
    assert body["netns"] == {"nsmode": "container", "value": "id"}
    assert [mount["options"][0] for mount in body["mounts"]] == ["ro", "rw", "size=1024"]
    assert body["resource_limits"]["cpu"] == {"quota": 50_000, "period": 100_000}
    assert body["resource_limits"]["memory"] == {"limit": 64 * MIB, "swap": 64 * MIB}
    assert body["resource_limits"]["pids"] == {"limit": 9}
    assert body["storage_opts"] == {"size": str(MIB)}
    assert body["log_configuration"] == {"driver": "k8s-file", "size": 1000}
    assert (body["read_only_filesystem"], body["hostname"]) == (True, "web")
    assert body["cap_add"] == ["CAP_NET_BIND_SERVICE"]


def test_the_images_own_words_are_left_alone() -> None:
    assert not {"entrypoint", "command", "storage_opts", "user", "work_dir", "stop_signal"} & set(
        bodies.create_body(spec(), "a", "", ULIMITS)
    )


def test_no_limit_is_said_aloud() -> None:
    """Left out of a change, the old one would stay; said in a creation, it is refused."""
    assert bodies.limits_body(Limits()) == {"pids": {"limit": 0}}
    assert bodies.change_body(Limits()) == {
        "memory": {"limit": -1, "swap": -1},
        "cpu": {"quota": -1, "period": 100_000},
        "pids": {"limit": -1},
    }
    assert bodies.limits_body(Limits(cpu_milli=1))["cpu"]["quota"] == 1_000


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("created", ContainerState.CREATED),
        ("initialized", ContainerState.CREATED),
        ("running", ContainerState.RUNNING),
        ("paused", ContainerState.RUNNING),
        ("stopping", ContainerState.RUNNING),
        ("stopped", ContainerState.EXITED),
        ("exited", ContainerState.EXITED),
        ("removing", ContainerState.EXITED),
    ],
)
def test_states(word: str, state: ContainerState) -> None:
    assert bodies.container_of(told(Status=word)).state is state


def test_times_and_codes_are_of_the_run_that_the_state_is_about() -> None:
    times = {"StartedAt": "2026-12-01T01:56:01.060425396Z", "FinishedAt": "2026-12-01T02:56:26.8366+01:00"}
    runs = bodies.container_of(told(ExitCode=9, **times))
    assert (runs.pid, runs.exit_code, runs.finished_ns) == (7, 0, 0)
    assert runs.started_ns == 1_796_090_161_060_425_396
    over = bodies.container_of(told(Status="exited", ExitCode=9, OOMKilled=True, **times))
    assert (over.pid, over.exit_code, over.out_of_memory) == (0, 9, True)
    assert over.finished_ns == 1_796_090_186_836_600_000
    assert over.limits == Limits(cpu_milli=500, memory_bytes=64 * MIB, pids_max=0)


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_a_time_survives_to_its_last_digit(ns: int) -> None:
    assert bodies.time_ns(bodies.time_text(ns)) == ns


def test_the_cut_between_two_runs_lies_between_them() -> None:
    ended, began = "2026-12-01T02:00:00.000Z", "2026-12-01T02:00:00.100Z"
    state = {"StartedAt": began, "FinishedAt": ended}
    assert bodies.time_ns(ended) < bodies.cut_ns(state, bodies.time_ns(began), 0) < bodies.time_ns(began)
    for end in (NEVER, "2026-12-01T03:00:00Z"):  # the first run; and one that is over, so that the last end is unknown
        cut = bodies.cut_ns({**state, "FinishedAt": end}, bodies.time_ns(began), 0)
        assert bodies.time_ns(ended) < cut < bodies.time_ns(began)
    assert bodies.cut_ns(state, 77, 0) == 76
    later = bodies.time_ns(ended) + 40_000_000
    assert bodies.cut_ns(state, bodies.time_ns(began), later) == later + bodies.CLOCK_LAG_NS


@pytest.mark.parametrize("text", ["", "yesterday", "2026-12-01", "2026-12-01T01:56:01", "2026-13-01T01:56:01Z"])
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|month"):
        bodies.time_ns(text)


def test_an_event_has_its_labels_and_dockers_word() -> None:
    actor = {"ID": "x", "Attributes": {"photon": "1", "image": "i"}}
    assert bodies.event_of({"Action": "died", "Actor": actor}).what == "die"
    assert bodies.event_of({"Action": "remove", "Actor": actor}).what == "destroy"
    assert bodies.event_of({"Action": "start", "Actor": actor}).labels == {"photon": "1", "image": "i"}


def test_an_image_may_say_its_entrypoint_in_one_word() -> None:
    image = bodies.image_of({"Id": "i", "Config": {"Entrypoint": "/init", "Cmd": ["a"], "User": "app"}})
    assert (image.entrypoint, image.command, image.user) == (("/init",), ("a",), "app")
    assert bodies.image_of({"Id": "i", "Config": {}}).entrypoint == ()
