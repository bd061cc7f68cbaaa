"""Everything that an account can ask of the exchange. A transaction holds 1 to 64 of these; all happen, or none.

A new message is: a record here, its place in the union `Message` and its tag in MESSAGES (never reused); a handler in
`handlers/`, in HANDLERS there, and in `touched_deployments` if it is about one; an example in
`tools/formats_values.py`, from which `python -m tools.formats --write` makes its part of `docs/formats.md`. The CLI's
`photon tx send` and the JSON form follow from the record.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.ids import INDEX_MAX, ORDER_ID, Address, Hash, LeaseId, NodeKey, OrderId
from photon_core.api.market import PAYLOAD_BYTES_MAX

from .records import UPTN_MAX, GroupSpec, LeaseStatus

MESSAGES_PER_TRANSACTION_MAX = 64
GROUPS_MAX = 16
LEASES_PER_MESSAGE_MAX = 1000
ADDRESSES_MAX = 8
ATTRIBUTES_MAX = 64
REASON_BYTES_MAX = 200

ATTRIBUTE = fields.list_form(fields.text_form(128), 2, 2)
"""(key, value)."""


@frozen(kw_only=True)
class Transfer:
    to: Address = fields.address()
    amount_uptn: int = fields.uint(UPTN_MAX, 1)


# --- providers -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class RegisterProvider:
    """Sent by the payee, whose address becomes the provider's name. Locks the registration bond of the parameters.

    `operator` is the agent's hot account: bids, confirms, pays fees and collateral. `node_key` is the agent's identity
    on the transport, `addresses` are where tenants dial it.
    """

    operator: Address = fields.address()
    node_key: NodeKey = fields.blob(32)
    addresses: tuple[str, ...] = fields.listof(fields.text_form(256), ADDRESSES_MAX)
    attributes: tuple[tuple[str, str], ...] = fields.listof(ATTRIBUTE, ATTRIBUTES_MAX)


@frozen(kw_only=True)
class UpdateProvider:
    """None leaves a part as it is. Payee and operator only by the payee; the rest also by the operator."""

    provider: Address = fields.address()
    payee: Address | None = fields.optional(fields.address_form())
    operator: Address | None = fields.optional(fields.address_form())
    node_key: NodeKey | None = fields.optional(fields.blob_form(32))
    addresses: tuple[str, ...] | None = fields.optional(fields.list_form(fields.text_form(256), ADDRESSES_MAX))
    attributes: tuple[tuple[str, str], ...] | None = fields.optional(fields.list_form(ATTRIBUTE, ATTRIBUTES_MAX))


# --- deployments -----------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CreateDeployment:
    """Sent by the tenant, who becomes owner and first depositor. `version` is the root over the groups' sections."""

    groups: tuple[GroupSpec, ...] = fields.listof(fields.record_form(GroupSpec), GROUPS_MAX, 1)
    version: Hash = fields.hash32()
    deposit_uptn: int = fields.uint(UPTN_MAX, 1)
    persist: bool = fields.flag(True)
    third_party_deposits: bool = fields.flag(False)


@frozen(kw_only=True)
class UpdateDeployment:
    """By the owner, while the deployment is active: another manifest for the same groups.

    `section_hashes` has one of each group, in the order of CreateDeployment; a group whose section stays repeats its
    hash. What was ordered (resources, counts, prices, attributes) stays as it is.
    """

    deployment: int = fields.uint()
    version: Hash = fields.hash32()
    section_hashes: tuple[Hash, ...] = fields.listof(fields.blob_form(32), GROUPS_MAX, 1)


@frozen(kw_only=True)
class CloseDeployment:
    """By the owner, at any time: billing stops in this block and what is not earned goes back to its depositors."""

    deployment: int = fields.uint()


@frozen(kw_only=True)
class ResumeGroup:
    """By the owner: a group that was paused is ordered again. Also how the tenant or its keeper says "ready"."""

    deployment: int = fields.uint()
    group: int = fields.uint(INDEX_MAX)


