"""What `photon query` says of what is not there."""

import pytest

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.query import _block
from photon_core.testing.fakes.chain import FakeChain


async def test_a_block_that_is_not_there_is_told_with_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_height: int | str = "latest") -> None:
        return None

    chain = FakeChain()
    monkeypatch.setattr(chain, "block", none)
    with pytest.raises(PhotonError, match="there is no block 999") as caught:
        await _block(chain, "999")
    assert caught.value.found == f"the newest is {chain.world.exchange.height}"
    assert caught.value.exit_code == ExitCode.NOT_FOUND
