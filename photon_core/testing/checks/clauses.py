"""The frame of the conformance checks: clauses of a kind, the plugin they are put to, and how they are run.

A kind's module in this package states what its contract promises, one function for each promise:

    market_clauses: Clauses[MarketContext, Market] = Clauses("market")

    @market_clauses.clause("A bid above the order's price is refused.")
    def price_limit(subject: Subject[MarketContext, Market]) -> None:
        market = subject.make(MarketContext(config=None))
        …

    CLAUSES = market_clauses.all

A function may be `async` (it runs on trio) and says by AssertionError what is broken. It makes its own instances, as
many as it likes, by `subject.make`, and cleans up after itself. What a plugin does not claim to do is no fault: raise
NotApplicable. None of this needs pytest: `photon-conformance` makes a test of each clause, `photon plugin check` a
line.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import attrs
from attrs import field, frozen

from photon_core.api.plugin import PluginRecord

Context = TypeVar("Context")
Made = TypeVar("Made")
F = TypeVar("F", bound=Callable[..., Any])


class NotApplicable(Exception):
    """The clause is about something that this plugin does not claim; the text says what."""


@frozen(kw_only=True)
class Subject(Generic[Context, Made]):
    """The plugin under test: its record, and its configuration as an instance of the record's config type."""

    full_name: str
    record: PluginRecord[Context, Made]
    config: object

    def make(self, context: Context) -> Made:
        """A new instance; the context's `config` is replaced by the subject's."""
        untyped: Any = context  # every kind's context is an attrs class with a `config`
        filled: Context = attrs.evolve(untyped, config=self.config)
        return self.record.factory(filled)


@frozen(kw_only=True)
class Clause(Generic[Context, Made]):
    """One promise: `id` is stable (`market.price_limit`), `sentence` is for people."""

    id: str
    sentence: str
    check: Callable[[Subject[Context, Made]], Awaitable[None] | None] = field(repr=False)


class Clauses(Generic[Context, Made]):
    """Gathers the clauses of one kind, in the order in which they are written."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._clauses: dict[str, Clause[Context, Made]] = {}

    def clause(self, sentence: str) -> Callable[[F], F]:
        """Marks a check; the function's name is the last part of the clause's id."""

        def add(check: F) -> F:
            clause = Clause[Context, Made](id=f"{self.kind}.{check.__name__}", sentence=sentence, check=check)
            assert clause.id not in self._clauses, f"two clauses {clause.id}"
            self._clauses[clause.id] = clause
            return check

        return add

    @property
    def all(self) -> tuple[Clause[Context, Made], ...]:
        return tuple(self._clauses.values())


AnyClause = Clause[Any, Any]
AnySubject = Subject[Any, Any]


def run_clause(clause: AnyClause, subject: AnySubject) -> None:
    """Put one clause to a plugin: returns if it is kept, raises NotApplicable, or whatever says how it is broken."""
    if inspect.iscoroutinefunction(clause.check):
        import trio  # noqa: PLC0415  # a market's checks need no event loop

        trio.run(clause.check, subject)
    else:
        clause.check(subject)
