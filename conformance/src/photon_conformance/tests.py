"""Turns the clauses of a kind into parametrized pytest tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from photon_core.plugins import PluginManager
from photon_core.testing.checks.clauses import AnyClause, NotApplicable, run_clause
from photon_core.testing.checks.plugin import clauses_of, subject_of

ClauseTest = Callable[[AnyClause], None]


def conformance_of(full_name: str, config: Mapping[str, object] | None = None) -> ClauseTest:
    """A test of the installed plugin `<kind>_<name>`; assign it to a name that begins with `test_`.

    `config` is what would stand in the plugin's table of a config file. Clauses are known when pytest collects, without
    importing the plugin; it is loaded anew for each, as a node would, so that no clause sees another's leftovers.
    """
    kind = full_name.partition("_")[0]
    tables = {full_name: config} if config is not None else {}

    @pytest.mark.parametrize("clause", [pytest.param(clause, id=clause.id) for clause in clauses_of(kind)])
    def test(clause: AnyClause) -> None:
        subject = subject_of(PluginManager(tables=tables), full_name)
        try:
            run_clause(clause, subject)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    test.__doc__ = f"{full_name} keeps the contract of the kind {kind}."
    return test
