"""Finality statements of validators, gathered by height until a quorum signed the same. Pure.

Each validator counts once per height, with what it said first; what it says differently after that is evidence. Heights
are kept from the head on as far as any honest validator can be ahead, so that statements which arrive before this
node's own are not lost; lost ones are sent again.
"""

from __future__ import annotations

from attrs import define, field

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature, ValidatorSet
from photon_core.api.consensus import Claim
from photon_core.api.finality import statement_message
from photon_core.api.ids import ConsensusKey
from photon_core.chain.certificates import CertificateBuilder

from .steps import NoteEvidence

HEIGHTS_AHEAD_MAX = 64
"""Many times an engine's window; 128 validators' statements of so many heights are 3 MB."""

_Said = tuple[FinalityStatement, StatementSignature]


@define
class Gathering:
    validators: ValidatorSet
    _said: dict[int, dict[ConsensusKey, _Said]] = field(factory=dict)
    _builders: dict[int, dict[FinalityStatement, CertificateBuilder]] = field(factory=dict)

    def certificate(self, height: int) -> Certificate | None:
        found = (builder.certificate for builder in self._builders.get(height, {}).values())
        return next((certificate for certificate in found if certificate is not None), None)

    def add(self, statement: FinalityStatement, signature: StatementSignature, head: int) -> NoteEvidence | None:
        """A verified signature. Evidence when its validator has signed another statement for this height."""
        height, key = statement.height, signature.validator
        if not head < height <= head + HEIGHTS_AHEAD_MAX or not self.validators.power_of(key):
            return None
        first = self._said.setdefault(height, {}).setdefault(key, (statement, signature))
        if first[0] != statement:
            return NoteEvidence(first=_claim(*first), second=_claim(statement, signature))
        builders = self._builders.setdefault(height, {})
        if statement not in builders:
            builders[statement] = CertificateBuilder(statement, self.validators)
        builders[statement].add(signature, verified=True)
        return None

    def drop(self, height: int) -> None:
        """The head is at `height`."""
        for known in [known for known in self._said if known <= height]:
            del self._said[known], self._builders[known]


def _claim(statement: FinalityStatement, signature: StatementSignature) -> Claim:
    return Claim(signature.validator, statement_message(statement), signature.signature)
