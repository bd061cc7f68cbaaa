"""What `conformance_of` makes of a plugin: a test for each clause, failed, skipped or passed as the clause says."""

from collections.abc import Callable

import pytest
from attrs import evolve

from photon_conformance import conformance_of
from photon_core.api.plugin import NoConfig, PluginRecord
from photon_core.testing.checks.clauses import AnyClause, AnySubject, Clause, NotApplicable, Subject
from photon_core.testing.checks.plugin import CLAUSES, clauses_of

RECORD = PluginRecord[object, object](name="made_up", summary="made up here", factory=lambda context: context)
SUMMARY = next(clause for clause in CLAUSES if clause.id == "plugin.summary")


def subject(record: PluginRecord[object, object]) -> AnySubject:
    return Subject(full_name="market_made_up", record=record, config=NoConfig())


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[AnyClause, PluginRecord[object, object]], None]:
    """Put one clause to a plugin that is not installed."""

    def run(clause: AnyClause, record: PluginRecord[object, object]) -> None:
        monkeypatch.setattr("photon_conformance.tests.subject_of", lambda manager, name: subject(record))
        conformance_of("market_made_up")(clause)

    return run


def test_there_is_a_test_for_each_clause_before_the_plugin_is_imported() -> None:
    [mark] = conformance_of("market_not_installed").pytestmark  # type: ignore[attr-defined]  # set by pytest
    assert [parameters.id for parameters in mark.args[1]] == [clause.id for clause in clauses_of("market")]


def test_a_clause_that_is_kept_passes(put: Callable[[AnyClause, PluginRecord[object, object]], None]) -> None:
    put(SUMMARY, RECORD)


def test_a_broken_clause_fails(put: Callable[[AnyClause, PluginRecord[object, object]], None]) -> None:
    with pytest.raises(AssertionError, match="the summary is empty"):
        put(SUMMARY, evolve(RECORD, summary=""))


def test_what_the_plugin_does_not_claim_is_skipped(
    put: Callable[[AnyClause, PluginRecord[object, object]], None],
) -> None:
    def check(subject: AnySubject) -> None:
        raise NotApplicable("it has no phases")

    with pytest.raises(pytest.skip.Exception, match="it has no phases"):
        put(Clause(id="market.phases", sentence="Phases.", check=check), RECORD)
