"""The signer: the only part of a node that has the consensus key. `Signer` opens with how it works.

signer    what may be signed, and the gate that is closed until the start-up rule has spoken
memory    what was signed, on a disk
store     the folder of one key: made with it, refused when it is another's
seen      what this node has seen of others' signatures, for them to ask about
startup   the start-up rule: whether the store knows all that its key has signed
settle    asks the others, and opens the gate
recovery  a new store for a key whose store is lost: an operator's decision
"""

from .memory import LogMemory, SlotMemory
from .signer import (
    Abstaining,
    Answer,
    HeightFinal,
    Signer,
    SignRequest,
    SlotTaken,
    digest_of,
    engine_slot,
    statement_slot,
)
from .store import SIGNER_FOLDER, make_signer_store

__all__ = [
    "SIGNER_FOLDER",
    "Abstaining",
    "Answer",
    "HeightFinal",
    "LogMemory",
    "SignRequest",
    "Signer",
    "SlotMemory",
    "SlotTaken",
    "digest_of",
    "engine_slot",
    "make_signer_store",
    "statement_slot",
]
