"""What a command prints: one JSON document, or text for people. Results go to stdout, everything else to stderr.

Names, reasons and logs come from strangers over the chain: control characters in them are shown, never sent to a
terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import attrs
import click
from attrs import frozen


class Output(StrEnum):
    """The values of `--output`."""

    TABLE = "table"
    JSON = "json"


@frozen
class Table:
    """`rows` in the order in which people read them; `empty` is said instead of a table without rows."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    empty: str = "nothing to show"


@frozen
class Facts:
    """Names and values of one thing, one to a line; an empty value is left out."""

    pairs: Sequence[tuple[str, object]]


Human = str | Table | Facts | Sequence["str | Table | Facts"]


def show_json(document: object) -> None:
    """One document, indented, for `--output json`."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def show_json_line(document: object) -> None:
    """One of a stream of documents, each on a line of its own."""
    click.echo(json.dumps(document, ensure_ascii=False, default=_plain))


def show_human(human: Human | Callable[[], Human]) -> None:
    """Text, tables and facts, an empty line between two of them."""
    if callable(human):
        human = human()
    parts = [human] if isinstance(human, str | Table | Facts) else list(human)
    for index, part in enumerate(parts):
        if index:
            click.echo()
        match part:
            case str():
                click.echo(printable(part, keep="\n\t"))
            case Facts():
                _show_facts(part)
            case Table():
                _show_table(part)


def progress(text: str) -> None:
    """A line about what is going on, on stderr whatever the output is."""
    click.echo(printable(text), err=True)


def printable(text: str, keep: str = "") -> str:
    """The text with control characters as escapes: what strangers wrote must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def _show_facts(facts: Facts) -> None:
    pairs = [(name, _cell(value)) for name, value in facts.pairs if _cell(value)]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name:<{width}}  {value}")


def _show_table(table: Table) -> None:
    rows = [[_cell(value) for value in row] for row in table.rows]
    numeric = [all(isinstance(row[i], int | float) for row in table.rows) for i in range(len(table.columns))]
    if not rows:
        click.echo(table.empty)
    elif sys.stdout.isatty():
        _show_rich(table.columns, rows, numeric)
    else:
        _show_plain([[column.upper() for column in table.columns], *rows], numeric)


def _show_plain(rows: list[list[str]], numeric: list[bool]) -> None:
    """Columns two spaces apart: what `awk` and `grep` like."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _show_rich(columns: Sequence[str], rows: list[list[str]], numeric: list[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, number in zip(columns, numeric, strict=True):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a stranger's name are no markup
    Console().print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Enum():
            return printable(str(value.value))
        case list() | tuple():
            return printable(", ".join(map(str, value)))
        case _:
            return printable(str(value))


def _plain(value: object) -> Any:
    """What `json` does not know: bytes as hex, paths and enums as text, frozen records as objects."""
    match value:
        case bytes():
            return value.hex()
        case Path():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case frozenset() | set():
            return sorted(value)
    cls: type = type(value)
    if attrs.has(cls):
        return {attribute.name: getattr(value, attribute.name) for attribute in attrs.fields(cls)}
    raise TypeError(f"{type(value).__name__} has no JSON form")
