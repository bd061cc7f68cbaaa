"""Fakes, the checks that any plugin can be run against, the simulator, and the skeleton of a new plugin."""
