"""Flags that write anew what tests compare with: review the difference before you commit it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("photon", "what the simulator's tests compare with")
    group.addoption("--write-transcripts", action="store_true", help="write tests/transcripts/*.txt anew")
    group.addoption("--write-planted", action="store_true", help="find the planted bugs anew, and write the table")
