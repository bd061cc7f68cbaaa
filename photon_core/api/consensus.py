"""Kind `consensus`: engines that order blocks. Values in, values out.

Theory of operation
-------------------
An engine is a pure machine: `step(event, now_ms)` returns effects, in the order in which they are to happen. Driver,
signer, disk, verification and certificates belong to core; time and randomness are injected. Core drives it like this:

1. A message from a peer goes through `inspect` (pure), which names every signature that it claims to hold, nested ones
   too. Core verifies these in worker threads and only then steps `Received`. A message with a bad claim is dropped and
   costs the peer; the engine never sees it.
2. When there is work, core steps `WorkWaiting`. An engine whose turn it is answers `BuildProposal`; core makes a
   header and picks transactions, and steps `ProposalBuilt`.
3. A proposal that came from outside is judged by core: `Validate` → `Validated`; its bodies are got by `Fetch` →
   `ContentAvailable`. An engine votes only after both.
4. What is to be signed goes out as `Sign(slot, statement)`; the signer persists slot → digest before it answers
   `Signed`, and answers `SignatureRefused` for a second statement in one slot, for ever. A slot is an ordered tuple of
   integers that the engine names, the height first.
5. What must survive a crash goes out as `Persist(token, records)`; `SendAfter(token)` leaves only once that is synced.
   The order of disk and wire is in the types, not in prose.
6. `Commit(proposal)` is final: core writes the block, executes it, signs the finality statement, gathers the
   certificate, and steps `BlockFinal`. Commits come in order of height without a gap, at most W past the last
   certificate.

At start core steps `Restored` with every record that was persisted and not forgotten, oldest first.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

from .chain import Certificate, Proposal, ValidatorSet
from .ids import ConsensusKey, Hash, NodeKey
from .plugin import PluginRecord

CRASH_ONLY = "crash-only"
"""Capability: survives crashes, not lies. Genesis must allow it by name."""

Slot = tuple[int, ...]


@frozen
class Claim:
    """`key` is said to have signed `message` (domain and chain id included) with `signature`."""

    key: ConsensusKey
    message: bytes
    signature: bytes


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


@frozen(kw_only=True)
class ProposalBuilt:
    proposal: Proposal


@frozen(kw_only=True)
class Received:
    """A message whose every claim was verified. `sender` is the link's peer, which need not be the author."""

    sender: NodeKey
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
    token: int
    records: tuple[bytes, ...]


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
    slot: Slot
    statement: bytes


@frozen(kw_only=True)
class BuildProposal:
    """Make a block on `parent`; core may answer later, or not at all when the work has gone."""

    height: int
    parent: Hash


@frozen(kw_only=True)
class Fetch:
    proposal: Proposal
    hint: ConsensusKey | None = None


@frozen(kw_only=True)
class Validate:
    proposal: Proposal
    arrived_ms: int


@frozen(kw_only=True)
class Commit:
    proposal: Proposal


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
