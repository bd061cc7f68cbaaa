"""What this plugin takes for granted of Podman, asked of a real one. A newer Podman that fails here needs a look."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photon_core.api.runtime import ExecStream, TerminalSize
from photon_runtime_podman.follow import Stream
from photon_runtime_podman.frames import Frames
from photon_runtime_podman.hijack import Exec
from photon_runtime_podman.oom import out_of_memory
from photon_runtime_podman.rest import Refused, Rest, labels_filter, segment

from .conftest import IMAGE, LABEL

pytestmark = [pytest.mark.engines, pytest.mark.root]

FOREVER = "while :; do sleep 1000; done"
MIB = 2**20


def made(rest: Rest, script: str, **more: Any) -> str:
    body = {"image": IMAGE, "entrypoint": ["sh", "-c", script], "labels": LABEL, "netns": {"nsmode": "none"}, **more}
    return str(rest.ask("POST", "/containers/create", body=body)["Id"])


def started(rest: Rest, script: str, **more: Any) -> str:
    container = made(rest, script, **more)
    rest.ask("POST", f"/containers/{container}/start")
    return container


def state(rest: Rest, container: str) -> dict[str, Any]:
    return dict(rest.ask("GET", f"/containers/{container}/json")["State"])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def ended(rest: Rest, container: str) -> dict[str, Any]:
    until(lambda: state(rest, container)["Status"] == "exited")
    return state(rest, container)


def output(rest: Rest, container: str, **params: str) -> bytes:
    stream = Stream(rest.socket, "GET", f"/containers/{container}/logs", {"stdout": "true", "stderr": "true", **params})
    frames = Frames()
    return b"".join(data for piece in stream.pieces() for _, data in frames.feed(piece))


def network_of(pid: int | str) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def test_a_workload_joins_the_network_of_a_sandbox_that_has_none(rest: Rest) -> None:
    sandbox = started(rest, FOREVER)
    workload = started(rest, FOREVER, netns={"nsmode": "container", "value": sandbox})
    network = [network_of(state(rest, one)["Pid"]) for one in (sandbox, workload)]
    assert network[0] == network[1] != network_of("self")


def test_a_workload_outlives_its_sandbox_and_a_new_one_would_wake_it_with_another_network(rest: Rest) -> None:
    """So a workload is started only beside a sandbox that was seen to run."""
    sandbox = started(rest, FOREVER)
    workload = started(rest, FOREVER, netns={"nsmode": "container", "value": sandbox})
    rest.ask("POST", f"/containers/{sandbox}/kill")
    ended(rest, sandbox)
    assert state(rest, workload)["Running"]
    other = made(rest, FOREVER, netns={"nsmode": "container", "value": sandbox})
    rest.ask("POST", f"/containers/{other}/start")
    assert state(rest, sandbox)["Running"]


def test_a_sandbox_with_a_workload_goes_only_with_it(rest: Rest) -> None:
    sandbox = started(rest, FOREVER)
    workload = started(rest, FOREVER, netns={"nsmode": "container", "value": sandbox})
    gone = {"force": "true", "timeout": "0"}
    with pytest.raises(Refused, match="dependent containers"):
        rest.ask("DELETE", f"/containers/{sandbox}", gone)
    rest.ask("DELETE", f"/containers/{sandbox}", {**gone, "depend": "true"})
    with pytest.raises(Refused, match="no such container"):
        state(rest, workload)


def test_it_is_shut_in(rest: Rest) -> None:
    container = started(rest, FOREVER, cap_drop=["ALL"], no_new_privileges=True)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{state(rest, container)['Pid']}/status").read_text().splitlines()
    )
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_limits_change_while_it_runs_and_are_forgotten_by_a_restart(rest: Rest) -> None:
    """Podman before 5 keeps what it was made with, and says that when asked."""
    memory, pids, cpu = {"limit": 64 * MIB, "swap": 64 * MIB}, {"limit": 64}, {"quota": 50_000, "period": 100_000}
    container = started(rest, FOREVER, resource_limits={"memory": memory, "pids": pids, "cpu": cpu})
    assert limits(rest, container) == (64 * MIB, 64, 50_000)
    less = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 32}, "cpu": {**cpu, "quota": 20_000}}
    rest.ask("POST", f"/containers/{container}/update", body=less)
    assert limits(rest, container) == (32 * MIB, 32, 20_000)
    with pytest.raises(Refused):
        rest.ask("POST", f"/containers/{made(rest, FOREVER)}/update", body=less)


def limits(rest: Rest, container: str) -> tuple[int, int, int]:
    """Memory, pids, cpu quota, as the kernel has them, in either version of its groups."""
    lines = Path(f"/proc/{state(rest, container)['Pid']}/cgroup").read_text().splitlines()
    groups = {name: path for _, names, path in (line.split(":", 2) for line in lines) for name in names.split(",")}
    root = Path("/sys/fs/cgroup")
    if "memory" in groups:
        files = (("memory", "memory.limit_in_bytes"), ("pids", "pids.max"), ("cpu", "cpu.cfs_quota_us"))
        found = [root / kind / groups[kind].lstrip("/") / file for kind, file in files]
    else:
        found = [root / groups[""].lstrip("/") / file for file in ("memory.max", "pids.max", "cpu.max")]
    memory, pids, cpu = (int(path.read_text().split()[0]) for path in found)
    return memory, pids, cpu


def test_hosts_are_a_file_mounted_over_podmans_own(rest: Rest, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.77.0.1 db\n")
    mount = {"type": "bind", "source": str(hosts), "destination": "/etc/hosts", "options": ["ro"]}
    container = started(rest, f"cat /etc/hosts; echo x >> /etc/hosts || echo refused; {FOREVER}", mounts=[mount])
    until(lambda: b"refused" in output(rest, container))
    assert output(rest, container).startswith(b"127.77.0.1 db\n")


def test_the_volumes_of_an_image_go_with_the_container_by_another_word_than_dockers(rest: Rest) -> None:
    for word, left in (("v", 1), ("volumes", 0)):
        before = {one["Name"] for one in rest.ask("GET", "/volumes/json")}
        container = made(rest, FOREVER, volumes=[{"Name": "", "Dest": "/data"}])
        rest.ask("DELETE", f"/containers/{container}", {"force": "true", word: "true"})
        after = {one["Name"] for one in rest.ask("GET", "/volumes/json")} - before
        assert len(after) == left
        for name in after:
            rest.ask("DELETE", f"/volumes/{segment(name)}")


def test_containers_are_found_by_labels(rest: Rest) -> None:
    one, _ = made(rest, FOREVER, labels={**LABEL, "n": "1"}), made(rest, FOREVER, labels={**LABEL, "n": "2"})
    found = rest.ask("GET", "/containers/json", {"all": "true", "filters": labels_filter({**LABEL, "n": "1"})})
    assert [each["Id"] for each in found] == [one]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$; exit 0", 0), ("sh -c 'kill -9 $$'; exit $?", 137)]
)
def test_an_end_has_its_code(rest: Rest, script: str, code: int) -> None:
    assert ended(rest, started(rest, script))["ExitCode"] == code


@pytest.mark.parametrize(
    ("command", "cause"),
    [("no-such-command", "invoke a command that was not found"), ("/etc/passwd", "OCI permission denied")],
)
def test_a_command_that_is_none_is_told_at_the_start(rest: Rest, command: str, cause: str) -> None:
    container = made(rest, "", entrypoint=[command])
    with pytest.raises(Refused, match=cause) as refused:
        rest.ask("POST", f"/containers/{container}/start")
    assert command in str(refused.value)
    assert state(rest, container)["Status"] == "created"


def test_want_of_memory_is_known(rest: Rest) -> None:
    little = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    began = time.time()
    container = started(rest, "exec python3 -c 'x = b\"x\" * (200 << 20)'", resource_limits=little)
    end = ended(rest, container)
    assert end["ExitCode"] == 128 + signal.SIGKILL
    assert end["OOMKilled"] or out_of_memory(container, began)
    assert not out_of_memory(container, time.time() + 10)


def test_events_come_for_a_label_with_its_value(rest: Rest) -> None:
    stream = Stream(
        rest.socket, "GET", "/events", {"stream": "true", "filters": labels_filter(LABEL, type=["container"])}
    )
    heard: list[dict[str, Any]] = []
    listener = threading.Thread(target=lambda: heard.extend(json.loads(line) for line in stream.lines()))
    listener.start()
    container = started(rest, "exit 0")
    until(lambda: "died" in [one["status"] for one in heard])
    stream.close()
    listener.join(5)
    assert not listener.is_alive()
    assert [one["status"] for one in heard][:3] == ["create", "init", "start"]
    assert {one["id"] for one in heard} == {container}
    assert {one["Actor"]["Attributes"]["photon.test.of"] for one in heard} == {LABEL["photon.test.of"]}


def test_output_is_followed_until_the_end(rest: Rest) -> None:
    container = started(rest, "echo one; sleep 1; echo two")
    assert output(rest, container, follow="true") == b"one\ntwo\n"


@pytest.mark.parametrize("terminal", [None, TerminalSize(columns=100, rows=33)])
def test_a_command_beside_it_has_input_output_and_code(rest: Rest, terminal: TerminalSize | None) -> None:
    container = started(rest, FOREVER)
    command = Exec(rest, container, ("sh", "-c", "stty size; read word; echo got $word >&2; exit 7"), terminal)
    if terminal:
        assert said(command, b"33 100")
        command.resize(TerminalSize(columns=120, rows=40))
    command.write(b"it\n")
    command.end_input()
    heard = list(iter(command.read, None))
    assert b"got it" in b"".join(data for _, data in heard)
    assert {stream for stream, data in heard if b"got it" in data} == {
        ExecStream.STDOUT if terminal else ExecStream.STDERR
    }
    assert command.exit_code() == 7
    assert command.pid() == 0
    command.close()


def said(command: Exec, what: bytes) -> bool:
    heard = b""
    while what not in heard and (piece := command.read()):
        heard += piece[1]
    return what in heard


def test_a_command_survives_its_connection(rest: Rest) -> None:
    running = Exec(rest, started(rest, FOREVER), ("sleep", "1001"), None)
    until(lambda: running.pid() > 0)
    reader = threading.Thread(target=running.read)
    reader.start()
    running.close()
    reader.join(5)
    assert not reader.is_alive()
    os.kill(running.pid(), signal.SIGKILL)
    assert running.exit_code() == 128 + signal.SIGKILL


def test_a_pull_that_fails_says_so_in_the_middle_of_its_answer(rest: Rest) -> None:
    stream = Stream(rest.socket, "POST", "/images/pull", {"reference": "nowhere.invalid/nothing:1"})
    told = [json.loads(line) for line in stream.lines() if line]
    assert "nowhere.invalid" in told[-1]["error"]
