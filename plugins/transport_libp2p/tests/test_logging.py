"""What is logged of peers is bounded, and stays useful after somebody has used the bound up."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from photon_transport_libp2p.transport import LOG_AGAIN_S, LOGGED_MAX


async def test_invented_refusals_do_not_silence_the_log_for_ever(
    make_transport, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    transport = make_transport(1)
    for number in range(LOGGED_MAX + 10):
        transport._log_once(number, "refused %d", number)
    assert len(caplog.records) == LOGGED_MAX
    await trio.sleep(LOG_AGAIN_S)
    for _ in range(2):
        transport._log_once("another", "refused %s", "another")
    assert len(caplog.records) == LOGGED_MAX + 1
