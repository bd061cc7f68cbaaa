"""Writes a distribution with a new plugin: `photon plugin new`. The texts are files in `skeleton_files/`.

In each file `@kind@`, `@name@`, `@full@` (kind_name), `@dist@` (photon-kind-name) and `@Class@` are replaced.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from photon_core.api.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NAME_CHARS_MAX = 40

_COMMON = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "src/photon_@full@/__init__.py": "init.py",
    "src/photon_@full@/py.typed": "",
    "tests/test_conformance.py": "test_conformance.py",
}


def write_skeleton(kind: str, name: str, directory: Path) -> list[str]:
    """The files that were written, relative to `directory`; UsageError for a bad name or a folder that is not empty."""
    if not NAME.fullmatch(name) or len(name) > NAME_CHARS_MAX:
        raise UsageError(
            code="plugin-name",
            what=f"{name!r} cannot be the name of a plugin",
            expected="small letters, digits and single underscores, beginning with a letter",
            remedy="It is also the name of a Python package: choose such a one.",
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(
            code="exists",
            where=str(directory),
            what="there is something here already",
            expected="no folder, or an empty one",
            remedy="Choose another folder.",
        )
    words = {
        "@kind@": kind,
        "@name@": name,
        "@full@": f"{kind}_{name}",
        "@dist@": f"photon-{kind}-{name.replace('_', '-')}",
        "@Class@": "".join(part.capitalize() for part in name.split("_")),
    }
    templates = files("photon_core.testing") / "skeleton_files"
    layout = {**_COMMON, "src/photon_@full@/plugin.py": f"{kind}.py"}
    written = []
    for path, template in sorted(layout.items()):
        target = directory / _fill(path, words)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (templates / f"{template}.txt").read_text() if template else ""
        target.write_text(_fill(text, words))
        written.append(str(target.relative_to(directory)))
    return written


def _fill(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
