"""What a workload must not be able to do. Each denial stands beside the same act where it is allowed."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import evolve

from photon_core.api.runtime import InstanceSpec, Runtime
from photon_core.testing.checks.runtime_kit import FOREVER, Ran, RuntimeKit, run_beside
from photon_runtime_process.runtime import ProcessRuntime

SECRET = "the agent's key"


class Inside:
    """A running workload, to run things beside it."""

    def __init__(self, runtime: Runtime, spec: InstanceSpec) -> None:
        self.runtime, self.spec = runtime, spec

    async def __call__(self, script: str) -> Ran:
        return await run_beside(self.runtime, self.spec.id, script)


@asynccontextmanager
async def inside(kit: RuntimeKit) -> AsyncIterator[Inside]:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        yield Inside(runtime, spec)


async def test_photons_folders_are_not_there(kit: RuntimeKit, home: Path) -> None:
    secret = home / "key"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    home.chmod(0o755)
    async with inside(kit) as run:
        assert secret.read_text() == SECRET  # readable by anybody outside, so it is not a matter of modes
        assert (await run(f"cat {secret}")).exit_code != 0
        assert SECRET.encode() not in (await run("grep -rs key /tmp /run /var /proc/1/environ /proc/1/root")).output
        assert (await run("echo mine > file && cat file && cat /etc/os-release")).exit_code == 0


@pytest.fixture
def shown() -> Iterator[Path]:
    """A folder of the host that everybody may read, with something in it that is not for everybody."""
    path = Path(tempfile.mkdtemp(prefix="photon-shown-"))
    path.chmod(0o755)
    (path / "private").mkdir()
    (path / "page").write_text("page")
    (path / "private/key").write_text(SECRET)
    yield path
    shutil.rmtree(path)


async def test_configured_paths_are_hidden_and_shown(
    kit: RuntimeKit, shown: Path, make: Callable[..., ProcessRuntime]
) -> None:
    kit = evolve(kit, make=lambda: make(show=(str(shown),)))
    async with inside(kit) as run:
        assert (await run(f"cat {shown}/page")).output == b"page"
        assert (await run(f"echo no > {shown}/page")).exit_code != 0
        assert (await run(f"cat {shown}/private/key")).output == SECRET.encode()
        assert (await run("cat /etc/os-release")).output != b""
    hide = (str(shown / "private"), "/etc/os-release")
    async with inside(evolve(kit, make=lambda: make(show=(str(shown),), hide=hide))) as run:
        assert (await run(f"cat {shown}/page")).output == b"page"
        assert (await run(f"cat {shown}/private/key")).exit_code != 0
        assert (await run(f"umount {shown}/private; cat {shown}/private/key")).exit_code != 0
        assert (await run("cat /etc/os-release")).output == b""


async def test_host_processes_are_not_seen(kit: RuntimeKit) -> None:
    async with inside(kit) as run:
        listed = (await run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).output
        assert b"sleep 1000" in listed
        assert b"pytest" not in listed
        assert (await run(f"kill -0 {os.getpid()}")).exit_code != 0
        assert (await run("kill -0 $$")).exit_code == 0


async def test_helper_cannot_be_killed_or_read(kit: RuntimeKit) -> None:
    async with inside(kit) as run:
        for number in ("TERM", "INT", "KILL", "STOP", "HUP", "USR1", "CHLD"):
            await run(f"kill -{number} 1")
        assert (await run("cat /proc/1/mem /proc/1/environ; ls /proc/1/fd /proc/1/root/")).exit_code != 0
        assert (await run("cat /proc/self/environ; ls /proc/self/fd/")).exit_code == 0
        assert (await run("echo alive")).output == b"alive\n"


async def test_nothing_can_be_mounted_or_unmounted(kit: RuntimeKit) -> None:
    async with inside(kit) as run:
        before = (await run("cat /proc/self/mounts")).output
        for attempt in (
            "umount /etc/hosts",
            "umount -l /usr",
            "mount -t tmpfs none /tmp",
            "mount -o remount,rw /",
            "mount --bind / /tmp",
        ):
            assert (await run(attempt)).exit_code != 0, attempt
        assert (await run("cat /proc/self/mounts")).output == before
        assert b" /etc/hosts " in before


async def test_no_capability_and_no_way_to_one(kit: RuntimeKit) -> None:
    async with inside(kit) as run:
        status = (await run("cat /proc/self/status")).output.decode()
        sets = [line.split()[1] for line in status.splitlines() if line.startswith("Cap")]
        assert sets == ["0" * 16] * 5
        assert "NoNewPrivs:\t1" in status
        assert (await run("id -u")).output != b"0\n"
        for flags in ("-U", "-Ur", "-Urm", "-n", "-m", "-p"):
            assert (await run(f"unshare {flags} true")).exit_code != 0, flags


async def test_unix_sockets_of_the_host_are_not_reached(kit: RuntimeKit) -> None:
    """Abstract ones belong to a network namespace, those with a path to a file tree."""
    connect = "python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect({})'"
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as own:
        abstract.bind(b"\0photon-test-abstract")
        abstract.listen()
        own.connect(b"\0photon-test-abstract")
        async with inside(kit) as run:
            assert (await run(connect.format('b"\\0photon-test-abstract"'))).exit_code != 0
            listen = 'import socket; s=socket.socket(socket.AF_UNIX); s.bind(b"\\0x"); s.listen(); '
            assert (await run(f"python3 -c '{listen}socket.socket(socket.AF_UNIX).connect(b\"\\0x\")'")).exit_code == 0
            assert (await run("ls -A /run")).output == b"workload\n"


async def test_writes_stay_in_its_own_folders(kit: RuntimeKit) -> None:
    async with inside(kit) as run:
        for path in (".", "/tmp", "/dev/shm"):
            assert (await run(f"echo x > {path}/mine && rm {path}/mine")).exit_code == 0, path
        for path in ("/", "/usr", "/etc", "/opt", "/dev", "/proc", "/var"):
            assert (await run(f"echo x > {path}/mine")).exit_code != 0, path


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only a root agent has users to give")
async def test_workloads_of_root_run_as_different_strangers(kit: RuntimeKit) -> None:
    first, second = kit.spec("one", FOREVER), kit.spec("two", FOREVER)
    async with kit.leased(first, second) as runtime:
        uids = [(await run_beside(runtime, spec.id, ("id", "-u"))).output for spec in (first, second)]
    assert len(set(uids)) == 2
    assert b"0\n" not in uids
