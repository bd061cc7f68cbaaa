"""Proofs that a validator lied: told loudly, and kept for people in HOME/chain/evidence.jsonl, a line for each."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Final

from attrs import define, field

from photon_core.api.consensus import Claim
from photon_core.api.ids import ConsensusKey

from . import steps

log = logging.getLogger(__name__)

EVIDENCE_FILE: Final = "evidence.jsonl"
FILE_BYTES_MAX: Final = 2**20
"""Some hundred proofs; the first are as good as the last."""
PROOFS_PER_VALIDATOR_MAX: Final = 16
"""In one run. A liar makes as many as it has time for: they must fill neither the operator's log nor the file, in which
the next liar's have a place too."""


@define
class EvidenceFile:
    path: Path
    count: int = 0
    """In this run."""
    _of: Counter[ConsensusKey] = field(factory=Counter)

    def note(self, effect: steps.NoteEvidence) -> None:
        """Blocking, for a moment: it is rare. A disk that cannot take it is no reason to stop."""
        self.count += 1
        self._of[effect.first.key] += 1
        if self._of[effect.first.key] > PROOFS_PER_VALIDATOR_MAX:
            return
        log.critical(
            "VALIDATOR %s SIGNED TWO STATEMENTS THAT EXCLUDE EACH OTHER; see %s", effect.first.key.hex(), self.path
        )
        line = evidence_line(effect) + "\n"
        try:
            with self.path.open("a", encoding="ascii") as file:
                if file.tell() + len(line) <= FILE_BYTES_MAX:
                    file.write(line)
        except OSError as error:
            log.error("%s: the proof could not be kept: %s", self.path, error)


def evidence_line(effect: steps.NoteEvidence) -> str:
    first, second = effect.first, effect.second
    return json.dumps({"validator": first.key.hex(), "first": _plain(first), "second": _plain(second)})


def _plain(claim: Claim) -> dict[str, object]:
    return {"slot": list(claim.slot), "message": claim.message.hex(), "signature": claim.signature.hex()}
