"""The few system calls that the standard library of Python 3.11 lacks, by ctypes. OSError has the call's name."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SYS_MOUNT_SETATTR = 442  # the same on every architecture (Linux 5.12); glibc wraps it only since 2.36
SYS_CLOSE_RANGE = 436  # likewise (Linux 5.9, glibc 2.34); os.closerange tries every number where glibc lacks it
FD_LAST = 0xFFFFFFFF

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
CAP_LAST = 63  # the bounding set is dropped up to the kernel's own last one, where prctl says EINVAL
CAPABILITY_VERSION_3 = 0x20080522

SYS_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> None:
    if getattr(_libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    _call("unshare", flags)


def sethostname(name: str) -> None:
    raw = name.encode()
    _call("sethostname", raw, ctypes.c_size_t(len(raw)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    try:
        _call("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode())
    except OSError as problem:
        raise OSError(problem.errno, f"{problem.strerror} ({kind or 'bind'} {source} on {target})") from None


def umount_detached(target: str) -> None:
    _call("umount2", target.encode(), MNT_DETACH)


def pivot_root(new: str, old: str) -> None:
    _call("pivot_root", new.encode(), old.encode())


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


def restrict(target: str, *, read_only: bool, below: bool = True) -> None:
    """`target`, and all that is mounted `below` it: no set-uid, no devices, and perhaps no writing.

    Adds to the flags that are there: a remount would have to repeat those that the host has locked.
    """
    flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if read_only else 0)
    attr = _MountAttr(flags, 0, 0, 0)
    _call(
        "syscall",
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        target.encode(),
        ctypes.c_uint(AT_RECURSIVE if below else 0),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )


def prctl(option: int, *args: int) -> None:
    _call("prctl", option, *(ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0)[:4]))


def set_capabilities(permitted: int, inheritable: int) -> None:
    """The calling thread's three sets; effective is made equal to permitted."""
    low, high = 0xFFFFFFFF, 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(
        permitted & low, permitted & low, inheritable & low, permitted >> high, permitted >> high, inheritable >> high
    )
    _call("capset", header, data)


def drop_bounding_set() -> None:
    for capability in range(CAP_LAST + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            if capability == 0:
                raise
            return  # past the last capability that this kernel knows


def close_all_but(*kept: int) -> None:
    """Whatever is open and whoever opened it: what a child is about to become has no business with it."""
    first = 0
    for fd in (*sorted(kept), FD_LAST + 1):
        if first < fd:
            _call(
                "syscall", ctypes.c_long(SYS_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(fd - 1), ctypes.c_uint(0)
            )
        first = fd + 1


def new_session_keyring() -> None:
    """Leaves the keyring of whoever started the agent. Where the kernel has no keys there is nothing to leave."""
    number = SYS_KEYCTL.get(os.uname().machine)
    if number is not None:
        _libc.syscall(ctypes.c_long(number), ctypes.c_int(KEYCTL_JOIN_SESSION_KEYRING), None)
