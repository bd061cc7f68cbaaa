"""What is particular to this runtime: agents and helpers that are killed, homes that were left, users without power."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import evolve

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import InstanceState, RuntimeFailure
from photon_core.testing.checks.runtime_kit import FOREVER, RuntimeKit, desired, echo_forever, networks, said, until
from photon_runtime_process.folder import Folder
from photon_runtime_process.launch import CannotIsolate
from photon_runtime_process.logs import LogReader
from photon_runtime_process.runtime import ProcessRuntime
from photon_runtime_process.sweep import sweep

AGENT = Path(__file__).with_name("agent_process.py")
STRANGER = 54_321
"""A user that no machine has."""
AGENT_IMPORTS = (
    *("attr", "attrs", "idna", "outcome", "photon_core", "photon_runtime_process", "sniffio", "sortedcontainers"),
    "trio",
)


def agent(
    home: Path, verb: str, *before: str, script: Path = AGENT, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    python = before or (sys.executable,)
    return subprocess.Popen([*python, str(script), str(home), verb], stdout=subprocess.PIPE, text=True, env=env)


def answer(process: subprocess.Popen[str]) -> dict[str, list[object]]:
    assert process.stdout is not None
    value: dict[str, list[object]] = json.loads(process.stdout.readline())
    return value


def finish(process: subprocess.Popen[str], number: int = 0) -> None:
    if number:
        process.send_signal(number)
    process.communicate(timeout=30)


def test_workload_outlives_a_killed_agent_and_is_adopted(home: Path) -> None:
    first = agent(home, "apply")
    before = answer(first)
    finish(first, signal.SIGKILL)
    second = agent(home, "observe")
    assert answer(second) == before
    finish(second)
    assert before["7/0/0/web/0"][0] == "running"
    third = agent(home, "remove")
    assert answer(third) == {}
    finish(third)


def test_sweep_ends_what_a_killed_agent_left(home: Path) -> None:
    left = agent(home, "apply")
    answer(left)
    finish(left, signal.SIGKILL)
    assert [folder.helper() is not None for folder in Folder.all_in(home)] == [True]
    swept = subprocess.run(
        [sys.executable, "-m", "photon_runtime_process.sweep", str(home.parent / home.name)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert swept.stdout == "1 sandboxes ended\n"
    assert sweep(home) == 0
    assert [folder.helper() for folder in Folder.all_in(home)] == [None]


async def test_killed_sandbox_is_observed_and_made_anew(kit: RuntimeKit, home: Path) -> None:
    spec = kit.spec("web", echo_forever("up"))
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up")
        helper = Folder.of(home, spec.id).helper()
        assert helper is not None
        os.kill(helper.pid, signal.SIGKILL)
        seen = await until(runtime, spec.id, InstanceState.EXITED)
        assert "sandbox was killed" in seen.reason
        with pytest.raises(KeyError):
            await networks(runtime).namespace(spec.id)
        await runtime.apply(desired(spec))
        again = await until(runtime, spec.id, InstanceState.RUNNING)
        assert again.restarts == 1
        await said(runtime, spec.id, b"up\nup\n")  # the log of the one before is still there


async def test_home_of_another_chain_is_emptied(
    kit: RuntimeKit, home: Path, make: Callable[..., ProcessRuntime]
) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.agent() as runtime:
        await runtime.apply(desired(spec))
    folder = Folder.of(home, spec.id)
    identity = json.loads((folder.path / "identity.json").read_text())
    (folder.path / "identity.json").write_text(json.dumps(identity | {"chain_id": "00" * 32}))
    async with kit.agent() as runtime:
        assert await runtime.observe() == ()
    assert not folder.path.exists()


async def test_second_agent_in_one_home_is_refused(kit: RuntimeKit) -> None:
    async with kit.agent():
        with pytest.raises(RuntimeFailure, match="another agent"):
            await kit.make().run()


async def test_service_without_command_fails_with_what_to_write(kit: RuntimeKit) -> None:
    spec = kit.spec("web", ())
    async with kit.leased(spec) as runtime:
        seen = await until(runtime, spec.id, InstanceState.FAILED)
        assert "give a command" in seen.reason


@pytest.mark.parametrize("letter", ["é", "\N{GRINNING FACE}"])
async def test_why_a_command_could_not_be_started_fits_into_an_answer(kit: RuntimeKit, letter: str) -> None:
    """Whatever the tenant's variables make of it: what the tenant got wrong is not for the runtime to fail of."""
    spec = kit.spec("web", ("nosuch",), env=(("PATH", f"{letter}:" * 900),))
    async with kit.leased(spec) as runtime:
        (observed,) = await runtime.observe()
        assert observed.state is InstanceState.FAILED
        assert observed.reason.startswith("command 'nosuch' was not found in PATH=")


