"""What genesis says about the rule `pbft`: the same at every validator."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, le

WINDOW_MAX = 8
"""Blocks past the last final one. Four were best (measured). More makes view changes larger: with 8 and the most
validators that a chain can have, a NEW-VIEW still fits in a frame."""
TIMEOUT_MAX_MS = 60_000
"""A network that needs more than a minute for one block has other troubles."""
TENURE_MAX = 2**32


@frozen(kw_only=True)
class PbftConfig:
    """`view_change_timeout_ms`: how long a primary may do nothing; also how far a proposal's time may lie behind the
    voter's clock. `tenure_blocks`: after so many heights the next validator proposes. `window`: blocks in flight past
    the last final one.
    """

    view_change_timeout_ms: int = field(default=1_000, validator=[ge(10), le(TIMEOUT_MAX_MS)])
    tenure_blocks: int = field(default=100, validator=[ge(1), le(TENURE_MAX)])
    window: int = field(default=4, validator=[ge(1), le(WINDOW_MAX)])
