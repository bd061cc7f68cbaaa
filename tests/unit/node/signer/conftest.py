"""Four validators, what they sign, and an engine's messages that are easy to read: [[key, statement, signature], …]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from photon_core.api import codec
from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature, Validator, ValidatorSet
from photon_core.api.consensus import Claim, Slot
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import to_plain
from photon_core.api.hashing import signed_message
from photon_core.chain.certificates import sign_statement
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.node.signer import Signer
from photon_core.node.signer.seen import SeenAnswer, SignedStatement
from photon_core.node.signer.startup import StartupRule

CHAIN = b"\x05" * 32
PREFIX = signed_message("toy/1", CHAIN, b"")


class Committee:
    """`keys[0]` is the validator that starts; in order of the set."""

    chain_id = CHAIN

    def __init__(self, powers: Sequence[int] = (1, 1, 1, 1)) -> None:
        keys = [from_seed(bytes([0x21 + n]) * 32, KeyPurpose.CONSENSUS) for n in range(len(powers))]
        self.keys: list[SigningKey] = sorted(keys, key=lambda key: key.public)
        self.validators = ValidatorSet(
            validators=tuple(Validator(key=k.public, power=p) for k, p in zip(self.keys, powers, strict=True))
        )

    def key(self, index: int) -> bytes:
        return self.keys[index].public

    # --- what an engine says -----------------------------------------------------------------------------------------

    def vote(self, slot: Slot, what: bytes = b"") -> bytes:
        """A statement, which begins with its slot."""
        return signed_message("toy/1", CHAIN, codec.encode([list(slot), what]))

    def message(self, *votes: bytes, by: int = 0, forged: bool = False) -> bytes:
        signer = self.keys[by + 1 if forged else by]
        return codec.encode([[self.key(by), vote, signer.sign_message(vote)] for vote in votes])

    def inspect(self, message: bytes) -> tuple[Claim, ...]:
        try:
            plain: Any = codec.decode(message, max_bytes=10_000)
            return tuple(Claim(key, vote, signature, self.slot(vote)) for key, vote, signature in plain)
        except (CodecError, TypeError, ValueError) as error:
            raise PeerProtocolError(f"toy: {error}") from None

    def slot(self, vote: bytes) -> Slot:
        return tuple(codec.decode(vote[len(PREFIX) :], max_bytes=1_000)[0])

    # --- finality ----------------------------------------------------------------------------------------------------

    def statement(self, height: int, root: int = 1, chain_id: bytes = CHAIN) -> FinalityStatement:
        return FinalityStatement(
            chain_id=chain_id, height=height, block_hash=b"\x01" * 32, state_root=bytes([root]) * 32,
            receipts_root=b"\x03" * 32, next_validators_hash=b"\x04" * 32,
        )  # fmt: skip

    def signature(self, statement: FinalityStatement, by: int = 0) -> StatementSignature:
        return sign_statement(self.keys[by], statement)

    def certificate(self, height: int, by: Sequence[int] = (1, 2, 3)) -> Certificate:
        statement = self.statement(height)
        return Certificate(statement=statement, signatures=tuple(self.signature(statement, n) for n in by))

    # --- the rule ----------------------------------------------------------------------------------------------------

    def rule(self, signer: Signer, own_certificate: Certificate | None = None, window: int = 4) -> StartupRule:
        return StartupRule(
            signer=signer,
            validators=self.validators,
            chain_id=CHAIN,
            inspect=self.inspect,
            own_certificate=own_certificate,
            window=window,
        )

    def answer(
        self,
        certificate: Certificate | None = None,
        statement: FinalityStatement | None = None,
        messages: Sequence[bytes] = (),
        by: int = 0,
    ) -> Any:
        """As a peer sends it: plain."""
        signed = () if statement is None else (SignedStatement(statement, self.signature(statement, by).signature),)
        return to_plain(SeenAnswer(certificate=certificate, statements=signed, messages=tuple(messages)))


@pytest.fixture
def committee() -> Committee:
    return Committee()


@pytest.fixture
def committee_of() -> type[Committee]:
    """For other sizes."""
    return Committee
