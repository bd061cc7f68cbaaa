"""Conformance checks: `plugin` for every plugin, and one module for each kind. `clauses` is their frame."""
