"""What PBFT's messages say, in the words of its paper."""

from photon_consensus_pbft import messages
from photon_consensus_pbft.messages import NewView, PreparedProof, PrePrepare, Status, ViewChange, Vote, VotePhase
from photon_core.api.finality import block_hash
from photon_core.testing.sim.trace import Names


def describe(raw: bytes, names: Names) -> str:
    match messages.decode(raw):
        case PrePrepare() as said:
            return f"PRE-PREPARE {_block(said, names)} in view {said.view}"
        case Vote() as said:
            kind = "PREPARE" if said.phase is VotePhase.PREPARE else "COMMIT"
            return f"{kind} {names.block(said.block_hash, said.height)} in view {said.view}, by v{said.validator}"
        case ViewChange() as said:
            proofs = " ".join(_proof(proof, names) for proof in said.proofs) or "nothing"
            statement = said.change.statement
            return (
                f"VIEW-CHANGE to {statement.view}, by v{said.change.validator}: final {statement.final_height}, "
                f"prepared {proofs}"
            )
        case NewView() as said:
            voters = " ".join(f"v{change.validator}" for change in said.changes)
            carried = " ".join(_proof(proof, names) for proof in said.proofs) or "nothing"
            return f"NEW-VIEW {said.view} of {voters}, carrying {carried}"
        case Status() as said:
            mode = "active" if said.active else "pending"
            return f"STATUS view {said.view} {mode}, final {said.final_height}"
    raise AssertionError("a message of no kind")


def _block(said: PrePrepare | PreparedProof, names: Names) -> str:
    return names.block(block_hash(said.header), said.header.height)


def _proof(proof: PreparedProof, names: Names) -> str:
    return f"{_block(proof, names)} of view {proof.view}"
