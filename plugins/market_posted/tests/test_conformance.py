"""The plugin keeps every promise of its kind."""

import pytest

from photon_core.testing.checks.clauses import AnyClause, Subject, run_clause
from photon_core.testing.checks.market import CLAUSES
from photon_market_posted.plugin import photon_register_market

(RECORD,) = photon_register_market()
SUBJECT = Subject(full_name="market_posted", record=RECORD, config=RECORD.config_type())


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_clause(clause: AnyClause) -> None:
    run_clause(clause, SUBJECT)