@frozen(kw_only=True)
class Deposit:
    deployment: int = fields.uint()
    amount_uptn: int = fields.uint(UPTN_MAX, 1)


# --- the market ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CreateBid:
    """By a provider's operator; locks the order's collateral from the operator's balance.

    `price` is for the whole group, 10⁻⁶ uptn per hour. `payload` is the market's own (a sealed bid's commitment, say).
    """

    order: OrderId = fields.of(ORDER_ID)
    price: int = fields.uint(2**63)
    payload: bytes = fields.blob(maximum=PAYLOAD_BYTES_MAX, default=b"")


@frozen(kw_only=True)
class WithdrawBid:
    order: OrderId = fields.of(ORDER_ID)


@frozen(kw_only=True)
class MarketMessage:
    order: OrderId = fields.of(ORDER_ID)
    payload: bytes = fields.blob(maximum=PAYLOAD_BYTES_MAX)


# --- leases ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StatusChange:
    """`reason` is for people: why a workload is at fault. Empty for the other states."""

    lease: LeaseId = fields.of(ORDER_ID)
    status: LeaseStatus = fields.choice(LeaseStatus)
    reason: str = fields.text(REASON_BYTES_MAX, "")


@frozen(kw_only=True)
class ConfirmLeases:
    """By the operator: every active lease of the provider that was matched at `height` or before goes on as it was.

    `changes` names the leases whose status is another than the chain has; `omitted` those that the provider cannot
    confirm. `height` is the newest height that the agent had seen when it made this; refused when its block is older
    than a third of the reconfirmation period.
    """

    height: int = fields.uint()
    changes: tuple[StatusChange, ...] = fields.listof(fields.record_form(StatusChange), LEASES_PER_MESSAGE_MAX, 0, ())
    omitted: tuple[LeaseId, ...] = fields.listof(ORDER_ID, LEASES_PER_MESSAGE_MAX, 0, ())


class ProviderCloseReason(IntEnum):
    """Why a provider closes a lease on its own. FAULT and NO_MANIFEST leave it out of the group's orders until the
    version changes.
    """

    PROVIDER = 0
    FAULT = 1
    NO_MANIFEST = 2


@frozen(kw_only=True)
class CloseLease:
    """By either side. After a tenant's close, `persist` orders the group again, this provider not left out."""

    lease: LeaseId = fields.of(ORDER_ID)
    reason: ProviderCloseReason = fields.choice(ProviderCloseReason, ProviderCloseReason.PROVIDER)


@frozen(kw_only=True)
class ConfirmClosed:
    """By the operator: nothing of these closing leases is left; their collateral goes back."""

    leases: tuple[LeaseId, ...] = fields.listof(ORDER_ID, LEASES_PER_MESSAGE_MAX, 1)


@frozen(kw_only=True)
class Withdraw:
    """By the payee or the operator: what these leases have earned up to their last confirmation goes to the payee."""

    leases: tuple[LeaseId, ...] = fields.listof(ORDER_ID, LEASES_PER_MESSAGE_MAX, 1)


MESSAGES: dict[int, type] = {
    1: Transfer,
    10: RegisterProvider,
    11: UpdateProvider,
    20: CreateDeployment,
    21: CloseDeployment,
    22: Deposit,
    23: ResumeGroup,
    24: UpdateDeployment,
    30: CreateBid,
    31: WithdrawBid,
    32: MarketMessage,
    40: ConfirmLeases,
    41: CloseLease,
    42: ConfirmClosed,
    43: Withdraw,
}
MESSAGE = fields.union_form("Message", MESSAGES)

Message = (
    Transfer
    | RegisterProvider
    | UpdateProvider
    | CreateDeployment
    | UpdateDeployment
    | CloseDeployment
    | Deposit
    | ResumeGroup
    | CreateBid
    | WithdrawBid
    | MarketMessage
    | ConfirmLeases
    | CloseLease
    | ConfirmClosed
    | Withdraw
)
