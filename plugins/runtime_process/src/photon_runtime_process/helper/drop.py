"""The last steps of a child before it becomes the workload: it gives up all that it must not have."""

from __future__ import annotations

import os
import resource
import signal

from photon_runtime_process.helper import linux
from photon_runtime_process.helper.plan import Plan


def become_workload(plan: Plan, limits: dict[str, int]) -> None:
    """Session, limits, ids and capabilities; afterwards nothing can be regained, also not by a set-uid program."""
    os.setsid()
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bounded, bounded))
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    linux.drop_bounding_set()
    take_ids(plan)
    linux.set_capabilities(0, 0)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    default_signals()
    os.umask(0o022)


def become_network_tool() -> None:
    """For nft and iptables: the helper's own id, with power over the sandbox's network and nothing else."""
    needed = 1 << linux.CAP_NET_ADMIN | 1 << linux.CAP_NET_RAW
    linux.set_capabilities(needed, needed)
    for capability in (linux.CAP_NET_ADMIN, linux.CAP_NET_RAW):
        linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, capability)
    default_signals()


def take_ids(plan: Plan) -> None:
    if plan.map_root:
        os.setgroups([])
    if os.getgid() != plan.gid:
        os.setresgid(plan.gid, plan.gid, plan.gid)
    if os.getuid() != plan.uid:
        os.setresuid(plan.uid, plan.uid, plan.uid)


def ordinary_group(plan: Plan) -> None:
    """The helper of a root agent keeps no supplementary group; an ordinary user cannot give them up."""
    if plan.map_root:
        os.setgroups([])


def default_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
