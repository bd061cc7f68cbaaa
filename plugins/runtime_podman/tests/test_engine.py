"""The shared runtime's protocol, kept by a real Podman."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import (
    CannotStart,
    Container,
    ContainerState,
    EngineDown,
    Limits,
    LimitsRefused,
    Mount,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    RegistryUnreachable,
)
from photon_runtime_podman.engine import PodmanEngine
from photon_runtime_podman.rest import Rest

from .conftest import FOREVER, IMAGE, LABEL, LITTLE, MIB, NAME, running, spec, until

pytestmark = [pytest.mark.engines, pytest.mark.root]


def ended(engine: PodmanEngine, container: str) -> Container:
    until(lambda: engine.inspect(container).state is ContainerState.EXITED)
    return engine.inspect(container)


def output(engine: PodmanEngine, container: str, tail_lines: int | None = None, **more: Any) -> bytes:
    asked = {"follow": False, "since_ns": 0, **more}
    return b"".join(engine.logs(container, tail_lines=tail_lines, **asked))


def test_it_says_what_it_is(engine: PodmanEngine) -> None:
    info = engine.info()
    assert info.name == "Podman"
    assert info.architecture == os.uname().machine
    assert info.cpu_count == os.cpu_count()
    assert info.memory_bytes > 0
    assert Path(info.folder).is_absolute()
    assert not info.rootless
    assert not info.warnings


def test_without_a_socket_it_says_which_command_starts_podman(tmp_path: Path) -> None:
    with pytest.raises(EngineDown) as down:
        PodmanEngine(tmp_path / "podman.sock").info()
    assert str(tmp_path / "podman.sock") in down.value.what
    assert "systemctl enable --now podman.socket" in down.value.remedy


@pytest.mark.parametrize("url", ["tcp://10.0.0.1:8080", "ssh://core@host/run/podman.sock", "podman.sock"])
def test_an_engine_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(RuntimeFailure, match="no socket of this machine"):
        PodmanEngine.at(url)


def test_an_images_parts_are_known(engine: PodmanEngine) -> None:
    image = engine.image(IMAGE)
    assert image is not None
    assert (image.user, image.command[:1]) == ("1000:1000", ("/usr/bin/python3",))
    assert engine.image("photon.test/absent:1") is None


@pytest.mark.parametrize("short", ["python:1", "python"])
def test_a_short_name_is_not_what_happens_to_be_stored(engine: PodmanEngine, short: str) -> None:
    image = engine.image(IMAGE)
    assert image is not None
    assert engine.image(short) is None
    assert engine.image(image.id[:12]) is None
    assert engine.image(image.id) is None


def test_what_is_no_image_is_told(engine: PodmanEngine) -> None:
    with pytest.raises(NoSuchImage):
        engine.image("no name at all")
    with pytest.raises(NoSuchImage):
        engine.create(spec(image="photon.test/absent:1"))
    with pytest.raises(RegistryUnreachable, match=r"nowhere\.invalid/x:1"):
        list(engine.pull("nowhere.invalid/x:1"))


def test_it_runs_as_it_was_made(engine: PodmanEngine) -> None:
    container = running(engine, hostname="web")
    seen = engine.inspect(container)
    assert (seen.name, seen.labels["photon.test.of"]) == (NAME, LABEL["photon.test.of"])
    assert (seen.state, seen.limits, seen.out_of_memory) == (ContainerState.RUNNING, LITTLE, False)
    assert seen.finished_ns == 0
    assert abs(time.time_ns() - seen.started_ns) < 60 * 10**9
    assert Path(f"/proc/{seen.pid}/root/etc/hostname").read_text().strip() == "web"
    engine.start(container)
    assert engine.inspect(container) == seen
    assert [(one.id, one.state) for one in engine.list(LABEL)] == [(container, ContainerState.RUNNING)]
    assert engine.list({**LABEL, "other": "1"}) == ()


def test_it_may_be_without_limits(engine: PodmanEngine) -> None:
    assert engine.inspect(running(engine, limits=Limits())).limits == Limits()


def test_a_name_is_one_containers(engine: PodmanEngine) -> None:
    engine.create(spec())
    with pytest.raises(NameTaken):
        engine.create(spec())


def test_a_workload_has_its_sandboxs_network_and_name(engine: PodmanEngine) -> None:
    sandbox = running(engine, hostname="web")
    workload = running(engine, f"hostname; {FOREVER}", name=NAME + "-2", network_of=sandbox)
    spaces = {str(Path(f"/proc/{engine.inspect(one).pid}/ns/net").readlink()) for one in (sandbox, workload)}
    assert len(spaces) == 1
    until(lambda: output(engine, workload) == b"web\n")


def test_a_workload_does_not_wake_a_dead_sandbox(engine: PodmanEngine) -> None:
    sandbox = running(engine)
    workload = engine.create(spec(name=NAME + "-2", network_of=sandbox))
    engine.stop(sandbox, 0)
    with pytest.raises(RuntimeFailure, match="does not run"):
        engine.start(workload)
    assert engine.inspect(sandbox).state is ContainerState.EXITED
    engine.remove(sandbox)
    assert engine.list(LABEL) == ()
    with pytest.raises(NoSuchContainer):
        engine.create(spec(name=NAME + "-3", network_of=sandbox))


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_started_is_the_manifests_fault(engine: PodmanEngine, command: str, code: int) -> None:
    container = engine.create(spec(entrypoint=(command,)))
    with pytest.raises(CannotStart) as told:
        engine.start(container)
    assert (told.value.exit_code, command in told.value.reason) == (code, True)
    assert "OCI" not in told.value.reason
    assert engine.inspect(container).state is ContainerState.CREATED


def test_stop_gives_grace_and_says_how_it_ended(engine: PodmanEngine) -> None:
    container = running(engine, "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: output(engine, container) == b"up\n")
    engine.stop(container, 10)
    assert engine.inspect(container).exit_code == 5
    engine.stop(container, 10)
    deaf = running(engine, "trap '' TERM; echo up; while :; do sleep 0.05; done", name=NAME + "-2")
    until(lambda: output(engine, deaf) == b"up\n")
    engine.stop(deaf, 0.1)
    assert engine.inspect(deaf).exit_code == 128 + signal.SIGKILL
    with pytest.raises(NoSuchContainer):
        engine.stop("absent", 1)


def test_removing_is_idempotent_and_takes_the_volumes(engine: PodmanEngine, rest: Rest) -> None:
    """The fixture looks for volumes afterwards."""
    container = engine.create(spec(image="photon.test/redis:1", entrypoint=()))
    engine.start(container)
    assert rest.ask("GET", f"/containers/{container}/json")["Mounts"]
    engine.remove(container)
    engine.remove(container)
    assert engine.list(LABEL) == ()
    with pytest.raises(NoSuchContainer):
        engine.inspect(container)


def test_limits_change_in_place_and_are_told_as_they_are(engine: PodmanEngine) -> None:
    container = running(engine)
    more = Limits(cpu_milli=350, memory_bytes=100_000_001, pids_max=77)
    engine.update(container, more)
    assert engine.inspect(container).limits == more
    engine.update(container, Limits(memory_bytes=80 * MIB))
    assert engine.inspect(container).limits == Limits(memory_bytes=80 * MIB)


def test_limits_outlive_a_restart_that_forgets_them(engine: PodmanEngine) -> None:
    more = Limits(cpu_milli=350, memory_bytes=100 * MIB, pids_max=77)
    container = running(engine)
    engine.update(container, more)
    engine.stop(container, 0)
    assert engine.inspect(container).limits == more
    engine.start(container)
    assert engine.inspect(container).limits == more
    engine.stop(container, 0)
    engine.update(container, LITTLE)
    engine.start(container)
    assert engine.inspect(container).limits == LITTLE


def test_limits_are_told_to_another_agent(engine: PodmanEngine, rest: Rest) -> None:
    container = running(engine)
    more = Limits(cpu_milli=350, memory_bytes=100 * MIB, pids_max=77)
    engine.update(container, more)
    other = PodmanEngine(rest.socket)
    assert other.inspect(container).limits == more
    other.close()


def test_limits_below_what_is_in_use_are_refused(engine: PodmanEngine) -> None:
    held = 'python3 -c \'import time; x = b"x" * (40 << 20); print("up", flush=True); time.sleep(1000)\''
    container = running(engine, held)
    until(lambda: output(engine, container) == b"up\n")
    with pytest.raises(LimitsRefused):
        engine.update(container, Limits(memory_bytes=8 * MIB))
    assert engine.inspect(container).state is ContainerState.RUNNING
    with pytest.raises(NoSuchContainer):
        engine.update("absent", LITTLE)


def test_want_of_memory_is_told_of_a_living_and_of_a_dead_one(engine: PodmanEngine) -> None:
    eat = "python3 -c 'x = b\"x\" * (200 << 20)'"
    dead = running(engine, f"exec {eat}")
    assert ended(engine, dead).out_of_memory
    living = running(engine, f"{eat}; echo $?; {FOREVER}", name=NAME + "-2")
    until(lambda: output(engine, living) != b"")
    assert engine.inspect(living).out_of_memory
    killed = running(engine, FOREVER, name=NAME + "-3")
    engine.stop(killed, 0)
    assert not engine.inspect(killed).out_of_memory


def test_files_and_folders_in_memory(engine: PodmanEngine, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.77.0.1 db\n")
    script = (
        "cat /etc/hosts; echo x > /tmp/x && cat /tmp/x; (echo x > /x) 2>/dev/null || echo read-only; ulimit -c; id -u"
    )
    mounts = (Mount(source=str(hosts), target="/etc/hosts"),)
    container = running(engine, script, mounts=mounts, temporary=(("/tmp", MIB),), read_only=True)
    ended(engine, container)
    assert output(engine, container).splitlines() == [b"127.77.0.1 db", b"x", b"read-only", b"0", b"1000"]


def test_a_container_has_not_the_hosts_names(engine: PodmanEngine) -> None:
    container = running(engine, "cat /etc/hosts 2>/dev/null; echo that is all")
    ended(engine, container)
    assert output(engine, container) == b"that is all\n"


def test_lines_are_counted_right_also_when_one_was_written_in_parts(engine: PodmanEngine) -> None:
    container = running(engine, "echo one; printf tw; sleep 0.3; echo o; printf three")
    ended(engine, container)
    tails = [output(engine, container, lines) for lines in (0, 1, 2, 3, 9, None)]
    whole = b"one\ntwo\nthree"
    assert tails == [b"", b"three", b"two\nthree", whole, whole, whole]


@pytest.mark.parametrize(("lines", "first"), [(None, b"one\ntwo\n"), (1, b"two\n"), (0, b"")])
def test_output_is_followed_to_the_end(engine: PodmanEngine, lines: int | None, first: bytes) -> None:
    container = running(engine, "echo one; echo two; while ! test -e /tmp/go; do sleep 0.05; done; echo three")
    until(lambda: output(engine, container) == b"one\ntwo\n")
    log = engine.logs(container, follow=True, tail_lines=lines, since_ns=0)
    heard = b""
    while heard != first:
        heard += next(log)
    touch = engine.exec(container, ("touch", "/tmp/go"), None)
    assert (touch.read(), touch.exit_code()) == (None, 0)
    touch.close()
    assert b"".join([heard, *log]) == first + b"three\n"


def test_a_log_begins_where_it_is_told(engine: PodmanEngine) -> None:
    container = running(engine, "echo before; sleep 0.5; echo after")
    end = ended(engine, container)
    assert output(engine, container, since_ns=end.started_ns + 300_000_000) == b"after\n"
    assert output(engine, container, since_ns=end.finished_ns + 10**9) == b""
    with pytest.raises(NoSuchContainer):
        output(engine, "absent")


def test_a_run_is_cut_from_the_one_before(engine: PodmanEngine) -> None:
    container = running(engine, "echo begun; sleep 0.3; echo over")
    for run in range(3):
        until(lambda: b"begun" in output(engine, container, since_ns=engine.inspect(container).started_ns))
        end = ended(engine, container)
        assert output(engine, container, since_ns=end.started_ns) == b"begun\nover\n"
        assert output(engine, container) == b"begun\nover\n" * (run + 1)
        engine.start(container)


def test_a_stream_is_closed_from_another_thread(engine: PodmanEngine) -> None:
    for stream in (
        engine.logs(running(engine), follow=True, tail_lines=None, since_ns=0),
        engine.events({"nobody": "has"}),
    ):
        reader = threading.Thread(target=list, args=(stream,))
        reader.start()
        time.sleep(0.1)
        assert reader.is_alive()
        stream.close()
        reader.join(2)
        assert not reader.is_alive()
        stream.close()


def test_events_are_told_from_the_moment_of_asking(engine: PodmanEngine) -> None:
    stream = engine.events(LABEL)
    container = running(engine, "exit 0")
    heard = []
    for event in stream:
        if event.container == container:
            heard.append(event.what)
            assert event.labels["photon.test.of"] == LABEL["photon.test.of"]
        if "die" in heard:
            break
    assert heard[0] == "create"
    assert "start" in heard
    engine.remove(container)
    assert any(event.what == "destroy" for event in stream)
    stream.close()


def test_whether_storage_is_limited_is_found_by_trying(engine: PodmanEngine, rest: Rest) -> None:
    assert engine.limits_storage(IMAGE) in {True, False}
    names = [name for one in rest.ask("GET", "/containers/json", {"all": "true"}) for name in one["Names"]]
    assert not [name for name in names if "probe" in name]
