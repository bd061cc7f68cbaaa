"""Between our records and Docker's JSON; and who is to blame for a start that failed."""

from __future__ import annotations

import pytest

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import CannotStart, ContainerSpec, ContainerState, Limits, Mount
from photon_runtime_docker.engine import DockerEngine
from photon_runtime_docker.errors import start_refused
from photon_runtime_docker.translate import config_of, container_of, event_of, info_of, nanoseconds

CREATE_FAILED = "failed to create shim: OCI runtime create failed"
NOT_FOUND = "executable file not found in $PATH"
SPEC = ContainerSpec(
    name="n",
    image="i",
    labels=(("k", "v"),),
    network_of="abc",
    mounts=(Mount(source="/a", target="/etc/hosts"),),
    temporary=(("/tmp", 5),),
    limits=Limits(cpu_milli=250, memory_bytes=2**26, pids_max=64),
    log_bytes=3000,
)


def test_every_container_is_hardened() -> None:
    host = config_of(SPEC)["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"], host["SecurityOpt"]) == (["ALL"], [], ["no-new-privileges"])
    assert (host["Privileged"], host["IpcMode"], host["RestartPolicy"]) == (False, "private", {"Name": "no"})
    assert (host["NetworkMode"], host["PublishAllPorts"]) == ("container:abc", False)
    assert (host["Memory"], host["MemorySwap"]) == (2**26, 2**26)
    assert (host["NanoCpus"], host["PidsLimit"]) == (250_000_000, 64)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1000", "max-file": "3"}}
    assert host["Mounts"][0]["ReadOnly"] is True
    assert config_of(SPEC)["Healthcheck"] == {"Test": ["NONE"]}


def test_sandbox_has_no_network_and_what_is_not_said_is_the_images() -> None:
    config = config_of(ContainerSpec(name="n", image="i", labels=(), hostname="web-0"))
    assert config["HostConfig"]["NetworkMode"] == "none"
    assert config["Hostname"] == "web-0"
    assert "Entrypoint" not in config
    assert "Cmd" not in config


@pytest.mark.parametrize(
    ("said", "ns"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-01-02T03:04:05.123456789Z", 1_767_323_045_123_456_789),
        ("2026-01-02T04:04:05+01:00", 1_767_323_045_000_000_000),
        ("nonsense", 0),
    ],
)
def test_times_keep_their_nanoseconds(said: str, ns: int) -> None:
    assert nanoseconds(said) == ns


def test_states_are_ours() -> None:
    def seen(**state: object) -> ContainerState:
        return container_of({"Id": "x", "Name": "/n", "State": state}).state

    assert seen(Status="created") is ContainerState.CREATED
    assert seen(Status="paused", Running=True) is ContainerState.RUNNING
    assert seen(Status="dead") is ContainerState.EXITED
    assert seen(Status="exited") is ContainerState.EXITED


def test_events_of_other_things_are_none() -> None:
    assert event_of({"Type": "image", "Action": "pull", "Actor": {"ID": "x"}}) is None
    event = event_of({"Type": "container", "Action": "exec_die: x", "Actor": {"ID": "x", "Attributes": {"a": "b"}}})
    assert event is not None
    assert (event.what, event.labels) == ("exec_die", {"a": "b"})


def test_limits_that_the_kernel_lacks_are_warned_of() -> None:
    warnings = " ".join(info_of({"MemoryLimit": False, "PidsLimit": True, "SwapLimit": False}).warnings)
    assert "memory" in warnings
    assert "swap" in warnings
    assert "seccomp" in warnings
    assert not info_of({"SecurityOptions": ["name=seccomp,profile=default"]}).warnings


@pytest.mark.parametrize(
    ("message", "reason", "code"),
    [
        (
            f'{CREATE_FAILED}: unable to start container process: exec: "nope": {NOT_FOUND}: unknown',
            'exec: "nope": executable file not found in $PATH',
            127,
        ),
        (
            f'{CREATE_FAILED}: starting container process caused: exec: "/etc": permission denied: unknown',
            'exec: "/etc": permission denied',
            126,
        ),
        ("unable to find user nobody-here: no matching entries in passwd file", None, 127),
    ],
)
def test_start_that_the_manifest_is_to_blame_for(message: str, reason: str | None, code: int) -> None:
    refused = start_refused(message)
    assert isinstance(refused, CannotStart)
    assert refused.reason == (reason or message)
    assert refused.exit_code == code


@pytest.mark.parametrize(
    "message",
    [
        "OCI runtime create failed: unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: no such file",
        "write /run/x: no space left on device",
        "something that nobody has heard of",
    ],
)
def test_start_that_the_machine_is_to_blame_for(message: str) -> None:
    assert isinstance(start_refused(message), RuntimeFailure)


def test_engines_of_other_machines_are_refused() -> None:
    with pytest.raises(RuntimeFailure, match="not on this machine") as refused:
        DockerEngine.at("tcp://10.0.0.1:2375")
    assert "unix://" in refused.value.remedy
