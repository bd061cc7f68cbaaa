"""What is wrong in a deployment file, and where: collected, so that one run tells everything."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from attrs import field, frozen

from photon_core.api.errors import UsageError

PROBLEMS_MAX = 100
"""A file with more is not the file that was meant; the rest is counted."""
QUOTE_CHARS_MAX = 60
SUGGESTABLE_CHARS_MAX = 64
"""Comparing longer names, or for more problems than are told, costs more than a suggestion is worth."""


@frozen(order=True)
class Place:
    """Where in which file; lines and columns count from 1. Line 0: the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@frozen(kw_only=True)
class Problem:
    place: Place
    what: str
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.what}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        line = "; ".join(parts)
        return f"{line}\n  {self.remedy}" if self.remedy else line

    def as_json(self) -> dict[str, object]:
        body: dict[str, object] = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        texts = {k: getattr(self, k) for k in ("what", "expected", "found", "remedy")}
        return body | {k: v for k, v in texts.items() if v}


@frozen
class Notice:
    """Accepted, but the tenant should know."""

    place: Place
    what: str

    def __str__(self) -> str:
        return f"{self.place}: warning: {self.what}"

    def as_json(self) -> dict[str, object]:
        return {"file": self.place.file, "line": self.place.line, "column": self.place.column, "what": self.what}


class SdlErrors(UsageError):
    """The file cannot be used; `problems` are all that was found, in order of their places. Nothing was sent."""

    def __init__(self, problems: Sequence[Problem], left_out: int = 0) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: p.place))
        self.left_out = left_out
        count = len(self.problems) + left_out
        super().__init__(
            code="invalid-sdl",
            what=f"{count} problem{'s' if count > 1 else ''} in the deployment file",
            remedy="nothing was sent",
        )

    def __str__(self) -> str:
        lines = [f"{self.what}; {self.remedy}", *(str(problem) for problem in self.problems)]
        if self.left_out:
            lines.append(f"and {self.left_out} more")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        return super().as_json() | {"problems": [problem.as_json() for problem in self.problems]}


@frozen
class Report:
    """Collects problems and warnings while a file is read. The same problem at the same place is told once."""

    problems: dict[tuple[Place, str], Problem] = field(factory=dict)
    warnings: dict[tuple[Place, str], Notice] = field(factory=dict)

    def problem(self, place: Place, what: str, *, expected: str = "", found: str = "", remedy: str = "") -> None:
        problem = Problem(place=place, what=what, expected=expected, found=found, remedy=remedy)
        self.problems.setdefault((place, what), problem)

    def suggest(self, name: str, known: Sequence[str]) -> str:
        """A remedy when `name` looks like one that is known, else nothing."""
        if len(name) > SUGGESTABLE_CHARS_MAX or len(self.problems) > PROBLEMS_MAX:
            return ""
        close = get_close_matches(name, known, n=1)
        return f"did you mean `{close[0]}`?" if close else ""

    def fatal(self, place: Place, what: str, *, expected: str = "", found: str = "", remedy: str = "") -> SdlErrors:
        """The error to raise when reading cannot go on."""
        self.problem(place, what, expected=expected, found=found, remedy=remedy)
        return self.errors()

    def warn(self, place: Place, what: str) -> None:
        self.warnings.setdefault((place, what), Notice(place, what))

    def errors(self) -> SdlErrors:
        everything = sorted(self.problems.values(), key=lambda p: p.place)
        return SdlErrors(everything[:PROBLEMS_MAX], max(0, len(everything) - PROBLEMS_MAX))

    def raise_if_any(self) -> None:
        if self.problems:
            raise self.errors()


def quoted(text: str) -> str:
    """A bounded picture of what stands in the file, on one line."""
    shown = text if len(text) <= QUOTE_CHARS_MAX else text[:QUOTE_CHARS_MAX] + "…"
    return repr(shown)
