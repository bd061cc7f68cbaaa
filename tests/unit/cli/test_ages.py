"""Ages in words."""

import pytest

from photon_core.cli.ages import age


@pytest.mark.parametrize(
    ("past_ms", "said"),
    [
        (-5000, "just now"),  # the chain's clock is ahead of ours
        (999, "just now"),
        (3999, "3 s ago"),
        (60_000, "1 min ago"),
        (2 * 3_600_000 + 1, "2 h ago"),
        (9 * 86_400_000, "9 d ago"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(past_ms, said):
    assert age(10**12, 10**12 + past_ms) == said
