"""A client that pays through whoever answers, until each transfer is acknowledged: committed, with a certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import define, field
from live_cluster import Final

from photon_core.api.ids import Hash
from photon_core.chain.keys import KeyPurpose, SigningKey, generate
from photon_core.chain.transactions import build_transaction
from photon_core.exchange.events import Outcome
from photon_core.exchange.messages import MESSAGE, Transfer
from photon_core.node.client import NodeClient, NodeUnreachable
from photon_core.node.views import Submitted

RECEIVER = b"\x77" * 20
WAIT_S = 1.0
"""For one answer; then another node is asked."""
PAUSE_S = 0.02
LIFETIME_BLOCKS = 5_000
NOT_YET = frozenset({"sequence-gap", "stale-sequence", "mempool-full", "too-many-requests"})
"""What a node says that is behind, or busy."""
PLAIN: list[Any] = [MESSAGE.to_plain(Transfer(to=RECEIVER, amount_uptn=1))]


@define
class Payer:
    """`urls` are those of living nodes, at each attempt anew."""

    urls: Callable[[], Sequence[str]]
    chain_id: Hash = b""
    key: SigningKey = field(factory=lambda: generate(KeyPurpose.ACCOUNT))
    acknowledged: dict[Hash, int] = field(factory=dict)
    """With the height."""
    told: dict[str, int] = field(factory=dict)
    """By whom: the greatest height that it has acknowledged, so it may never be without that again."""
    sequence: int = 0
    said: str = ""
    """What the last attempt brought, for messages of failed tests."""
    _waiting: list[bytes] = field(factory=list)
    _turn: int = 0
    _height: int = 0

    async def pay(self, count: int = 1) -> None:
        """Returns once all are acknowledged, and before them what an earlier call that was cancelled has left."""
        await self._finish()
        expires = self._height + LIFETIME_BLOCKS
        self._waiting = [
            build_transaction(self.key.seed, self.chain_id, self.sequence + number, 0, expires, PLAIN)
            for number in range(count)
        ]
        self.sequence += count
        await self._finish()

    async def _finish(self) -> None:
        while self._waiting:
            self._waiting = await self._attempt(self._waiting)
            await trio.sleep(PAUSE_S if self._waiting else 0)

    async def pay_for_ever(self, count: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """`started` once the first are acknowledged: only then there is something that could be lost."""
        await self.pay(count)
        task_status.started()
        while True:
            await self.pay(count)

    async def _attempt(self, waiting: list[bytes]) -> list[bytes]:
        """What is not acknowledged yet."""
        urls = self.urls()
        if not urls:
            return waiting
        self._turn += 1
        url = urls[self._turn % len(urls)]
        try:
            async with NodeClient(url, timeout_s=WAIT_S) as node:
                answers = await node.submit(waiting, wait_s=WAIT_S)
        except NodeUnreachable as error:
            self.said = str(error)
            return waiting
        return [raw for raw, answer in zip(waiting, answers, strict=True) if not self._is_done(answer, url)]

    def _is_done(self, answer: Submitted, url: str) -> bool:
        self.said = f"{url}: {answer.status} {answer.code} {answer.reason}"
        if answer.status != "committed":
            assert answer.status == "pending" or answer.code in NOT_YET, self.said
            return False
        assert answer.height is not None
        assert answer.receipt is not None
        assert answer.receipt.outcome is Outcome.DONE, answer.receipt
        self.acknowledged[answer.id] = answer.height
        self.told[url] = max(self.told.get(url, 0), answer.height)
        self._height = max(self._height, answer.height)
        return True


def require_all_acknowledged(blocks: Sequence[Final], payers: Sequence[Payer]) -> None:
    """Each is where the client was told, and none is in two blocks."""
    heights = {one: block.header.height for block in blocks for one in block.transactions}
    assert len(heights) == sum(len(block.transactions) for block in blocks), "a transaction is in two blocks"
    for payer in payers:
        assert payer.acknowledged
        for one, height in payer.acknowledged.items():
            assert heights.get(one) == height, f"{one.hex()} was acknowledged at {height}: {heights.get(one)}"
