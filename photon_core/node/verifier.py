"""Signatures, verified once per node and in threads: libsodium releases the interpreter, so two cores do twice the
work.

What was verified is remembered by transaction id (which covers the signature), so that a transaction that came by
gossip costs nothing when it comes again in a block.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import trio

from photon_core.api.chain import Certificate, ValidatorSet
from photon_core.api.errors import CodecError
from photon_core.api.ids import Hash
from photon_core.chain.certificates import verify_certificate
from photon_core.chain.keys import verify_batch
from photon_core.chain.transactions import Transaction, claim_of

REMEMBERED_MAX = 100_000
"""About 10 MB, and some tens of seconds of full blocks."""
INLINE_MAX = 2
"""So few are verified faster (some 90 us) than a thread is woken."""
THREADS = 2


class Verifier:
    def __init__(self) -> None:
        self._good: OrderedDict[Hash, None] = OrderedDict()
        self._limiter = trio.CapacityLimiter(THREADS)

    async def transactions(self, transactions: Sequence[Transaction]) -> list[bool]:
        """One answer per transaction, in order."""
        unknown = [t for t in transactions if t.id not in self._good]
        claims = [claim_of(t) for t in unknown]
        if len(claims) <= INLINE_MAX:
            answers = verify_batch(claims)
        else:
            answers = await trio.to_thread.run_sync(verify_batch, claims, limiter=self._limiter)
        for transaction, good in zip(unknown, answers, strict=True):
            if good:
                self._remember(transaction.id)
        return [t.id in self._good for t in transactions]

    async def certificate(self, certificate: Certificate, validators: ValidatorSet, chain_id: Hash) -> str:
        """Empty when it holds, else why not."""
        try:
            await trio.to_thread.run_sync(verify_certificate, certificate, validators, chain_id, limiter=self._limiter)
        except (CodecError, ValueError) as error:
            return str(error)
        return ""

    def _remember(self, transaction_id: Hash) -> None:
        self._good[transaction_id] = None
        if len(self._good) > REMEMBERED_MAX:
            self._good.popitem(last=False)
