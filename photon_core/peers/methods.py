"""What a provider's agent answers over a link: the methods' names, their parameters and their replies.

Tenants, keepers and agents share these records, so they live below all of them. Parameters and replies travel as the
records' plain lists; `docs/formats.md` shows one of each. What a refusal is called is in `RefusalCode`, and never
changes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.ids import ORDER_ID, Hash, LeaseId, OrderId
from photon_core.exchange.records import LeaseStatus
from photon_core.manifest.records import NAME_BYTES_MAX, SECTION_BYTES_MAX, SERVICES_MAX, Protocol

from .authorization import SignedAuthorization

SALT_BYTES = 32
LOG_CHUNK_BYTES_MAX = 32 * 1024
"""Well below a frame, so that a follower of one quiet service is not kept waiting behind a busy one."""
TAIL_LINES_MAX = 100_000
INSTANCES_MAX = 1_000
ENDPOINTS_MAX = 256
REFUSED_MAX = 64
NOTES_MAX = 32
_NOTE = fields.text_form(400)


class Method(StrEnum):
    DELIVER = "manifest.deliver"
    """DeliverRequest → Delivered. Delivering the same section again is fine."""
    STATUS = "lease.status"
    """StatusRequest → LeaseReport."""
    LOGS = "lease.logs"
    """LogsRequest → a stream of LogChunk."""
    DECISION = "order.decision"
    """DecisionRequest → Decision. Answered to everybody: whoever orders may ask why nobody bids."""


class RefusalCode(StrEnum):
    """Codes of refused requests, besides those of `authorization.check_authorization`."""

    MALFORMED = "malformed"
    UNKNOWN_LEASE = "unknown-lease"
    LEASE_CLOSED = "lease-closed"
    NOT_YOUR_LEASE = "not-your-lease"
    WRONG_VERSION = "wrong-version"
    """The section is not the one whose hash stands on chain."""
    UNFIT_SECTION = "unfit-section"
    """It is that section, and it asks for what the group did not order."""
    TOO_LARGE = "too-large"
    UNKNOWN_SERVICE = "unknown-service"
    NO_MANIFEST = "no-manifest"
    BUSY = "busy"
    CHAIN_UNREACHABLE = "chain-unreachable"


# --- manifest.deliver -------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class DeliverRequest:
    authorization: SignedAuthorization = fields.record(SignedAuthorization)
    lease: LeaseId = fields.of(ORDER_ID)
    salt: bytes = fields.blob(SALT_BYTES)
    section: bytes = fields.blob(maximum=SECTION_BYTES_MAX)


@frozen(kw_only=True)
class Delivered:
    """`news`: the agent did not have this section before."""

    news: bool = fields.flag()


# --- lease.status -----------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class StatusRequest:
    authorization: SignedAuthorization = fields.record(SignedAuthorization)
    lease: LeaseId = fields.of(ORDER_ID)


class InstancePhase(IntEnum):
    """What a person wants to know of one instance, in the order in which a healthy one goes through it."""

    WAITING = 0
    """For the services that it depends on, or for its restart's back-off; `reason` says which."""
    PREPARING = 1
    STARTING = 2
    """It runs, and not all of its declared ports are open."""
    READY = 3
    EXITED = 4
    FAILED = 5


@frozen(kw_only=True)
class InstanceReport:
    """`since_ms` is Unix time; `exit_code` of its last exit, None if it never ended."""

    ordinal: int = fields.uint(INSTANCES_MAX)
    phase: InstancePhase = fields.choice(InstancePhase)
    reason: str = fields.text(400, "")
    restarts: int = fields.uint(default=0)
    exit_code: int | None = fields.optional(fields.uint_form(255))
    since_ms: int = fields.uint(default=0)


@frozen(kw_only=True)
class ServiceReport:
    name: str = fields.text(NAME_BYTES_MAX)
    instances: tuple[InstanceReport, ...] = fields.listof(fields.record_form(InstanceReport), INSTANCES_MAX)


@frozen(kw_only=True)
class Endpoint:
    """Where everybody reaches a service. For HTTP: connect to address and port, send one of `hostnames` as Host."""

    service: str = fields.text(NAME_BYTES_MAX)
    port: int = fields.uint(65_535)
    protocol: Protocol = fields.choice(Protocol)
    address: str = fields.text(255)
    external_port: int = fields.uint(65_535)
    hostnames: tuple[str, ...] = fields.listof(fields.text_form(255), 65)


@frozen(kw_only=True)
class RefusedAttempt:
    """A connection that a workload tried to make and that no `expose` allows. `name` is the peer's, when it is one."""

    service: str = fields.text(NAME_BYTES_MAX)
    address: str = fields.text(64)
    port: int = fields.uint(65_535)
    name: str = fields.text(NAME_BYTES_MAX, "")
    count: int = fields.uint()


@frozen(kw_only=True)
class LeaseReport:
    """`notes` are what the tenant should know and can mend: a hostname that another lease holds, a port in the way.

    `section_hash` is of the section that was delivered last; another than the group's when an update is not delivered
    yet, null when none ever was.
    """

    lease: LeaseId = fields.of(ORDER_ID)
    status: LeaseStatus = fields.choice(LeaseStatus)
    reason: str = fields.text(400, "")
    services: tuple[ServiceReport, ...] = fields.listof(fields.record_form(ServiceReport), SERVICES_MAX)
    endpoints: tuple[Endpoint, ...] = fields.listof(fields.record_form(Endpoint), ENDPOINTS_MAX)
    refused: tuple[RefusedAttempt, ...] = fields.listof(fields.record_form(RefusedAttempt), REFUSED_MAX)
    notes: tuple[str, ...] = fields.listof(_NOTE, NOTES_MAX)
    section_hash: Hash | None = fields.optional(fields.blob_form(32))


# --- lease.logs -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class LogsRequest:
    """`service` empty: all of them. `tail_lines` of each instance, then what follows while `follow`."""

    authorization: SignedAuthorization = fields.record(SignedAuthorization)
    lease: LeaseId = fields.of(ORDER_ID)
    service: str = fields.text(NAME_BYTES_MAX, "")
    follow: bool = fields.flag(False)
    tail_lines: int = fields.uint(TAIL_LINES_MAX, default=1000)


@frozen(kw_only=True)
class LogChunk:
    """Whole or part of some lines of one instance's combined output, in order within the instance."""

    service: str = fields.text(NAME_BYTES_MAX)
    ordinal: int = fields.uint(INSTANCES_MAX)
    data: bytes = fields.blob(maximum=LOG_CHUNK_BYTES_MAX)


# --- order.decision ---------------------------------------------------------------------------------------------------


class Verdict(IntEnum):
    UNKNOWN = 0
    """It has not looked at this order yet, or it was so long ago that it has forgotten why."""
    BID = 1
    NO_BID = 2


@frozen(kw_only=True)
class DecisionRequest:
    order: OrderId = fields.of(ORDER_ID)


@frozen(kw_only=True)
class Decision:
    """What the provider made of an order. `why` is a stable word for scripts and `reason` for people, both empty unless
    there is no bid. A price is never told here: the chain does, as far as the market's rule lets it.
    """

    order: OrderId = fields.of(ORDER_ID)
    verdict: Verdict = fields.choice(Verdict)
    why: str = fields.text(32, "")
    reason: str = fields.text(400, "")
