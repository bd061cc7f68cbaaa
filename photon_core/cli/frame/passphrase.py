"""Passphrases: from a file for what runs unattended, from the terminal for people; never from the command line.

An argument or an environment variable with the passphrase itself would be seen by other processes of the machine, and
kept in the shell's history.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame.output import progress

F = TypeVar("F", bound=Callable[..., Any])

ENVIRONMENT = "PHOTON_PASSPHRASE_FILE"
PASSPHRASE_BYTES_MAX = 4096
"""A passphrase is a line; a larger file is the wrong file."""

passphrase_option: Callable[[F], F] = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    envvar=ENVIRONMENT,
    show_envvar=True,
    metavar="FILE",
    help="Read the passphrase from the first line of FILE instead of asking.",
)


def read_passphrase(file: Path | None, *, of: str, confirm: bool = False) -> str:
    """The passphrase of `of` (such as "key alice"), from the file or, on a terminal, by asking; twice with `confirm`.

    UsageError if there is neither.
    """
    if file is not None:
        return _from_file(file)
    if not sys.stdin.isatty():
        raise UsageError(
            code="passphrase",
            what=f"the passphrase of {of} is needed, and there is no terminal to ask at",
            remedy=f"Put it in a file that only you can read, and name it: --passphrase-file FILE, or {ENVIRONMENT}",
        )
    answer: str = click.prompt(f"Passphrase of {of}", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _from_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            _warn_of_readers(file, os.fstat(opened.fileno()).st_mode)
            raw = opened.read(PASSPHRASE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            code="passphrase",
            where=str(file),
            what=f"the passphrase cannot be read: {error.strerror}",
            remedy="Check the path, and who may read the file.",
        ) from error
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(raw) > PASSPHRASE_BYTES_MAX or not lines:
        raise UsageError(
            code="passphrase",
            where=str(file),
            what="there is no passphrase in it",
            expected=f"a first line of UTF-8 text, at most {PASSPHRASE_BYTES_MAX} bytes",
            remedy="Check the path.",
        )
    return lines[0]


def _warn_of_readers(file: Path, mode: int) -> None:
    """No refusal, as for keys: without a key file a passphrase opens nothing, and some mounts know no permissions."""
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        progress(
            f"Warning: {file}: others may read this passphrase (permissions {stat.S_IMODE(mode):o}); chmod 600 {file}"
        )
