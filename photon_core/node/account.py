"""An account that sends: sequence numbers, fees and expiry kept right, any number of transactions at once.

One `AccountSender` per account and process. Its lock is held while a transaction gets its sequence and is handed over,
never until it is committed: what is urgent does not wait behind other blocks. The chain's sequence counts only what is
committed, so the sender counts on from what it handed over; a refusal for the sequence says where that was wrong
(somebody else used it, or an earlier one was let go of), and the transaction is made anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import trio
from attrs import frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Address, Hash
from photon_core.chain import transactions
from photon_core.chain.keys import SigningKey
from photon_core.exchange.events import Outcome, Receipt
from photon_core.exchange.messages import MESSAGE, Message
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.refusals import Code

from .client import NodeClient
from .views import Submitted

EXPIRES_AFTER_BLOCKS = 600
EXPIRES_SPREAD = 256
"""Equal bytes are one transaction: two processes that send the same message at once are told apart by when theirs
expire. Else both would hear that it was done, and it would have been done once.
"""
COMMIT_TIMEOUT_S = 60.0
STALE_SEQUENCE = "stale-sequence"
SEQUENCE_GAP = "sequence-gap"
SEND_AGAIN = frozenset({Code.BACKLOG, Code.STALE_PENDING})
"""Nothing is wrong with the message: the chain has work of its own to finish first, a block's worth at a time."""
ATTEMPTS = 16
"""The chain's own sequence is stale by what still waits, of another process or of this one before its node was lost:
each attempt gets behind one of those.
"""
FEE_BOUND_UPTN = 2**40
"""A fee this long on the wire is never shorter than the real one: with it, size and fee are found in one go."""


@frozen(kw_only=True)
class Sent:
    """A committed transaction that did what it was to do."""

    id: Hash
    height: int
    receipt: Receipt


class TransactionRefused(PhotonError):
    """The chain refused it, or it was committed and failed. Exit code 4."""

    @property
    def passes(self) -> bool:
        """Whether the same message may be taken in the next block."""
        return self.code in SEND_AGAIN


class NotCommittedYet(PhotonError):
    """Handed over, without a certificate in the time given: it may still be committed until it expires. Exit code 6."""


class AccountSender:
    """`key` is an unlocked account, payee or operator key; `fee_uptn` None pays the least that the parameters ask."""

    def __init__(self, node: NodeClient, key: SigningKey, *, fee_uptn: int | None = None) -> None:
        self.address: Address = key.address
        self._node, self._key, self._fee_uptn = node, key, fee_uptn
        self._lock = trio.Lock()
        self._chain_id: Hash | None = None
        self._parameters: Parameters | None = None
        self._sequence_min = 0
        """The next one's is no lower: all below were handed over, here or by somebody else."""

    async def send(
        self,
        *messages: Message,
        wait_s: float = COMMIT_TIMEOUT_S,
        on_pending: Callable[[Hash], None] | None = None,
    ) -> Sent:
        """All messages in one transaction; returns when its block has a certificate.

        `on_pending` is told its id once it is handed over and waits for its block.
        TransactionRefused, NotCommittedYet, NodeUnreachable.
        """
        deadline = trio.current_time() + wait_s
        async with self._lock:
            for _ in range(ATTEMPTS):
                raw, submitted = await self._hand_over(messages)
                if submitted.code not in (STALE_SEQUENCE, SEQUENCE_GAP):
                    break
        left_s = deadline - trio.current_time()
        if submitted.status == "pending" and on_pending is not None:
            on_pending(submitted.id)
        if submitted.status == "pending" and left_s > 0:  # the same bytes again are the same transaction
            (submitted,) = await self._node.submit([raw], wait_s=left_s)
        return _judge(submitted)

    async def _hand_over(self, messages: tuple[Message, ...]) -> tuple[bytes, Submitted]:
        status = await self._node.status()
        if self._parameters is None or self._chain_id != status.chain_id:
            self._parameters, self._chain_id = await self._node.parameters(), status.chain_id
            self._sequence_min = 0
        account = await self._node.account(self.address)
        sequence = max(account.sequence, self._sequence_min)
        expires_height = status.height + EXPIRES_AFTER_BLOCKS - secrets.randbelow(EXPIRES_SPREAD)
        plain: list[Any] = [MESSAGE.to_plain(message) for message in messages]

        def build(fee_uptn: int) -> bytes:
            return transactions.build_transaction(
                self._key.seed,
                chain_id=status.chain_id,
                sequence=sequence,
                fee_uptn=fee_uptn,
                expires_height=expires_height,
                messages=plain,
            )

        fee_uptn = self._fee_uptn
        if fee_uptn is None:
            p = self._parameters
            fee_uptn = p.min_fee_uptn * len(messages) + p.fee_per_byte_uptn * len(build(FEE_BOUND_UPTN))
        raw = build(fee_uptn)
        (submitted,) = await self._node.submit([raw])
        if submitted.code == SEQUENCE_GAP:
            self._sequence_min = 0
        elif submitted.status != "refused" or submitted.code == STALE_SEQUENCE:
            self._sequence_min = sequence + 1
        return raw, submitted


def _paid(receipt: Receipt) -> str:
    return f"; its fee of {receipt.fee_uptn} uptn was paid" if receipt.fee_uptn else ""


def _judge(submitted: Submitted) -> Sent:
    receipt = submitted.receipt
    if submitted.status == "committed" and receipt is not None and submitted.height is not None:
        if receipt.outcome is Outcome.DONE:
            return Sent(id=submitted.id, height=submitted.height, receipt=receipt)
        raise TransactionRefused(
            code=receipt.code or receipt.outcome.name.lower(),
            what=f"{receipt.reason or 'the transaction failed'}{_paid(receipt)}",
            where=f"transaction {submitted.id.hex()[:16]} in block {submitted.height}",
            exit_code=4,
        )
    if submitted.status == "refused":
        raise TransactionRefused(
            code=submitted.code, what=submitted.reason, where=f"transaction {submitted.id.hex()[:16]}", exit_code=4
        )
    raise NotCommittedYet(
        code="not-committed-yet",
        what=f"transaction {submitted.id.hex()} was handed over but has no certificate yet",
        remedy=f"look later with `photon query tx {submitted.id.hex()}`",
        exit_code=6,
    )
