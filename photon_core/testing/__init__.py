"""Fakes, and the checks that any plugin can be run against."""
