from __future__ import annotations

from photon_core.api.transport import Standing
from photon_core.peers.limits import PeersLimits, TokenBucket


def test_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2.0, burst=3)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_strangers_may_ask_less_at_once() -> None:
    limits = PeersLimits(requests_open_max=9, requests_open_stranger_max=2)
    assert limits.open_max(Standing.STRANGER) == 2
    assert limits.open_max(Standing.FOLLOWER) > 2
    assert limits.bucket(Standing.FOLLOWER) is not None
    assert limits.bucket(Standing.PEER) is limits.bucket(Standing.VALIDATOR) is None
    assert limits.open_max(Standing.PEER) == limits.open_max(Standing.VALIDATOR) == 9