async def test_a_helper_that_its_tenant_broke_is_replaced(
    kit: RuntimeKit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        helper = Folder.of(home, spec.id).helper()
        assert helper is not None
        os.kill(helper.pid, signal.SIGSTOP)
        monkeypatch.setattr("photon_runtime_process.wire.ANSWER_S", 0.1)
        with pytest.raises(RuntimeFailure, match="did not answer"):
            await runtime.apply(desired(evolve(spec, args=("changed",))))
        monkeypatch.undo()
        assert not helper.alive
        await runtime.apply(desired(spec))
        assert (await until(runtime, spec.id, InstanceState.RUNNING)).spec_digest == spec.spec_digest


async def test_log_is_bounded_and_says_what_is_gone(
    kit: RuntimeKit, home: Path, make: Callable[..., ProcessRuntime]
) -> None:
    limit = 256 * 1024
    runtime = make(log_bytes=limit)
    spec = kit.spec("web", "yes 0123456789 | head -c 20000000; echo; echo THE END")
    async with trio.open_nursery() as nursery:
        await nursery.start(runtime.run)
        await runtime.apply(desired(spec))
        await until(runtime, spec.id, InstanceState.EXITED)
        kept = b"".join([piece async for piece in runtime.logs(spec.id, follow=False, tail_lines=10**9)])
        assert kept.endswith(b"THE END\n")
        assert limit // 2 < len(kept) <= limit
        assert sum(path.stat().st_size for path in Folder.of(home, spec.id).log.iterdir()) <= limit
        await runtime.remove(spec.id.lease)
        nursery.cancel_scope.cancel()


async def test_unwritable_limits_are_kept_and_a_too_large_file_is_refused(kit: RuntimeKit) -> None:
    spec = kit.spec("web", "head -c 300000000 /dev/zero > big; ls -s big; echo DONE; ulimit -c; ulimit -d")
    async with kit.leased(spec) as runtime:
        heard = await said(runtime, spec.id, b"DONE\n")
        assert b"File size limit exceeded" in heard or b"too large" in heard
        await until(runtime, spec.id, InstanceState.EXITED)
        tail = b"".join([piece async for piece in runtime.logs(spec.id, follow=False, tail_lines=2)])
        assert tail == b"0\n262144\n"


@pytest.mark.parametrize(
    "said_of_it", [{"state": "running", "of another version": 1}, {"state": "flying"}, {}, {"x": 1}]
)
async def test_a_sandbox_of_another_version_is_swept_and_made_anew(
    kit: RuntimeKit, home: Path, said_of_it: dict[str, object]
) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.agent() as runtime:
        await runtime.apply(desired(spec))
    folder = Folder.of(home, spec.id)
    helper = folder.helper()
    assert helper is not None
    (folder.path / "workload.json").write_text(json.dumps(said_of_it))
    async with kit.agent() as runtime:
        assert await runtime.observe() == ()
        assert not helper.alive
        await runtime.apply(desired(spec))
        await until(runtime, spec.id, InstanceState.RUNNING)
        await runtime.remove(spec.id.lease)


async def test_a_removal_does_not_let_others_into_a_lease_that_somebody_waits_for(
    home: Path, make: Callable[..., ProcessRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, lease = make(), LeaseId(1, 0, 0)
    inside: list[int] = []
    most: list[int] = []
    second = trio.Event()

    def looks(self: ProcessRuntime, of: LeaseId | None = None) -> list[tuple[InstanceId, Folder]]:
        inside.append(1)
        return [(InstanceId(lease, "web", 0), Folder(home / "none"))]

    async def destroy(self: ProcessRuntime, folder: Folder) -> None:
        most.append(len(inside))
        if len(most) > 1:
            second.set()
        await trio.testing.wait_all_tasks_blocked()
        inside.pop()

    monkeypatch.setattr(ProcessRuntime, "_folders", looks)
    monkeypatch.setattr(ProcessRuntime, "_destroy", destroy)

    async def late() -> None:
        await second.wait()
        await runtime.remove(lease)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for act in (lambda: runtime.remove(lease), lambda: runtime.remove(lease), late):
                nursery.start_soon(act)
    assert most == [1, 1, 1]


async def test_a_log_is_read_beside_the_event_loop(
    kit: RuntimeKit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: set[threading.Thread] = set()
    read = LogReader._read

    def watched(self: LogReader, start: int, skip: int, count: int) -> bytes:
        readers.add(threading.current_thread())
        return read(self, start, skip, count)

    monkeypatch.setattr(LogReader, "_read", watched)
    spec = kit.spec("web", echo_forever("up"))
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up\n")
        assert [piece async for piece in runtime.logs(spec.id, follow=False, tail_lines=9)] == [b"up\n"]
    assert readers
    assert threading.main_thread() not in readers


async def test_a_folder_that_cannot_be_written_is_a_failure_of_the_runtime(
    kit: RuntimeKit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spec = kit.spec("web", FOREVER)
    async with kit.leased(lease=spec.id.lease) as runtime:
        monkeypatch.setattr(Folder, "write_hosts", full)
        with pytest.raises(RuntimeFailure, match="No space"):
            await runtime.apply(desired(spec))


# --- as an ordinary user ----------------------------------------------------------------------------------------------


@pytest.fixture
def strangers_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="photon-stranger-"))
    os.chown(path, STRANGER, STRANGER)
    yield path
    sweep(path)
    shutil.rmtree(path)


@pytest.fixture
def as_stranger() -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """`as_stranger(home, verb)` is an `agent` of that user.

    Our Python, its libraries and this checkout may lie where only root can read: Debian's Python does as well, with
    copies of what an agent imports.
    """
    library = Path(tempfile.mkdtemp(prefix="photon-library-"))
    library.chmod(0o755)
    for name in AGENT_IMPORTS:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, library / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = shutil.copy(AGENT, library)
    before = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", "/usr/bin/python3", "-B")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(library)}
    yield lambda home, verb: agent(home, verb, *before, script=Path(script), env=environment)
    shutil.rmtree(library)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no python3 that a stranger can read")
def test_all_of_it_works_for_an_ordinary_user(
    strangers_home: Path, as_stranger: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    first = as_stranger(strangers_home, "apply")
    seen = answer(first)
    finish(first, signal.SIGKILL)
    state, _, restarts, said_inside = seen["7/0/0/web/0"]
    assert (state, restarts) == ("running", 0)
    assert str(said_inside).startswith(f"{STRANGER}\n")
    assert "unshare failed" in str(said_inside)
    assert str(said_inside).endswith("/dev/pts/0\r\n33 99\r\n")
    assert "\n0\n1\n2\n0\n1\n2\n127.0.0.1" in str(said_inside), "descriptors of the workload and of the command"
    second = as_stranger(strangers_home, "observe")
    assert answer(second) == seen
    finish(second)
    third = as_stranger(strangers_home, "remove")
    assert answer(third) == {}
    finish(third)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put another /etc before a process")
def test_a_host_without_a_hosts_file_gets_one_inside(home: Path) -> None:
    """As a fresh debootstrap is. Everything else in /etc is as outside."""
    bare = "mount -t tmpfs none /etc && echo 'is there' > /etc/shown && exec \"$@\""
    first = agent(home, "apply", "unshare", "--mount", "sh", "-c", bare, "sh", sys.executable)
    inside = str(answer(first)["7/0/0/web/0"][3])
    finish(first, signal.SIGKILL)
    assert "127.0.0.1 localhost" in inside
    assert "is there\nhosts\nshown\n" in inside
    last = agent(home, "remove")
    assert answer(last) == {}
    finish(last)


async def test_without_the_right_to_namespaces_it_says_what_to_do(
    home: Path, make: Callable[..., ProcessRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that reports what a kernel without them would say stands in for such a kernel."""
    refusal = json.dumps({"error": "not permitted", "step": "user namespace"})
    monkeypatch.setattr("photon_runtime_process.launch.BOOT", f"print({refusal!r})")
    with pytest.raises(CannotIsolate) as refused:
        await make().run()
    assert "user namespace: not permitted" in refused.value.what
    assert "max_user_namespaces" in refused.value.remedy
    assert "photon plugin list" in refused.value.remedy
