"""Cgroups over a folder that looks like a cgroup v2 tree: this machine's own may be of version 1, or not ours."""

from __future__ import annotations

from pathlib import Path

from photon_core.api.resources import NOTHING, Resources
from photon_runtime_process.limits import Cgroups, resource_limits

HALF_A_CORE = Resources(cpu_milli=500, memory_bytes=2**28, storage_bytes=2**30)


HOME = Path("/home/photon")


def test_without_cgroup_v2_limits_fall_back_to_processes(tmp_path: Path) -> None:
    assert not Cgroups(HOME, tmp_path).put("ab", 4242, HALF_A_CORE, 100)
    assert list(tmp_path.iterdir()) == []
    assert resource_limits(HALF_A_CORE, 100, in_cgroup=False) == {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 2**30,
        "RLIMIT_NPROC": 100,
        "RLIMIT_DATA": 2**28,
    }
    assert resource_limits(HALF_A_CORE, 100, in_cgroup=True) == {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 2**30}
    assert resource_limits(NOTHING, 100, in_cgroup=False) == {"RLIMIT_CORE": 0, "RLIMIT_NPROC": 100}


def test_a_group_is_made_limited_and_changed_in_place(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("io")
    cgroups = Cgroups(HOME, tmp_path)
    assert cgroups.put("ab", 4242, HALF_A_CORE, 100)
    (group,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for controlled in (tmp_path, group):
        assert (controlled / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert {path.name: path.read_text() for path in (group / "ab").iterdir()} == {
        "cpu.max": "50000 100000",
        "memory.max": str(2**28),
        "pids.max": "100",
        "cgroup.procs": "4242",
    }
    assert cgroups.put("ab", 4242, NOTHING, 100)
    assert (group / "ab/cpu.max").read_text() == "max 100000"
    assert (group / "ab/memory.max").read_text() == "max"
