"""Kind `consensus`: engines that order blocks. Values in, values out.

Theory of operation
-------------------
An engine is a pure machine: `step(event, now_ms)` returns effects, in the order in which they are to happen. Driver,
signer, disk, verification and certificates belong to core; time and randomness are injected. Core drives it like this:

1. A message from a validator goes through `inspect` (pure), which names every signature that it claims to hold, nested
   ones too. Core verifies these and only then steps `Received`. A message with a bad claim is dropped
   and costs the peer; the engine never sees it.
2. While there is work, core steps `WorkWaiting`, at every validator, and again whenever anything has happened. An
   engine whose turn it is answers `BuildProposal`; core makes a header and picks transactions that no ancestor in
   flight holds, and steps `ProposalBuilt`. The others know by it that something is to happen soon.
3. A header that came from outside is judged by core: `Validate` → `Validated`; its transactions are got by `Fetch` →
   `ContentAvailable`, which says that ids and bodies are all here, right and signed. An engine votes only after both.
   The content of what core itself built is here already.
4. What is to be signed goes out as `Sign(slot, statement)`; the signer persists slot → digest before it answers
   `Signed`, and answers `SignatureRefused` for a second statement in one slot, for ever. A slot is an ordered tuple of
   integers that the engine names: the height, the round (an engine's view), then what it likes. `round_floor` closes
   all lower rounds, at every height, for ever.
5. What must survive a crash goes out as `Persist(token, height, records, contents)`; `SendAfter(token)` leaves only
   once records and the named blocks' bodies are synced. The order of disk and wire is in the types, not in prose.
   `Forget(below_height)` gives up what was persisted for lower heights.
6. `Commit` is final: core writes the block, executes it, signs the finality statement, gathers the certificate, and
   steps `BlockFinal`. Commits come in order of height without a gap, and no engine proposes or votes more than its
   window past the last final block. `BlockFinal` also comes, in order, for blocks that this engine did not commit:
   core learnt them from peers, by certificate.

At start core steps `Restored` with every record that was persisted and not forgotten, oldest first. Blocks that core
had in its log without a certificate are its own to finish; the engine may commit them once more, which changes nothing.
"""

from __future__ import annotations

from typing import Final, Protocol

from attrs import field, frozen

from .chain import Certificate, Header, Proposal, ValidatorSet
from .ids import ConsensusKey, Hash
from .plugin import PluginRecord

CRASH_ONLY = "crash-only"
"""Capability: survives crashes, not lies. Genesis must allow it by name."""

Slot = tuple[int, ...]

IN_FLIGHT_MAX: Final = 16
"""Blocks past the newest certificate in which an engine may sign anything; no engine may have more in flight. What core
keeps, fetches and abstains from is measured by it.
"""


@frozen
class Claim:
    """`key` is said to have signed `message` (domain and chain id included) with `signature`.

    `slot` is the one that the engine names when it asks for such a signature itself: two claims of one key in one slot
    with different messages prove that it lied. Empty where the statement is core's.
    """

    key: ConsensusKey
    message: bytes
    signature: bytes
    slot: Slot = ()


# --- events --------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Restored:
    """First event of every run: what was persisted, and where the chain stands. Height 0 is genesis."""

    records: tuple[bytes, ...]
    height: int
    block_hash: Hash
    certificate: Certificate | None


@frozen
class WorkWaiting:
    """There is something to put in a block: transactions, an event that falls due, or the heartbeat."""


@frozen
class WorkIgnored:
    """Blocks with room have left out for long what could have been executed: whoever proposes them shuts somebody out.

    Core says so once; it counts anew after that.
    """


@frozen(kw_only=True)
class ProposalBuilt:
    proposal: Proposal


@frozen(kw_only=True)
class Received:
    """A message whose every claim was verified. `sender` is the validator it came from; the author may be another."""

    sender: ConsensusKey
    message: bytes


@frozen(kw_only=True)
class TimerFired:
    name: str


@frozen(kw_only=True)
class Persisted:
    token: int


@frozen(kw_only=True)
class Signed:
    slot: Slot
    signature: bytes


@frozen(kw_only=True)
class SignatureRefused:
    slot: Slot
    reason: str


