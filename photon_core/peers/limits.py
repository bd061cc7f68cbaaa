"""How much a peer may ask for. Every number is per link."""

from __future__ import annotations

from attrs import define, field, frozen

from photon_core.api.transport import Standing

KIB = 1024
MIB = 1024 * KIB
REFUSALS_WAITING_MAX = 64
"""Refusals that wait for room on a channel. An honest caller whose channel is full of answers may ask a few times too
often; one that does so more often than this takes nothing."""


@frozen(kw_only=True)
class PeersLimits:
    requests_open_max: int = 256
    """Of a validator or peer, in each direction and channel; as many handlers may run for it."""
    requests_open_stranger_max: int = 16
    """A tenant watches a few deployments and follows a few logs."""
    requests_open_follower_max: int = 64
    """A node that follows fetches a few runs of blocks at once."""
    follower_rate_per_s: float = 200.0
    follower_burst: int = 400
    """Catching up takes one request for many blocks."""
    stranger_rate_per_s: float = 50.0
    stranger_burst: int = 100
    """A command line that submits and polls stays below; a scan does not."""
    params_open_bytes_max: int = 4 * MIB
    """Parameters that are announced and not yet handled, of all open requests on a channel together."""
    params_timeout_s: float = 10.0
    """From a request's first frame until its parameters are complete."""

    def open_max(self, standing: Standing) -> int:
        match standing:
            case Standing.REFUSED | Standing.STRANGER:
                return self.requests_open_stranger_max
            case Standing.FOLLOWER:
                return self.requests_open_follower_max
            case Standing.PEER | Standing.VALIDATOR:
                return self.requests_open_max

    def bucket(self, standing: Standing) -> TokenBucket | None:
        """For the requests of one peer; None: known peers are not held to a rate."""
        match standing:
            case Standing.REFUSED | Standing.STRANGER:
                return TokenBucket(self.stranger_rate_per_s, self.stranger_burst)
            case Standing.FOLLOWER:
                return TokenBucket(self.follower_rate_per_s, self.follower_burst)
            case Standing.PEER | Standing.VALIDATOR:
                return None


@define
class TokenBucket:
    """`rate_per_s` tokens flow in, up to `burst`; each request takes one. The time is the caller's."""

    rate_per_s: float
    burst: int
    _tokens: float = field(init=False)
    _filled_at_s: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.burst)

    def take(self, now_s: float) -> bool:
        if self._filled_at_s is not None:
            self._tokens = min(self.burst, self._tokens + (now_s - self._filled_at_s) * self.rate_per_s)
        self._filled_at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
