"""What a workload may use at most: by cgroup v2 where we may make one, and by resource limits in any case.

Resource limits count per process and are only a fallback: RLIMIT_DATA bounds the memory that one process can write to,
RLIMIT_NPROC the processes of the instance's uid in its user namespace, RLIMIT_FSIZE one file. Cores have no such limit.
"""

from __future__ import annotations

from photon_core.api.resources import Resources


def resource_limits(resources: Resources, pids_max: int, *, in_cgroup: bool) -> dict[str, int]:
    """For `helper.workload.Start`. Nothing is a limit of 0: a service without memory in its profile has no limit."""
    limits = {"RLIMIT_CORE": 0, "RLIMIT_NPROC": pids_max}
    if resources.storage_bytes:
        limits["RLIMIT_FSIZE"] = resources.storage_bytes
    if resources.memory_bytes and not in_cgroup:
        limits["RLIMIT_DATA"] = resources.memory_bytes
    return limits
