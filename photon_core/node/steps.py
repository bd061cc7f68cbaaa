"""A node's steps: what goes into its core and what comes out, plain values, so that a test can run a whole node.

The driver turns the world into inputs and effects into the world; it decides nothing. Every effect that takes time is
answered by an input that names it:

    WriteBlock → BlockWritten            SignStatement → StatementSigned | SigningRefused
    UpdateTree → TreeUpdated             SignSlot → SlotSigned | SlotRefused
    WriteCertificate → CertificateWritten    PersistRecords → RecordsPersisted
    FetchBlocks → BlocksArrived          FetchContent → ContentArrived

Effects of one kind are begun in the order in which core names them; blocks and certificates are written one at a time.
Timers are core's: `wake_in_ms` says when ClockTicked is wanted.
"""

from __future__ import annotations

from attrs import frozen

from photon_core.api.chain import Block, Certificate, FinalityStatement, Header, StatementSignature
from photon_core.api.consensus import Claim, Slot
from photon_core.api.ids import ConsensusKey, Hash, NodeKey
from photon_core.chain.transactions import Transaction
from photon_core.exchange.events import Event, Receipt

from .mempool import Refusal


@frozen(kw_only=True)
class Now:
    """`unix_ms` is the wall clock, for block times; `monotonic_ms` for timers."""

    unix_ms: int
    monotonic_ms: int


@frozen(kw_only=True)
class Head:
    """The newest block that is final here. Height 0 is genesis, which needs no certificate."""

    header: Header
    block_hash: Hash
    certificate: Certificate | None

    @property
    def height(self) -> int:
        return self.header.height

    @property
    def time_ms(self) -> int:
        return self.header.time_ms


@frozen(kw_only=True)
class CertifiedBlock:
    """A block of somebody else, its certificate and the signatures of its transactions verified."""

    block: Block
    transactions: tuple[Transaction, ...]
    certificate: Certificate


# --- inputs ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Started:
    """`uncertified`: the blocks after the head, which are in the log already but were not certified before the end.
    `contents`: blocks that an engine asked to keep (`PersistRecords`).
    """

    head: Head
    engine_records: tuple[bytes, ...] = ()
    contents: tuple[tuple[Block, tuple[Transaction, ...]], ...] = ()
    uncertified: tuple[tuple[Block, tuple[Transaction, ...]], ...] = ()


@frozen
class ClockTicked:
    pass


@frozen(kw_only=True)
class TransactionsArrived:
    """Form and signatures are verified. `ticket` None: gossip from `source`, which gets no answer."""

    transactions: tuple[Transaction, ...]
    ticket: int | None = None
    source: NodeKey | None = None


@frozen(kw_only=True)
class PeerAppeared:
    """`validator`: whose node it is, by genesis."""

    peer: NodeKey
    validator: ConsensusKey | None = None


@frozen(kw_only=True)
class PeerVanished:
    peer: NodeKey


@frozen(kw_only=True)
class PeerHead:
    """A peer says that it has a certified block at `height`."""

    peer: NodeKey
    height: int


@frozen(kw_only=True)
class BlocksArrived:
    """From gossip or a fetch; `fetched` ends the fetch that was under way, also when there is nothing in it."""

    peer: NodeKey
    blocks: tuple[CertifiedBlock, ...]
    fetched: bool


@frozen(kw_only=True)
class MessageArrived:
    """An engine's message from the node of the validator `sender`; every claim in it is verified."""

    sender: ConsensusKey
    message: bytes


@frozen(kw_only=True)
class ContentArrived:
    """Ends a FetchContent. The transactions asked for, in that order, form and signatures verified; None: none came."""

    block_hash: Hash
    transactions: tuple[Transaction, ...] | None


@frozen(kw_only=True)
class StatementArrived:
    """A validator's signature under a finality statement, verified."""

    statement: FinalityStatement
    signature: StatementSignature


@frozen(kw_only=True)
class BlockWritten:
    height: int


@frozen(kw_only=True)
class TreeUpdated:
    height: int
    state_root: Hash


@frozen(kw_only=True)
class StatementSigned:
    statement: FinalityStatement
    signature: StatementSignature


@frozen(kw_only=True)
class SigningRefused:
    """`abstains`: the signer is in doubt of its memory and stays silent; else it signed something else before."""

    height: int
    reason: str
    abstains: bool = False


