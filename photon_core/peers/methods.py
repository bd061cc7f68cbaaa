"""What a provider's agent answers over a link: the methods' names, their parameters and their replies.

Tenants, keepers and agents share these records, so they live below all of them. Parameters and replies travel as the
records' plain lists; `docs/formats.md` shows one of each. What a refusal is called is in `RefusalCode`, and never
changes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.ids import ORDER_ID, LeaseId, OrderId
from photon_core.api.runtime import EXEC_PIECE_BYTES_MAX
from photon_core.exchange.records import LeaseStatus
from photon_core.manifest.records import NAME_BYTES_MAX, SECTION_BYTES_MAX, SERVICES_MAX, Protocol

from .authorization import SignedAuthorization

SALT_BYTES = 32
LOG_CHUNK_BYTES_MAX = 32 * 1024
"""Well below a frame, so that a follower of one quiet service is not kept waiting behind a busy one."""
TAIL_LINES_MAX = 100_000
INSTANCES_MAX = 1_000
LEASE_EVENTS_MAX = 256
SESSION_BYTES = 16
INPUT_BYTES_MAX = 64 * 1024
COMMAND_WORDS_MAX = 256
COMMAND_BYTES_MAX = 32 * 1024
"""Of one word; all of them together fit in the parameters of a request."""
SCREEN_MAX = 65_535
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
    EVENTS = "lease.events"
    """EventsRequest → LeaseEvents. With `wait` it is answered when there is something new, or after a while."""
    EXEC = "lease.exec"
    """ExecRequest → a stream of ExecItem: STARTED with the session's name, the output, EXITED. Leaving it kills the
    command.
    """
    EXEC_INPUT = "lease.exec-input"
    """ExecInput → ExecInputTaken. Answered when the command's turn to read it has come, so it is no faster than that.
    """
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
    UNKNOWN_INSTANCE = "unknown-instance"
    """The service has fewer instances than that."""
    NO_MANIFEST = "no-manifest"
    NOT_RUNNING = "not-running"
    """The instance waits, starts, or has ended; the message says which."""
    NO_SESSION = "no-session"
    """This caller has no such session: it ended, or it never was, or it is another's."""
    IDLE = "idle"
    """A session in which nothing was said for too long."""
    INSTANCE_GONE = "instance-gone"
    """Under a session: the instance was replaced or removed, or its lease is over."""
    RUNTIME_FAILED = "runtime-failed"
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
    """`notes` are what the tenant should know and can mend: a hostname that another lease holds, a port in the way."""

    lease: LeaseId = fields.of(ORDER_ID)
    status: LeaseStatus = fields.choice(LeaseStatus)
    reason: str = fields.text(400, "")
    services: tuple[ServiceReport, ...] = fields.listof(fields.record_form(ServiceReport), SERVICES_MAX)
    endpoints: tuple[Endpoint, ...] = fields.listof(fields.record_form(Endpoint), ENDPOINTS_MAX)
    refused: tuple[RefusedAttempt, ...] = fields.listof(fields.record_form(RefusedAttempt), REFUSED_MAX)
    notes: tuple[str, ...] = fields.listof(_NOTE, NOTES_MAX)


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


# --- lease.events -----------------------------------------------------------------------------------------------------


class EventKind(IntEnum):
    """What a provider saw happen to a lease's workloads."""

    MANIFEST_TAKEN = 0
    PREPARING = 1
    """The image is pulled or unpacked."""
    STARTED = 2
    READY = 3
    """All of its declared ports answer."""
    NOT_READY = 4
    EXITED = 5
    OUT_OF_MEMORY = 6
    """It was killed for it."""
    FAILED = 7
    """It could not be started at all."""
    RESTARTED = 8
    BACK_OFF = 9
    """It ended too often: the next start has to wait."""
    STOPPED = 10
    """Taken down by the provider: the lease is over, or the manifest has it no more."""
    REFUSED = 11
    """It tried to connect to what no `expose` allows; `count` times since the last such event of this target."""
    GRANTS_CHANGED = 12
    """Who may reach whom is another thing than before."""
    TROUBLE = 13
    """The provider's engine does not do what it should."""
    TROUBLE_OVER = 14


@frozen(kw_only=True)
class LeaseEvent:
    """`sequence` counts the lease's events from 1, without a gap; `time_ms` is Unix time by the provider's clock."""

    sequence: int = fields.uint()
    time_ms: int = fields.uint()
    kind: EventKind = fields.choice(EventKind)
    service: str = fields.text(NAME_BYTES_MAX, "")
    ordinal: int | None = fields.optional(fields.uint_form(INSTANCES_MAX))
    text: str = fields.text(400, "")
    count: int = fields.uint(default=1)


@frozen(kw_only=True)
class EventsRequest:
    """Those with a higher sequence than `after`; the provider keeps the newest LEASE_EVENTS_MAX."""

    authorization: SignedAuthorization = fields.record(SignedAuthorization)
    lease: LeaseId = fields.of(ORDER_ID)
    after: int = fields.uint(default=0)
    wait: bool = fields.flag(False)


@frozen(kw_only=True)
class LeaseEvents:
    """In order. A first one whose sequence is more than one above what was asked for says how many are forgotten."""

    events: tuple[LeaseEvent, ...] = fields.listof(fields.record_form(LeaseEvent), LEASE_EVENTS_MAX)


# --- lease.exec -------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class ScreenSize:
    """Of a terminal, in characters."""

    columns: int = fields.uint(SCREEN_MAX, 1)
    rows: int = fields.uint(SCREEN_MAX, 1)


@frozen(kw_only=True)
class ExecRequest:
    """`service` empty: the only one. `terminal`: give the command one of this size; without, three pipes."""

    authorization: SignedAuthorization = fields.record(SignedAuthorization)
    lease: LeaseId = fields.of(ORDER_ID)
    service: str = fields.text(NAME_BYTES_MAX, "")
    ordinal: int = fields.uint(INSTANCES_MAX, default=0)
    command: tuple[str, ...] = fields.listof(fields.text_form(COMMAND_BYTES_MAX), COMMAND_WORDS_MAX, 1)
    terminal: ScreenSize | None = fields.optional(fields.record_form(ScreenSize))


class ExecNews(IntEnum):
    STARTED = 0
    """The first: `session` names it for `lease.exec-input`."""
    STDOUT = 1
    STDERR = 2
    EXITED = 3
    """The last: `exit_code`."""


@frozen(kw_only=True)
class ExecItem:
    """What happened in a session; which fields mean something is in `ExecNews`. `data` is a piece of output."""

    news: ExecNews = fields.choice(ExecNews)
    session: bytes = fields.blob(maximum=SESSION_BYTES, default=b"")
    data: bytes = fields.blob(maximum=EXEC_PIECE_BYTES_MAX, default=b"")
    exit_code: int = fields.uint(255, default=0)


@frozen(kw_only=True)
class ExecInput:
    """First the new `size`, then the `data`, then, if it is so, its `end`. Needs no authorization: a session's name
    holds on the link that it was given on.
    """

    session: bytes = fields.blob(SESSION_BYTES)
    data: bytes = fields.blob(maximum=INPUT_BYTES_MAX, default=b"")
    end: bool = fields.flag(False)
    size: ScreenSize | None = fields.optional(fields.record_form(ScreenSize))


@frozen(kw_only=True)
class ExecInputTaken:
    """`taken` False: the command does not read; nothing of the data and the end was taken, ask again."""

    taken: bool = fields.flag()


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
