"""What a transaction must bring before any of its messages is looked at, and what it costs.

A void transaction is not executed, pays nothing and changes nothing: otherwise a proposer could include an old or an
unpayable one again and again, and earn.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from photon_core.api.errors import CodecError
from photon_core.api.ids import Address, Hash
from photon_core.exchange.messages import MESSAGE, Message
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.refusals import Code, Refusal, Refused
from photon_core.exchange.state import Ledger

READINGS_BYTES_MAX: Final = 4 * 2**20
"""Of transactions, as signed, whose messages are remembered: some 20 000 transfers, and some 20 MB of records. Beyond
that all are forgotten.
"""


class ChainTransaction(Protocol):
    """What the exchange needs of `photon_core.chain.transactions.Transaction`."""

    @property
    def raw(self) -> bytes: ...
    @property
    def id(self) -> Hash: ...
    @property
    def sender(self) -> Address: ...
    @property
    def sequence(self) -> int: ...
    @property
    def fee_uptn(self) -> int: ...
    @property
    def expires_height(self) -> int: ...
    @property
    def messages(self) -> tuple[list[Any], ...]: ...


def required_fee_uptn(parameters: Parameters, messages: int, size_bytes: int) -> int:
    """The least that a transaction must offer."""
    return parameters.min_fee_uptn * messages + parameters.fee_per_byte_uptn * size_bytes


def void_reason(ledger: Ledger, parameters: Parameters, transaction: ChainTransaction, height: int) -> Refusal | None:
    """Why this transaction is void in the block at `height`; None when it is to be executed."""
    sequence = ledger.account(transaction.sender).sequence
    if transaction.sequence > sequence:
        return Refusal(
            Code.SEQUENCE_GAP, f"sequence {transaction.sequence}, the account's next is {sequence}: one is missing"
        )
    return unfit_reason(ledger, parameters, transaction, height)


def unfit_reason(ledger: Ledger, parameters: Parameters, transaction: ChainTransaction, height: int) -> Refusal | None:
    """As `void_reason`, of what no earlier transaction of the sender can mend."""
    account = ledger.account(transaction.sender)
    last_height = height + parameters.transaction_lifetime_blocks
    least = required_fee_uptn(parameters, len(transaction.messages), len(transaction.raw))
    if transaction.sequence < account.sequence:
        return Refusal(
            Code.STALE_SEQUENCE, f"sequence {transaction.sequence} is used, the account's next is {account.sequence}"
        )
    if transaction.expires_height < height:
        return Refusal(Code.EXPIRED, f"valid to height {transaction.expires_height}, this is height {height}")
    if transaction.expires_height > last_height:
        return Refusal(
            Code.EXPIRES_TOO_LATE, f"valid to height {transaction.expires_height}, the latest now is {last_height}"
        )
    if transaction.fee_uptn < least:
        return Refusal(Code.FEE_TOO_LOW, f"the fee is {transaction.fee_uptn} uptn, the least is {least} uptn")
    if account.balance_uptn < transaction.fee_uptn:
        return Refusal(
            Code.FEE_UNPAYABLE,
            f"the account has {account.balance_uptn} uptn, the fee is {transaction.fee_uptn} uptn",
        )
    return None


def read_message(plain: list[Any], index: int) -> Message:
    """Refused as `bad-message` with the path of what is wrong."""
    try:
        message: Message = MESSAGE.from_plain(plain, f"messages[{index}]")
    except CodecError as error:
        raise Refused(Code.BAD_MESSAGE, str(error)) from None
    return message


class Readings:
    """Messages of transactions that wait, so that their block need not read them again.

    A transaction's id covers every byte that they were read from: what is found here is what reading would give, so
    that no result depends on whether it is found. What could not be read is never here.
    """

    def __init__(self) -> None:
        self._known: dict[Hash, list[Message]] = {}
        self.size_bytes = 0
        """Of the transactions, as signed."""

    def remember(self, transaction: ChainTransaction, messages: list[Message]) -> None:
        if transaction.id in self._known:
            return
        if self.size_bytes + len(transaction.raw) > READINGS_BYTES_MAX:
            self._known.clear()
            self.size_bytes = 0
        self._known[transaction.id] = messages
        self.size_bytes += len(transaction.raw)

    def take(self, transaction: ChainTransaction) -> list[Message]:
        """Its messages, forgotten from here on; none when they are to be read."""
        if transaction.id not in self._known:
            return []
        self.size_bytes -= len(transaction.raw)
        return self._known.pop(transaction.id)
