"""The files in docs/sdl.md are files that work."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from photon_core.sdl import Plan

PAGE = Path(__file__).parents[3] / "docs" / "sdl.md"
FILES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_files_of_the_documentation_are_valid(read: Callable[[str], Plan], text: str) -> None:
    assert read(text).groups


def test_both_layouts_of_the_documentation_are_one_deployment(read: Callable[[str], Plan]) -> None:
    today, older = (read(text).groups for text in FILES[1:])
    assert today[0].section == older[0].section
    assert today[0].units == older[0].units
