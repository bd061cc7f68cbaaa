"""The file tree that a workload sees: nothing, and then what is named.

It is built upwards from an empty tmpfs instead of hiding parts of the host's tree: what nobody thought of is absent.
Programs and libraries are bound in read-only; `/tmp`, `/run`, `/dev` and `/proc` are the sandbox's own, so no unix
socket of the host can be reached by a path. `/etc/hosts` is a file of the agent, which rewrites it in place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from photon_runtime_process.helper import linux
from photon_runtime_process.helper.plan import HOSTS_FILE, ROOT_DIR, TMP_DIR, WORK_DIR, WORK_PATH, Plan
from photon_runtime_process.helper.session import TERMINALS_MAX

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
QUIET = linux.MS_NOSUID | linux.MS_NODEV
SMALL, SHARED = "size=4m,mode=755", "size=64m,mode=1777"
TERMINALS = f"newinstance,ptmxmode=0666,mode=0620,max={TERMINALS_MAX}"
HOST_ETC = "/run/.host-etc"


def enter(plan: Plan) -> None:
    """Builds the tree in `root` of the current directory, the folder; makes it `/`, and lets go of the host's."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", ROOT_DIR, "tmpfs", QUIET, SMALL)
    root = Path(ROOT_DIR)
    _own(root)
    for path in plan.show:
        _show(root, path)
    _devices(root)
    _processes(root)
    for path in plan.hide:
        _hide(root, path)
    _hosts(root)  # last: it may put links in the place of /etc, and what they lead to is covered by now
    _close_behind()


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _bind(source: str, target: Path) -> None:
    linux.mount(source, str(target), None, linux.MS_BIND | linux.MS_REC)


def _show(root: Path, path: str) -> None:
    target = _inside(root, path)
    try:
        kind = os.lstat(path).st_mode
    except OSError:
        return  # a host has /lib64, or it has not
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(kind):  # /bin -> usr/bin
        target.symlink_to(Path(path).readlink())
        return
    if stat.S_ISDIR(kind):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _bind(path, target)
    linux.restrict(str(target), read_only=True)


def _own(root: Path) -> None:
    """What is the sandbox's own. /tmp and the working folder are on disk, everything else in (little) memory."""
    for name in ("dev", "proc", "run", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
    linux.mount("tmpfs", str(root / "run"), "tmpfs", QUIET, SMALL)
    (root / "var/run").symlink_to("/run")
    work = _inside(root, WORK_PATH)
    work.mkdir()
    for source, target in ((WORK_DIR, work), (TMP_DIR, root / "tmp"), (TMP_DIR, root / "var/tmp")):
        _bind(source, target)
        linux.restrict(str(target), read_only=False)


def _devices(root: Path) -> None:
    dev = root / "dev"
    linux.mount("tmpfs", str(dev), "tmpfs", linux.MS_NOSUID, SMALL)
    for name in DEVICES:
        (dev / name).touch()
        _bind(f"/dev/{name}", dev / name)
    for name, target in DEVICE_LINKS:
        (dev / name).symlink_to(target)
    (dev / "shm").mkdir()
    linux.mount("tmpfs", str(dev / "shm"), "tmpfs", QUIET, SHARED)
    _terminals(dev)


def _terminals(dev: Path) -> None:
    """Of the sandbox's own, never the host's. Where the kernel gives none, commands have no terminal."""
    (dev / "pts").mkdir()
    with contextlib.suppress(OSError):
        linux.mount("devpts", str(dev / "pts"), "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, TERMINALS)
        (dev / "ptmx").symlink_to("pts/ptmx")


def _processes(root: Path) -> None:
    """Our own /proc. In a container whose /proc is partly covered the kernel refuses a new one: then there is none."""
    try:
        linux.mount("proc", str(root / "proc"), "proc", QUIET | linux.MS_NOEXEC)
    except PermissionError:
        linux.mount("tmpfs", str(root / "proc"), "tmpfs", QUIET | linux.MS_RDONLY, SMALL)


def _hosts(root: Path) -> None:
    etc, hosts = root / "etc", root / "etc/hosts"
    if not hosts.is_file() or hosts.is_symlink():  # a bare Debian has none, and the bound /etc is read-only
        _etc_of_links(root, etc)
    _bind(HOSTS_FILE, hosts)
    linux.restrict(str(etc), read_only=True)


def _etc_of_links(root: Path, etc: Path) -> None:
    behind = _inside(root, HOST_ETC)
    behind.mkdir()
    names = [child.name for child in etc.iterdir()] if etc.exists() else []
    if names:
        linux.mount(str(etc), str(behind), None, linux.MS_BIND | linux.MS_REC)
        linux.mount("tmpfs", str(etc), "tmpfs", QUIET, SMALL)
    else:
        etc.mkdir(exist_ok=True)
    for name in names:
        if name != "hosts":
            (etc / name).symlink_to(f"{HOST_ETC}/{name}")
    (etc / "hosts").touch()


def _hide(root: Path, path: str) -> None:
    """Covers a path below something shown; most are not there at all, which is what makes them hidden."""
    target = _inside(root, os.path.realpath(path))
    if target.is_dir():
        linux.mount("tmpfs", str(target), "tmpfs", QUIET | linux.MS_RDONLY, "size=4k,mode=000")
    elif target.exists():
        linux.mount("/dev/null", str(target), None, linux.MS_BIND)


def _close_behind() -> None:
    """`pivot_root(".", ".")` stacks the old root on the new one, from where it is let go: see pivot_root(2)."""
    os.chdir(ROOT_DIR)
    linux.pivot_root(".", ".")
    linux.umount_detached(".")
    os.chdir("/")
    for path in ("/", "/dev"):  # a device stays one under a read-only tmpfs with nodev: it is bound from elsewhere
        linux.restrict(path, read_only=True, below=False)
