"""Blocks that an engine speaks of: their headers, and their transactions as far as they are here. Pure.

Theory of operation
-------------------
A proposal names its transactions by id (a block carried over by a view change not even that: its hash alone). Most are
in the mempool by then, some still on their way by gossip. So what is missing is waited for a moment, then asked for:
first at the validator that the engine names, then at the others in turn, until everything is here and is what the
header says. A block is kept, whole, until its height is final: engines may come back to it in a later view, and others
ask for it by hash.

    want ─► whole ◄─ gossip fills in ─ missing ─► FetchContent ─► answered ─► whole, or asked again elsewhere
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import define, field, frozen

from photon_core.api.chain import Header
from photon_core.api.consensus import Fetch
from photon_core.api.errors import CodecError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction

from .steps import FetchContent

PATIENCE_MS = 30
"""Gossip of a transaction and the proposal that names it race over different links: a few ms apart, as a rule."""
RETRY_MS = 1_000
"""An answer may be a few MB; more often than this a slow validator is not asked."""
LINK_RETRY_MS = 250
"""After one that has nothing, or while nobody is linked who could be asked."""
WANTED_MAX = 256
"""Blocks under way at once: an engine's window, for every view that it can be talked into before a block is final."""


@frozen
class Found:
    """A block is whole; or it never can be one, and why."""

    name: Hash
    problem: str = ""


@define
class _Wanted:
    header: Header
    ids: tuple[Hash, ...] | None
    """None until somebody told them."""
    hint: ConsensusKey | None
    due_ms: int
    found: dict[Hash, Transaction] = field(factory=dict)
    asked: int = 0

    def missing(self) -> tuple[Hash, ...] | None:
        """None: all of it, names included."""
        return None if self.ids is None else tuple(one for one in self.ids if one not in self.found)


@define
class Contents:
    _headers: dict[Hash, Header] = field(factory=dict)
    _whole: dict[Hash, tuple[Transaction, ...]] = field(factory=dict)
    _wanted: dict[Hash, _Wanted] = field(factory=dict)
    _missing: dict[Hash, set[Hash]] = field(factory=dict)
    """Which blocks wait for a transaction."""

    def header(self, name: Hash) -> Header | None:
        return self._headers.get(name)

    def transactions(self, name: Hash) -> tuple[Transaction, ...] | None:
        """All of them, or None while one is missing."""
        return self._whole.get(name)

    def note(self, name: Hash, header: Header) -> None:
        self._headers[name] = header

    def keep(self, name: Hash, header: Header, transactions: tuple[Transaction, ...]) -> None:
        """A whole block: built here, or restored."""
        self._headers[name] = header
        self._whole[name] = transactions

    def waiting_in(self, after_height: int) -> int:
        """Transactions in whole blocks above this height, abandoned ones included."""
        return sum(len(found) for name, found in self._whole.items() if self._headers[name].height > after_height)

    def ancestors_of(self, name: Hash, above_height: int) -> list[Hash] | None:
        """`name` and its ancestors above that height, newest first; None when one of them is not whole here."""
        found = []
        while (header := self._headers.get(name)) is not None and header.height > above_height:
            if name not in self._whole:
                return None
            found.append(name)
            name = header.parent
        return found

    # --- what is missing -----------------------------------------------------------------------------------------

    def want(self, fetch: Fetch, known: Callable[[Hash], Transaction | None], now_ms: int) -> Found | None:
        """None while something is missing."""
        name = fetch.block_hash
        self._headers[name] = fetch.header
        if name in self._whole:
            return Found(name)
        if fetch.transaction_ids is not None:
            try:
                blocks.check_ids(fetch.transaction_ids, fetch.header)
            except CodecError as error:
                return Found(name, str(error))
        wanted = self._wanted.get(name)
        if wanted is None:
            if len(self._wanted) >= WANTED_MAX:
                self._forget(next(iter(self._wanted)))
            patience = 0 if fetch.transaction_ids is None else PATIENCE_MS
            wanted = self._wanted[name] = _Wanted(fetch.header, None, fetch.hint, now_ms + patience)
        if wanted.ids is None and fetch.transaction_ids is not None:
            wanted.ids = fetch.transaction_ids
            for one in wanted.ids:
                if (transaction := known(one)) is not None:
                    wanted.found[one] = transaction
                else:
                    self._missing.setdefault(one, set()).add(name)
        return self._complete(name, wanted)

    def gossiped(self, transactions: Iterable[Transaction]) -> list[Found]:
        """What these complete."""
        if not self._missing:
            return []
        done = []
        for transaction in transactions:
            for name in sorted(self._missing.pop(transaction.id, ())):
                wanted = self._wanted[name]
                wanted.found[transaction.id] = transaction
                if (found := self._complete(name, wanted)) is not None:
                    done.append(found)
        return done

    def answered(self, name: Hash, transactions: Sequence[Transaction] | None, now_ms: int) -> Found | None:
        """`transactions` is what a validator told, if anything. What is not the block's is as good as nothing: the next
        one is asked.
        """
        wanted = self._wanted.get(name)
        if wanted is None:
            return None
        wanted.due_ms = now_ms if transactions is not None else now_ms + LINK_RETRY_MS
        if transactions is None:
            return None
        if wanted.ids is None:
            try:
                blocks.check_content(wanted.header, transactions)
            except CodecError:
                return None
            wanted.ids = tuple(t.id for t in transactions)
        named = set(wanted.ids)
        for transaction in transactions:
            if transaction.id in named:
                wanted.found[transaction.id] = transaction
        return self._complete(name, wanted)

    def step(self, validators: Sequence[ConsensusKey], now_ms: int) -> list[FetchContent]:
        """What to ask for now, of which of the validators that are linked."""
        asked = []
        for name, wanted in self._wanted.items():
            if wanted.due_ms > now_ms:
                continue
            if not validators:
                wanted.due_ms = now_ms + LINK_RETRY_MS
                continue
            validator = validators[wanted.asked % len(validators)]
            if wanted.asked == 0 and wanted.hint is not None and wanted.hint in validators:
                validator = wanted.hint
            wanted.asked += 1
            wanted.due_ms = now_ms + RETRY_MS
            asked.append(FetchContent(validator=validator, block_hash=name, transaction_ids=wanted.missing()))
        return asked

    def due_in_ms(self, now_ms: int) -> int | None:
        return min((max(0, wanted.due_ms - now_ms) for wanted in self._wanted.values()), default=None)

    def drop(self, height: int) -> None:
        """The head is at `height`: nobody comes back to what is at or below it."""
        for name in [name for name, header in self._headers.items() if header.height <= height]:
            self._forget(name)
            self._whole.pop(name, None)
            del self._headers[name]

    def _complete(self, name: Hash, wanted: _Wanted) -> Found | None:
        if wanted.ids is None or len(wanted.found) < len(wanted.ids):
            return None
        transactions = tuple(wanted.found[one] for one in wanted.ids)
        self._forget(name)
        try:
            blocks.check_size([t.raw for t in transactions])
        except CodecError as error:
            return Found(name, str(error))
        self._whole[name] = transactions
        return Found(name)

    def _forget(self, name: Hash) -> None:
        wanted = self._wanted.pop(name, None)
        for one in (wanted.ids or ()) if wanted is not None else ():
            if (waiting := self._missing.get(one)) is not None:
                waiting.discard(name)
                if not waiting:
                    del self._missing[one]
