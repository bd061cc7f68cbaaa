"""What a validator puts into a block that it proposes. Pure."""

from __future__ import annotations

from typing import Final

from attrs import define

from photon_core.api.chain import Header, Proposal, ValidatorSet
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction

from . import steps
from .mempool import Mempool

BLOCK_BYTES_MAX: Final = 2 * 2**20
"""Of transactions in one block that we propose: a few frames, some tens of milliseconds to verify."""
BLOCK_TRANSACTIONS_MAX: Final = 1_000
"""150 ms of each validator's CPU: under a backlog blocks must still come well within the engine's patience."""


@define
class Builder:
    """`own_key` None: a node that never proposes."""

    validators: ValidatorSet
    own_key: ConsensusKey | None
    mempool: Mempool

    def build(self, parent: Header, taken: frozenset[Hash], now: steps.Now) -> tuple[Proposal, tuple[Transaction, ...]]:
        """On this parent, without those `taken` by its ancestors in flight."""
        assert self.own_key is not None, "an engine that only follows proposes nothing"
        picked = self.mempool.pick(parent.height + 1, BLOCK_TRANSACTIONS_MAX, BLOCK_BYTES_MAX, taken)
        made = blocks.make_block(
            parent=parent,
            time_ms=now.unix_ms,
            proposer=self.own_key,
            validators=self.validators,
            transactions=picked,
        )
        return made.proposal, picked
