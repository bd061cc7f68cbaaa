"""What the pages say exists: links lead somewhere, files are there, commands and options are known to `photon`.

The same holds for commands in the program's own texts: a remedy that cannot be typed is worse than none.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from photon_core.cli import main

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "plugins/*/README.md", "conformance/README.md", "examples/**/README.md")
PAGES = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
FOLDERS = ("benchmarks", "photon_core", "plugins", "conformance", "examples", "tests", "tools", "docs")
SHELL = {"|", ">", "<", "&&", "||", ";", "&"}
STANDS_FOR_ANYTHING = {"…", "COMMAND", "ARGUMENTS"}
"""In place of a verb: nothing can be said about the rest."""

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of each block."""
    yield from re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of its headings, as the site makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@page_by_page
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            wrong.append(target)
    assert not wrong


@page_by_page
def test_files_that_are_named_exist(page: Path) -> None:
    wrong = []
    for name in re.findall(r"`([^`\s]+)`", prose(page.read_text())):
        if name.split("/")[0] in FOLDERS and "/" in name:
            pattern = re.sub(r"<[^>]+>", "*", name.split("::")[0]).rstrip("/")
            if not any(ROOT.glob(pattern)) and not any(page.parent.glob(pattern)):
                wrong.append(name)
    assert not wrong


def test_every_page_and_every_decision_is_listed() -> None:
    index, decisions = (ROOT / "docs/index.md").read_text(), (ROOT / "docs/adr/README.md").read_text()
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
    records = {page.name for page in ROOT.glob("docs/adr/0*.md")}
    assert {record for record in records if f"({record})" not in decisions} == set()


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """Every `photon …` of a page, in its blocks for a shell and in its sentences, as words."""
    lines = [span.replace("\n", " ") for span in re.findall(r"`(photon [^`]+)`", prose(text))]
    for language, content in fenced(text):
        if language in {"bash", "console", "sh", ""}:
            lines += content.replace("\\\n", " ").splitlines()
    lines += [line for line in prose(text).splitlines() if line.startswith("    photon ")]
    for line in lines:
        if found := re.match(r"\s*(?:\$ )?photon (?![:=])(.*)", line):
            lexer = shlex.shlex(found[1], posix=True, punctuation_chars=True)
            lexer.wordchars += ":@,…$%^[]{}+"
            yield list(until_operator(lexer))


def until_operator(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if word in SHELL:
            return
        yield word


def problem(words: list[str]) -> str | None:
    """Why `photon` would refuse these words, as far as they can be judged unrun."""
    command: click.Command = main
    context = click.Context(main, info_name="photon")
    rest = words
    while isinstance(command, click.Group):
        try:
            rest = command.make_parser(context).parse_args(list(rest))[1]
        except click.UsageError as error:
            return error.format_message()
        if not rest or rest[0] in STANDS_FOR_ANYTHING:
            return None
        below = command.get_command(context, rest[0])
        if below is None and any(word.startswith("commands_") for word in words):
            return None  # a command of a plugin that the example is about
        if below is None:
            return f"no command {rest[0]!r} in {context.command_path}"
        context = click.Context(below, parent=context, info_name=rest[0])
        command, rest = below, rest[1:]
    try:
        _, left, _ = command.make_parser(context).parse_args(list(rest))
    except click.UsageError as error:
        return error.format_message()
    return f"too many words: {left}" if left else None


@page_by_page
def test_commands_are_known(page: Path) -> None:
    wrong = {" ".join(words): problem(words) for words in commands(page.read_text()) if problem(words)}
    assert not wrong


def texts_of(source: Path) -> Iterator[str]:
    """Every string in it; what an f-string puts in is an X."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_commands_in_the_programs_own_texts_are_known() -> None:
    wrong = []
    for source in [*ROOT.glob("photon_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        for text in texts_of(source):
            named = re.findall(r"`(photon [^`]+)`|: (photon [a-z]+ [a-z]+)", text)
            for words in commands(" ".join(f"`{quoted or plain}`" for quoted, plain in named)):
                found = problem(words)
                if found and not re.search("requires an argument|too many words", found):
                    wrong.append(f"{source.relative_to(ROOT)}: photon {' '.join(words)}: {found}")
    assert not wrong


def test_every_variable_of_the_environment_is_described() -> None:
    sources = [source.read_text() for room in ("cli", "plugins") for source in ROOT.glob(f"photon_core/{room}/**/*.py")]
    read = {name for text in sources for name in re.findall(r'"(PHOTON_[A-Z_]+)"', text)}
    page = (ROOT / "docs/operations.md").read_text()
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_a_command_that_is_not_there_is_found() -> None:
    assert [words[:3] for words in commands("Type `photon key mend alice`.")] == [["key", "mend", "alice"]]
    assert problem(["key", "mend", "alice"])
    assert problem(["key", "list", "--nothing"])
    assert problem(["key", "show", "a", "b"])
    assert not problem(["key", "show", "alice", "--home", "x", "--output", "json"])


def test_every_verb_is_in_the_pages() -> None:
    """A command that no page mentions is one that nobody finds."""
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [verb for verb in main.list_commands(click.Context(main)) if not re.search(rf"photon {verb}\b", text)]
    assert not missing
