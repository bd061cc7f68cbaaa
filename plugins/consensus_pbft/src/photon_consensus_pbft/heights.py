"""What is known of one height that is not final: its proposal in the active view, and its votes."""

from __future__ import annotations

from enum import Enum

from attrs import define, field, frozen

from photon_core.api.chain import Header
from photon_core.api.ids import ConsensusKey, Hash

from .membership import Membership
from .messages import PrePrepare, VotePhase
from .votes import VoteTable


class Validity(Enum):
    UNKNOWN = "unknown"
    ASKED = "asked"
    UNTIMELY = "untimely"
    """Only its time is wrong by the clock here. Who is wrong is not known: it may be this clock, or the message was
    late. It becomes valid when an honest validator is known to have found it timely."""
    VALID = "valid"
    INVALID = "invalid"


@define(kw_only=True)
class Candidate:
    """The block that the active view's primary, or its NEW-VIEW, names for a height.

    `built`: core made it here, and it may not be signed yet. `source` is who else should have its transactions.
    `signature` is the primary's PREPARE. `carried`: a quorum prepared it before, so its time is no matter of this
    clock. `recorded`: its proof is on disk; that and `commit_signature` are both needed before the own COMMIT is one.
    """

    header: Header
    block_hash: Hash
    source: ConsensusKey | None = None
    transaction_ids: bytes | None = None
    signature: bytes | None = None
    arrived_ms: int = 0
    built: bool = False
    carried: bool = False
    fetching: bool = False
    content: bool = False
    validity: Validity = Validity.UNKNOWN
    commit_asked: bool = False
    record_token: int | None = None
    recorded: bool = False
    commit_signature: bytes | None = None

    @property
    def accepted(self) -> bool:
        """Its transactions are here and it fits after its parent."""
        return self.content and self.validity is Validity.VALID


@frozen(kw_only=True)
class EarlyProposal:
    """A PRE-PREPARE of a view that is not active here yet, without its transaction ids."""

    message: PrePrepare
    arrived_ms: int
    source: ConsensusKey


@define
class HeightLog:
    """`early` holds proposals of views above the active one, the newest of each primary. `closed`: the signer has
    refused to prepare anything else at this height in the active view. `accused`: whose contradictions were reported,
    so that each is once.
    """

    votes: VoteTable
    candidate: Candidate | None = None
    early: dict[int, EarlyProposal] = field(factory=dict)
    closed: bool = False
    accused: set[tuple[VotePhase, int]] = field(factory=set)

    @classmethod
    def empty(cls, members: Membership) -> HeightLog:
        return cls(VoteTable(members))

    def is_prepared(self) -> bool:
        """The paper's prepared(m, v, n, i): the block is here, with PREPAREs of a quorum in the active view."""
        chosen = self.candidate
        return chosen is not None and chosen.accepted and self.votes.has_quorum(VotePhase.PREPARE, chosen.block_hash)

    def is_committed(self) -> bool:
        """The block is here, with COMMITs of a quorum in the active view."""
        chosen = self.candidate
        return chosen is not None and chosen.accepted and self.votes.has_quorum(VotePhase.COMMIT, chosen.block_hash)