@frozen(kw_only=True)
class SlotSigned:
    slot: Slot
    signature: bytes


@frozen(kw_only=True)
class SlotRefused:
    slot: Slot
    reason: str


@frozen(kw_only=True)
class RecordsPersisted:
    token: int


@frozen(kw_only=True)
class CertificateWritten:
    height: int


Input = (
    Started
    | ClockTicked
    | TransactionsArrived
    | PeerAppeared
    | PeerVanished
    | PeerHead
    | BlocksArrived
    | MessageArrived
    | ContentArrived
    | StatementArrived
    | BlockWritten
    | TreeUpdated
    | StatementSigned
    | SigningRefused
    | SlotSigned
    | SlotRefused
    | RecordsPersisted
    | CertificateWritten
)


# --- effects ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Answer:
    """To a submission: per transaction None (it waits for a block) or why it was not taken."""

    ticket: int
    refusals: tuple[Refusal | None, ...]


@frozen(kw_only=True)
class WriteBlock:
    """Append to the log and sync; with the certificate, when the block came with one."""

    block: Block
    certificate: Certificate | None


@frozen(kw_only=True)
class UpdateTree:
    height: int
    changes: tuple[tuple[bytes, bytes | None], ...]


@frozen(kw_only=True)
class SignStatement:
    statement: FinalityStatement


@frozen(kw_only=True)
class SendStatement:
    """Our signature under a finality statement. `to` None: all validators. May be lost: it is sent again."""

    statement: FinalityStatement
    signature: StatementSignature
    to: ConsensusKey | None = None


@frozen(kw_only=True)
class SendMessage:
    """An engine's. `to` None: all validators. May be lost: engines send again what matters."""

    message: bytes
    to: ConsensusKey | None = None


@frozen(kw_only=True)
class SignSlot:
    """See `photon_core.api.consensus.Sign`."""

    slot: Slot
    message: bytes
    round_floor: int = 0


@frozen(kw_only=True)
class PersistRecords:
    """Append to the write-ahead log and sync, all or nothing: an engine's records and the blocks it depends on."""

    token: int
    height: int
    records: tuple[bytes, ...]
    blocks: tuple[Block, ...]


@frozen(kw_only=True)
class ForgetRecords:
    """What was persisted for lower heights is of no use any more."""

    below_height: int


@frozen(kw_only=True)
class FetchContent:
    """Ask this validator for transactions of a block: those named, or, None, all of it in order."""

    validator: ConsensusKey
    block_hash: Hash
    transaction_ids: tuple[Hash, ...] | None


@frozen(kw_only=True)
class NoteEvidence:
    """Two statements that one validator must not both have signed: for people, and one day for the exchange."""

    first: Claim
    second: Claim


@frozen(kw_only=True)
class WriteCertificate:
    certificate: Certificate


@frozen(kw_only=True)
class Publish:
    """The block is final: tell waiters, streams, observers, and let the state be flushed up to here."""

    block: Block
    block_hash: Hash
    transaction_ids: tuple[Hash, ...]
    certificate: Certificate
    market_ms: int
    begin_events: tuple[Event, ...]
    receipts: tuple[Receipt, ...]


@frozen(kw_only=True)
class GossipTransactions:
    """To validators, if any are linked, else to all peers, but for `besides`; or to `only`."""

    transactions: tuple[Transaction, ...]
    besides: NodeKey | None = None
    only: NodeKey | None = None


@frozen(kw_only=True)
class GossipHead:
    """We have a certified block at this height. To all peers, or one (`only`), or those that are no validators."""

    height: int
    only: NodeKey | None = None
    followers: bool = False


@frozen(kw_only=True)
class FetchBlocks:
    peer: NodeKey
    from_height: int
    count: int


@frozen(kw_only=True)
class Halt:
    """The node takes no more blocks. Both sides of the contradiction are in `reason`, and on disk."""

    reason: str


Effect = (
    Answer
    | WriteBlock
    | UpdateTree
    | SignStatement
    | SendStatement
    | SendMessage
    | SignSlot
    | PersistRecords
    | ForgetRecords
    | FetchContent
    | NoteEvidence
    | WriteCertificate
    | Publish
    | GossipTransactions
    | GossipHead
    | FetchBlocks
    | Halt
)
