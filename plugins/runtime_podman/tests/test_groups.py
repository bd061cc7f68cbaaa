"""What the kernel holds a container to, in either version of its groups."""

from pathlib import Path

from photon_runtime_containers.engine import Limits
from photon_runtime_podman.groups import Group, same_memory

PATH = "/machine.slice/libpod-1.scope"


def unified(root: Path, **files: str) -> Group:
    (root / "cgroup.controllers").write_text("cpu memory pids")
    folder = root / PATH.lstrip("/")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return Group(PATH, root)


def separate(root: Path, **files: dict[str, str]) -> Group:
    for controller, texts in files.items():
        folder = root / controller / PATH.lstrip("/")
        folder.mkdir(parents=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    return Group(PATH, root)


def test_limits_of_the_second_version(tmp_path: Path) -> None:
    group = unified(tmp_path, cpu_max="35000 100000\n", memory_max="104857600\n", pids_max="77\n")
    assert group.limits() == Limits(cpu_milli=350, memory_bytes=104_857_600, pids_max=77)


def test_no_limits_of_the_second_version(tmp_path: Path) -> None:
    assert unified(tmp_path, cpu_max="max 100000", memory_max="max", pids_max="max").limits() == Limits()


def test_limits_of_the_first_version(tmp_path: Path) -> None:
    cpu = {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}
    memory = {"memory.limit_in_bytes": "9223372036854771712", "memory.oom_control": "under_oom 0\noom_kill 1"}
    group = separate(tmp_path, cpu=cpu, memory=memory, pids={"pids.max": "max"})
    assert group.limits() == Limits()
    assert group.out_of_memory()
    assert not group.holds_more_than(0), "the first version refuses by itself"


def test_memory_that_is_held_is_not_what_can_be_given_back(tmp_path: Path) -> None:
    group = unified(tmp_path, memory_stat="anon 5000\nfile 900000\nshmem 100", memory_events="low 0\noom_kill 0")
    assert group.holds_more_than(5_000)
    assert not group.holds_more_than(5_100)
    assert not group.out_of_memory()


def test_a_group_that_is_gone_says_nothing(tmp_path: Path) -> None:
    group = Group(PATH, tmp_path)
    assert group.limits() is None
    assert not group.out_of_memory()
    assert not group.holds_more_than(0)


def test_memory_is_kept_in_pages() -> None:
    assert same_memory(100_000_001, 100_000_001 // 4096 * 4096)
    assert not same_memory(2**20, 2**21)
