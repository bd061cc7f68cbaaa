"""Conformance checks: `plugin` for every plugin, and one module for each kind. `clauses` is their frame.

The checks of runtimes need a kit (an image, commands that serve and reach), which the runtime's own tests bring along:
`photon plugin check` puts only the clauses of `plugin` to a runtime.
"""
