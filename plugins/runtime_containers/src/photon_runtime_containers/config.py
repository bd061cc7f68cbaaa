"""The table `[plugin.runtime_docker]`, or `[plugin.runtime_podman]`, of a provider's configuration."""

from __future__ import annotations

from attrs import frozen

from photon_core.api.runtime import RuntimeFailure

GRANTABLE = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
"""What engines give to a container that nobody restricts. With any other a workload could change its network, see the
machine, or leave its container: no setting of ours allows that.
"""


@frozen(kw_only=True)
class Config:
    """`socket` is where the engine listens (unix:///…); empty: what the engine's own tools would use.

    `cpu_milli`, `memory_bytes` and `storage_bytes` replace what the engine says as capacity. `capabilities` are given
    to every workload, by name without CAP_; none unless listed. With `read_only_root` a workload can write to its
    image's volumes, and to /tmp and /run in memory, `tmp_bytes` each; without, to its own layer. `pids_max` bounds a
    workload's processes and threads, `log_bytes` what is kept of its output. `stop_grace_ms` lies between the stop
    signal and SIGKILL. A pull is given up after `pull_timeout_s`, or when nothing came for `pull_silence_s`.
    """

    socket: str = ""
    cpu_milli: int | None = None
    memory_bytes: int | None = None
    storage_bytes: int | None = None
    capabilities: tuple[str, ...] = ()
    read_only_root: bool = False
    tmp_bytes: int = 64 * 2**20
    pids_max: int = 512
    log_bytes: int = 16 * 2**20
    stop_grace_ms: int = 5_000
    pull_timeout_s: int = 900
    pull_silence_s: int = 60

    def check(self) -> None:
        """RuntimeFailure for a capability that no workload may have."""
        wrong = sorted(set(self.capabilities).difference(GRANTABLE))
        if wrong:
            what = f"capabilities {', '.join(wrong)} are not for workloads"
            raise RuntimeFailure(what, f"`capabilities` may list {', '.join(GRANTABLE)}")
