"""Why the exchange says no. A refusal undoes the whole transaction, which pays its fee and uses its sequence."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen

REASON_BYTES_MAX = 400


class Code(StrEnum):
    """Stable words for scripts. The reason beside a code is for people and carries both compared values."""

    # Void: the transaction is not executed, pays nothing, changes nothing.
    STALE_SEQUENCE = "stale-sequence"
    SEQUENCE_GAP = "sequence-gap"
    EXPIRED = "expired"
    EXPIRES_TOO_LATE = "expires-too-late"
    FEE_TOO_LOW = "fee-too-low"
    FEE_UNPAYABLE = "fee-unpayable"
    # Anything may say these.
    BAD_MESSAGE = "bad-message"
    INSUFFICIENT_FUNDS = "insufficient-funds"
    NOT_ALLOWED = "not-allowed"
    NOT_FOUND = "not-found"
    WRONG_STATE = "wrong-state"
    OUT_OF_RANGE = "out-of-range"
    BACKLOG = "backlog"
    TOO_MANY_EVENTS = "too-many-events"
    # Providers.
    ALREADY_REGISTERED = "already-registered"
    OPERATOR_TAKEN = "operator-taken"
    NOT_A_PROVIDER = "not-a-provider"
    # Deployments.
    DEPOSIT_TOO_LOW = "deposit-too-low"
    TOO_MANY_DEPOSITORS = "too-many-depositors"
    DEPLOYMENT_CLOSED = "deployment-closed"
    SAME_VERSION = "same-version"
    GROUPS_DIFFER = "groups-differ"
    # The market.
    ORDER_CLOSED = "order-closed"
    ORDER_FULL = "order-full"
    ALREADY_BID = "already-bid"
    NO_BID = "no-bid"
    ATTRIBUTES = "attributes-missing"
    PROVIDER_NOT_ALLOWED = "provider-not-allowed"
    PROVIDER_EXCLUDED = "provider-excluded"
    MARKET = "market-refused"
    # Leases.
    CONFIRMATION_TOO_OLD = "confirmation-too-old"
    CONFIRMATION_OUT_OF_ORDER = "confirmation-out-of-order"
    STALE_PENDING = "stale-pending"


@frozen
class Refusal:
    """As receipts and nodes carry it: `code` is plain text, since an enum's member is not what the codec takes."""

    code: str = field(converter=str)
    reason: str


class Refused(Exception):
    """Raised by handlers; `machine` turns it into a receipt."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"

    @property
    def refusal(self) -> Refusal:
        return Refusal(self.code, bounded_text(self.reason, REASON_BYTES_MAX))


def bounded_text(text: str, bytes_max: int) -> str:
    """As much of `text` as its field on the wire holds; a rule or a message may have made it of anything."""
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")
