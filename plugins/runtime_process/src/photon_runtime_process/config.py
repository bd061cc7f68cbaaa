"""The table `[plugin.runtime_process]` of a provider's configuration."""

from __future__ import annotations

from attrs import frozen

SHOWN = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu/store")
"""What a workload sees of the host, read-only: programs, libraries and their settings."""

UNUSED_UIDS = 1_879_048_192
"""The first id of the range that systemd's list of ids leaves unused; no file of a host belongs to one of these."""


@frozen(kw_only=True)
class Config:
    """`show` adds to what workloads see of the host's files (read-only), `hide` takes away; Photon's own folders never
    show. `cpu_milli`, `memory_bytes` and `storage_bytes` replace what is measured as capacity. `log_bytes` bounds the
    log that is kept of one instance. When the agent is root, each instance runs under a uid of its own out of
    `uid_count` from `uid_first` on. `stop_grace_ms` lies between SIGTERM and SIGKILL.
    """

    cpu_milli: int | None = None
    memory_bytes: int | None = None
    storage_bytes: int | None = None
    show: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    log_bytes: int = 16 * 2**20
    pids_max: int = 512
    uid_first: int = UNUSED_UIDS
    uid_count: int = 65_536
    stop_grace_ms: int = 3_000
