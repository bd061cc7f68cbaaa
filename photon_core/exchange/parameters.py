"""The exchange's parameters: set in genesis, the same on every validator, later changed by vote.

Defaults are those of the design (section 5); `development()` is what `photon up` uses.
"""

from __future__ import annotations

from attrs import evolve, frozen

from photon_core.api import fields

from .records import UPTN_MAX, UPTN_PER_PTN

_MS = 2**53


@frozen(kw_only=True)
class Parameters:
    bidding_window_ms: int = fields.uint(_MS, 1, default=30_000)
    reconfirmation_period_ms: int = fields.uint(_MS, 1, default=60_000)
    max_gap_ms: int = fields.uint(_MS, 1, default=15_000)
    heartbeat_ms: int = fields.uint(_MS, 1, default=5_000)
    block_time_bound_ms: int = fields.uint(_MS, 1, default=2_000)
    start_timeout_ms: int = fields.uint(_MS, 1, default=600_000)
    manifest_timeout_ms: int = fields.uint(_MS, 1, default=300_000)
    fault_timeout_ms: int = fields.uint(_MS, 1, default=120_000)
    reopen_backoff_ms: int = fields.uint(_MS, 1, default=1_000)
    reopen_backoff_max_ms: int = fields.uint(_MS, 1, default=300_000)
    pause_after_failures: int = fields.uint(1000, 1, default=3)
    bids_per_order: int = fields.uint(50, 1, default=50)
    min_fee_uptn: int = fields.uint(UPTN_MAX, default=1_000)
    fee_per_byte_uptn: int = fields.uint(UPTN_MAX, default=1)
    registration_bond_uptn: int = fields.uint(UPTN_MAX, default=10 * UPTN_PER_PTN)
    withdraw_forfeit_ppm: int = fields.uint(1_000_000, default=10_000)
    events_per_block: int = fields.uint(100_000, 1, default=1_000)
    transaction_lifetime_blocks: int = fields.uint(2**32, 1, default=10_000)

    @property
    def confirm_interval_ms(self) -> int:
        """How often an agent confirms: a third of the period, so that one lost transaction costs nothing."""
        return self.reconfirmation_period_ms // 3

    def problems(self) -> tuple[str, ...]:
        """Why a genesis with these is refused; empty when it is not."""
        found = []
        slack_ms = self.max_gap_ms + 2 * self.confirm_interval_ms
        if slack_ms >= self.reconfirmation_period_ms:
            found.append(
                f"max_gap_ms + 2 x the confirmation interval is {slack_ms}, and must be less than "
                f"reconfirmation_period_ms ({self.reconfirmation_period_ms}): a live provider could go stale"
            )
        if self.bidding_window_ms < 2 * self.block_time_bound_ms:
            found.append(
                f"bidding_window_ms ({self.bidding_window_ms}) must be at least twice block_time_bound_ms "
                f"({self.block_time_bound_ms}): a proposer's clock could close a window on its own"
            )
        if self.reopen_backoff_ms > self.reopen_backoff_max_ms:
            found.append("reopen_backoff_ms is larger than reopen_backoff_max_ms")
        return tuple(found)


def development() -> Parameters:
    """Everything quick and free, for one machine."""
    return evolve(
        Parameters(),
        bidding_window_ms=1_000,  # a bid passes four validators on a machine that does everything else as well
        reconfirmation_period_ms=15_000,
        max_gap_ms=2_000,
        heartbeat_ms=1_000,
        block_time_bound_ms=200,
        manifest_timeout_ms=20_000,
        fault_timeout_ms=20_000,
        start_timeout_ms=60_000,
        min_fee_uptn=0,
        fee_per_byte_uptn=0,
    )
