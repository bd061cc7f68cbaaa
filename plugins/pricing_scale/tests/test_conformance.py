"""The plugin keeps every promise of its kind."""

import pytest

from photon_core.testing.checks.clauses import AnyClause, Subject, run_clause
from photon_core.testing.checks.pricing import CLAUSES
from photon_pricing_scale.plugin import photon_register_pricing

(RECORD,) = photon_register_pricing()
SUBJECT = Subject(full_name="pricing_scale", record=RECORD, config=RECORD.config_type())


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.id)
def test_clause(clause: AnyClause) -> None:
    run_clause(clause, SUBJECT)
