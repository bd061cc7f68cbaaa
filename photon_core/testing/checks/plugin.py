"""What every plugin promises, whatever its kind. See `clauses` for the frame."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import attrs
from attrs import frozen

from photon_core.api.plugin import PluginRecord
from photon_core.plugins import PluginManager
from photon_core.plugins.config import unsupported
from photon_core.plugins.kinds import KIND, capability_words
from photon_core.testing.checks.clauses import AnyClause, AnySubject, Clauses, NotApplicable, Subject, run_clause

SUMMARY_CHARS_MAX = 100
"""One line of `photon plugin list`."""

plugin_clauses: Clauses[Any, Any] = Clauses("plugin")


def subject_of(manager: PluginManager, full_name: str) -> AnySubject:
    """The plugin of this name with its configuration; PhotonError says why it cannot even be loaded."""
    kind, _, name = full_name.partition("_")
    record = manager.record(kind, name)
    return Subject(full_name=full_name, record=record, config=manager.config(kind, name))


def clauses_of(kind: str) -> tuple[AnyClause, ...]:
    """All that a plugin of this kind is held to: the clauses here and those of the kind's own module."""
    module = f"photon_core.testing.checks.{kind}"
    own = getattr(import_module(module), "CLAUSES", ()) if find_spec(module) is not None else ()
    return (*plugin_clauses.all, *own)


@frozen
class Verdict:
    """What came of one clause: `verdict` is kept, broken or not applicable; `detail` says how or why."""

    clause: str
    verdict: str
    detail: str = ""


def check_plugin(manager: PluginManager, full_name: str, before: Callable[[AnyClause], None]) -> tuple[Verdict, ...]:
    """Put a plugin to all its clauses; `before` is told of each. PhotonError if it cannot be loaded."""
    subject = subject_of(manager, full_name)
    verdicts = []
    for clause in clauses_of(full_name.partition("_")[0]):
        before(clause)
        verdicts.append(_judge(clause, subject))
    return tuple(verdicts)


def _judge(clause: AnyClause, subject: AnySubject) -> Verdict:
    try:
        run_clause(clause, subject)
    except NotApplicable as reason:
        return Verdict(clause.id, "not applicable", str(reason))
    except Exception as error:  # noqa: BLE001  # whatever a plugin raises is a broken clause, and the next is tried
        text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        return Verdict(clause.id, "broken", text or "an assertion without a text")
    return Verdict(clause.id, "kept")


@plugin_clauses.clause("Its record says in one line what it is.")
def summary(subject: AnySubject) -> None:
    text = subject.record.summary
    assert text.strip(), "the summary is empty"
    assert text.isprintable(), f"it is not one line: {text!r}"
    assert len(text) <= SUMMARY_CHARS_MAX, f"{len(text)} characters, where {SUMMARY_CHARS_MAX} fit"


@plugin_clauses.clause("Its record cannot change: frozen, and hashable.")
def frozen_record(subject: AnySubject) -> None:
    assert type(subject.record) is PluginRecord, f"{type(subject.record).__name__} is a class of its own"
    hash(subject.record)


@plugin_clauses.clause("Its configuration is a frozen attrs class of types that a file can hold.")
def config_type(subject: AnySubject) -> None:
    cls = subject.record.config_type
    assert not unsupported(cls), "; ".join(unsupported(cls))
    for attribute in attrs.fields(cls):
        try:
            setattr(subject.config, attribute.name, getattr(subject.config, attribute.name))
        except attrs.exceptions.FrozenInstanceError:
            continue
        raise AssertionError(f"{cls.__name__} can be changed after it was read; use attrs.frozen")


@plugin_clauses.clause("Its capabilities are words that its kind knows.")
def capabilities(subject: AnySubject) -> None:
    kind = KIND[subject.full_name.partition("_")[0]]
    unknown = subject.record.capabilities - capability_words(kind).keys()
    assert not unknown, f"unknown: {sorted(unknown)}"


@plugin_clauses.clause("Its rules version is a number from 1.")
def rules_version(subject: AnySubject) -> None:
    version = subject.record.rules_version
    assert type(version) is int, f"rules_version is {version!r}"
    assert version >= 1, f"rules_version is {version}"


CLAUSES = plugin_clauses.all