@frozen(kw_only=True)
class ContentAvailable:
    block_hash: Hash


@frozen(kw_only=True)
class Validated:
    """`reason` is empty when the proposal is valid."""

    block_hash: Hash
    reason: str


@frozen(kw_only=True)
class BlockFinal:
    """The block at this height has its certificate; records below it may be forgotten."""

    height: int
    block_hash: Hash
    certificate: Certificate


@frozen(kw_only=True)
class ValidatorsChanged:
    validators: ValidatorSet
    from_height: int


Event = (
    Restored
    | WorkWaiting
    | WorkIgnored
    | ProposalBuilt
    | Received
    | TimerFired
    | Persisted
    | Signed
    | SignatureRefused
    | ContentAvailable
    | Validated
    | BlockFinal
    | ValidatorsChanged
)


# --- effects ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Persist:
    """`records` are of use until `height` is final; the blocks named by `contents` are kept with them, bodies and all,
    and served to others. A token is used once.
    """

    token: int
    height: int
    records: tuple[bytes, ...]
    contents: tuple[Hash, ...] = ()


@frozen(kw_only=True)
class SendNow:
    """`to` None means all validators."""

    message: bytes
    to: ConsensusKey | None = None


@frozen(kw_only=True)
class SendAfter:
    token: int
    message: bytes
    to: ConsensusKey | None = None


@frozen(kw_only=True)
class Sign:
    """`round_floor`: together with this signature, no slot of a lower round is signed any more, at no height."""

    slot: Slot
    statement: bytes
    round_floor: int = 0


@frozen(kw_only=True)
class BuildProposal:
    """Make a block on `parent`; core may answer later, or not at all when the work has gone."""

    height: int
    parent: Hash


@frozen(kw_only=True)
class Fetch:
    """Get all transactions of this block here. `transaction_ids` None: whoever has the block knows them (`block_hash`
    is the name to ask for). `hint` is a validator that should have it.
    """

    header: Header
    block_hash: Hash
    transaction_ids: tuple[Hash, ...] | None
    hint: ConsensusKey | None = None


@frozen(kw_only=True)
class Validate:
    """Does the header fit after its parent, which was validated or built before or is final?

    `arrived_ms` is when it came, on the clock of `step`. Its time may lie ahead of that by the chain's bound and behind
    by `late_max_ms`; None exempts it from both: it was prepared in an earlier round and is carried over.
    """

    header: Header
    block_hash: Hash
    arrived_ms: int
    late_max_ms: int | None


@frozen(kw_only=True)
class Commit:
    header: Header
    block_hash: Hash


@frozen(kw_only=True)
class SetTimer:
    name: str
    after_ms: int


@frozen(kw_only=True)
class CancelTimer:
    name: str


@frozen(kw_only=True)
class Evidence:
    """Two statements that one key must not both have signed."""

    first: Claim
    second: Claim


@frozen(kw_only=True)
class Forget:
    """Persisted records of heights below are no longer needed."""

    below_height: int


@frozen(kw_only=True)
class Ignored:
    """A message that was right in form and of no use: core counts these by `reason`, a short constant text."""

    reason: str
    sender: ConsensusKey


@frozen(kw_only=True)
class StateChange:
    """For people and traces; core does nothing with it."""

    what: str


Effect = (
    Persist
    | SendNow
    | SendAfter
    | Sign
    | BuildProposal
    | Fetch
    | Validate
    | Commit
    | SetTimer
    | CancelTimer
    | Evidence
    | Forget
    | Ignored
    | StateChange
)


class Engine(Protocol):
    def inspect(self, message: bytes) -> tuple[Claim, ...]:
        """Pure. PeerProtocolError for what is not a message of this engine; bounded work for any bytes."""
        ...

    def step(self, event: Event, now_ms: int) -> tuple[Effect, ...]:
        """`now_ms` is a monotonic clock in milliseconds, good for timers only."""
        ...


@frozen(kw_only=True)
class EngineContext:
    """`own_key` is None on a node that follows without voting. `seed` feeds whatever randomness the engine needs."""

    chain_id: Hash
    validators: ValidatorSet
    own_key: ConsensusKey | None
    config: object
    seed: int = field(default=0)


ConsensusProvider = PluginRecord[EngineContext, Engine]
