"""One validator that orders alone.

Theory of operation
-------------------
There is nobody to agree with, so a proposal that core has built is final as soon as it exists: `ProposalBuilt` is
answered by `Commit`. Nothing is signed and nothing is persisted by the engine, because nothing of a block leaves the
node before core has it in its synced log: a crash before that is a block that never was.

One block is in flight at a time. While it is being written, executed and certified, transactions gather in core's
mempool, so that blocks grow with the load by themselves.

    idle ──WorkWaiting──► building ──ProposalBuilt──► committing ──BlockFinal──► idle

A node whose key is not the one validator's follows by certificates alone; its engine stays idle for ever.
"""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from photon_core.api import consensus as api
from photon_core.api.errors import LocalProtocolError, PeerProtocolError, UsageError


class State(Enum):
    IDLE = "idle"
    BUILDING = "building"
    COMMITTING = "committing"


class SoloEngine:
    def __init__(self, context: api.EngineContext) -> None:
        self._leads = _check_validators(context)
        self._state = State.IDLE
        self._height: int | None = None
        self._head = b""

    def inspect(self, message: bytes) -> tuple[api.Claim, ...]:
        raise PeerProtocolError(f"consensus_solo has no messages, and a peer sent one of {len(message)} bytes")

    def step(self, event: api.Event, now_ms: int) -> tuple[api.Effect, ...]:
        del now_ms  # nothing here waits for a time
        if self._height is None and not isinstance(event, api.Restored):
            raise LocalProtocolError(f"the first event must be Restored, not {type(event).__name__}")
        match event:
            case api.Restored():
                self._height, self._head = event.height, event.block_hash
                return ()
            case api.WorkWaiting():
                return self._work_waiting()
            case api.ProposalBuilt():
                return self._proposal_built(event)
            case api.BlockFinal():
                return self._block_final(event)
            case api.ValidatorsChanged():
                raise LocalProtocolError("consensus_solo has one validator for ever; change the rule to add others")
            case (
                api.Received()
                | api.WorkIgnored()
                | api.TimerFired()
                | api.Persisted()
                | api.Signed()
                | api.SignatureRefused()
                | api.ContentAvailable()
                | api.Validated()
            ):
                return ()
            case _:
                assert_never(event)

    def _work_waiting(self) -> tuple[api.Effect, ...]:
        assert self._height is not None
        if not self._leads or self._state is State.COMMITTING:
            return ()
        self._state = State.BUILDING  # asked again while building: core may have let the first request lapse
        return (api.BuildProposal(height=self._height + 1, parent=self._head),)

    def _proposal_built(self, event: api.ProposalBuilt) -> tuple[api.Effect, ...]:
        assert self._height is not None
        header = event.proposal.header
        if self._state is not State.BUILDING:
            return ()
        if (header.height, header.parent) != (self._height + 1, self._head):
            raise LocalProtocolError(
                f"a proposal for height {header.height} on {header.parent.hex()[:16]} was built; "
                f"asked for was {self._height + 1} on {self._head.hex()[:16]}"
            )
        self._state = State.COMMITTING
        return (
            api.Commit(header=header, block_hash=event.proposal.block_hash),
            api.StateChange(
                what=f"commit height {header.height} with {len(event.proposal.transaction_ids)} transactions"
            ),
        )

    def _block_final(self, event: api.BlockFinal) -> tuple[api.Effect, ...]:
        assert self._height is not None
        if event.height != self._height + 1:
            raise LocalProtocolError(f"block {event.height} became final after block {self._height}")
        self._height, self._head = event.height, event.block_hash
        self._state = State.IDLE
        return ()


def _check_validators(context: api.EngineContext) -> bool:
    """True when this node is the validator."""
    validators = context.validators.validators
    if len(validators) != 1:
        raise UsageError(
            code="solo-needs-one-validator",
            what="consensus_solo orders with one validator only",
            expected="1 validator in genesis",
            found=str(len(validators)),
            remedy="choose --plugin consensus_pbft",
        )
    return context.own_key == validators[0].key
