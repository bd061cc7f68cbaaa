"""What an operator can set in `[plugin.transport_libp2p]`; the defaults are meant to be left alone."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Libp2pConfig:
    """Times in seconds.

    `handshake_s`: from a connection's first byte, or from dialling, to its link; a peer on the other side of the world
    needs one. `heartbeat_s` and `silence_s`: how often a link says that it lives, and after how long without a byte it
    is taken for dead. `backoff_first_s`, `backoff_max_s`: between attempts to dial.

    `pending_max`, `pending_per_address_max`: connections that have no link yet, in all and from one address (IPv6: one
    /64 network); one more pushes out the oldest. `strangers_max`, `strangers_per_address_max`: links of peers that
    may only ask; `followers_max`, `followers_per_address_max`: of nodes that follow the chain and that this one was not
    told of. LINKS_KEPT places remain for validators and known peers, whatever is set here.
    """

    handshake_s: float = 5.0
    heartbeat_s: float = 2.0
    silence_s: float = 10.0
    backoff_first_s: float = 0.1
    backoff_max_s: float = 5.0
    pending_max: int = 128
    pending_per_address_max: int = 32
    strangers_max: int = 128
    strangers_per_address_max: int = 64
    followers_max: int = 96
    followers_per_address_max: int = 32
