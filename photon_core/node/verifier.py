"""Signatures, verified once per node: on the event loop, a slice at a time, with a turn for others in between.

Not in threads. libsodium releases the interpreter for each signature, and takes it back from a loop that is busy with
Python only when that rests, or after 5 ms: threads cost more than they gave, on two cores as on one (ADR 25).

What was verified is remembered, transactions by id (which covers the signature), other claims by a digest of all of
them: a transaction that came by gossip costs nothing when it comes again in a block, a vote nothing when it comes again
inside of a certificate. So is what this node has signed itself.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice

import trio

from photon_core.api.chain import Certificate, ValidatorSet
from photon_core.api.consensus import Claim
from photon_core.api.errors import CodecError
from photon_core.api.finality import check_certificate_form, claims_of
from photon_core.api.ids import Hash
from photon_core.chain.keys import verify_batch
from photon_core.chain.transactions import Transaction, claim_of

REMEMBERED_MAX = 100_000
"""About 10 MB, and some tens of seconds of full blocks."""
CLAIMS_REMEMBERED_MAX = 50_000
"""About 5 MB: all votes of the largest set for some hundred blocks."""
SLICE = 16
"""So many are verified without a rest: a millisecond, as long as the node's core is stepped without one."""
_LENGTHS = struct.Struct(">II")


class _Memory:
    """The newest of what is known to be good."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, name: bytes) -> bool:
        return name in self._good

    def add(self, name: bytes) -> None:
        self._good[name] = None
        if len(self._good) > self._maximum:
            self._good.popitem(last=False)


class Verifier:
    def __init__(self) -> None:
        self._transactions = _Memory(REMEMBERED_MAX)
        self._claims = _Memory(CLAIMS_REMEMBERED_MAX)
        self._turn = trio.Lock()
        """Of those who bring transactions: one slice of one of them in each round of the loop, however many there are.
        Votes and certificates do not wait for it."""

    async def transactions(self, transactions: Sequence[Transaction]) -> list[bool]:
        """One answer per transaction, in order."""
        unknown = [t for t in transactions if t.id not in self._transactions]
        answers: list[bool] = []
        for part in _slices([claim_of(t) for t in unknown]):
            async with self._turn:
                answers += verify_batch(part)
        bad = set()
        for transaction, good in zip(unknown, answers, strict=True):
            if good:
                self._transactions.add(transaction.id)
            else:
                bad.add(transaction.id)
        return [t.id not in bad for t in transactions]

    async def claims(self, claims: Sequence[Claim]) -> list[bool]:
        """One answer per claim, in order."""
        names = [_name(claim) for claim in claims]
        unknown = {name: claim for name, claim in zip(names, claims, strict=True) if name not in self._claims}
        answers: list[bool] = []
        for part in _slices(list(unknown.values())):
            if answers:
                await trio.lowlevel.checkpoint()
            answers += verify_batch(part)
        bad = set()
        for name, good in zip(unknown, answers, strict=True):
            if good:
                self._claims.add(name)
            else:
                bad.add(name)
        return [name not in bad for name in names]

    def trust(self, claim: Claim) -> None:
        """This node signed it."""
        self._claims.add(_name(claim))

    async def certificate(self, certificate: Certificate, validators: ValidatorSet, chain_id: Hash) -> str:
        """Empty when it holds, else why not."""
        return (await self.certificates([certificate], validators, chain_id))[0]

    async def certificates(
        self, certificates: Sequence[Certificate], validators: ValidatorSet, chain_id: Hash
    ) -> list[str]:
        """One answer each, in order, for one wait: empty when it holds, else why not."""
        answers: list[str] = []
        claims: list[tuple[Claim, ...]] = []
        for certificate in certificates:
            try:
                check_certificate_form(certificate, validators, chain_id)
            except CodecError as error:
                answers.append(str(error))
                claims.append(())
            else:
                answers.append("")
                claims.append(claims_of(certificate))
        good = iter(await self.claims([claim for each in claims for claim in each]))
        for index, each in enumerate(claims):
            for claim, holds in zip(each, islice(good, len(each)), strict=True):
                if not holds:
                    key = claim.key.hex()
                    answers[index] = f"certificate.signatures: expected valid signatures, found an invalid one of {key}"
        return answers


def _slices(claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    return (claims[first : first + SLICE] for first in range(0, len(claims), SLICE))


def _name(claim: Claim) -> bytes:
    """Lengths first, so that no two claims share their bytes."""
    lengths = _LENGTHS.pack(len(claim.key), len(claim.signature))
    return blake2b(b"".join((lengths, claim.key, claim.signature, claim.message)), digest_size=32).digest()
