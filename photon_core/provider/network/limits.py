"""Bounds of the network: each number with its reason. A tenant's connections cost the provider two descriptors each."""

from __future__ import annotations

from attrs import frozen

MIB = 2**20


@frozen(kw_only=True)
class NetworkLimits:
    lease_connections_max: int = 512
    """Of one lease, all grants and its ingress together: one tenant cannot use up the agent's descriptors."""
    connections_max: int = 4096
    """Of all leases: some 8200 descriptors, which `run_agent` asks for at start."""
    address_connections_max: int = 128
    """From one outside address to the ingress; of IPv6 from one /64, which is what one customer has."""
    ingress_connections_max: int = 3072
    """From all outside addresses, served or not yet understood: a crowd of slow heads leaves descriptors for leases."""
    splice_after_bytes: int = 2 * MIB
    """A direction that moved this much is worth a thread; most connections never are."""
    splice_threads_max: int = 32
    splice_idle_ms: int = 1000
    """A thread waits this long for more before it gives the connection back to the loop."""
    connect_timeout_s: float = 5.0
    """Into a sandbox: its loopback answers at once or never."""
    head_timeout_s: float = 10.0
    """From accept to the end of an HTTP head; slower is an attack, or of no use."""
    head_bytes_max: int = 32 * 1024
    refused_targets_max: int = 64
    """Remembered per lease."""
