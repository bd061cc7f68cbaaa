"""Errors that people read.

Every error that leaves Photon says what is wrong, where, what was expected and found, and what to do. Local mistakes
and a peer's misbehaviour are two different types, because they have two different answers: the first is told to the
user, the second costs the peer its connection and never the node.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import define, field


class ExitCode(IntEnum):
    """What `photon` exits with; scripts may rely on it. The only table of them."""

    OK = 0
    FAILED = 1
    """It was understood and did not work; whatever has no number of its own."""
    USAGE = 2
    """Bad input: a file, an option or an argument. Nothing was sent, nothing was changed."""
    NOT_FOUND = 3
    """What was asked for does not exist."""
    REFUSED = 4
    """The chain, or a peer, said no, and why: insufficient funds, a stale sequence, not allowed."""
    UNREACHABLE = 5
    """A node, provider or engine does not answer."""
    TIMEOUT = 6
    """It was sent, and what was waited for did not happen in time; it may still."""
    BUG = 70
    """A fault of Photon itself (EX_SOFTWARE of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT)."""
    READER_GONE = 141
    """Whoever read the output left, as in `photon list | head -1` (128 + SIGPIPE)."""


@define(kw_only=True, eq=False)
class PhotonError(Exception):
    """Something that the person at the keyboard, or the caller, can mend.

    `code` is a stable lower-case word for scripts (`insufficient-funds`), the rest is for people.
    """

    code: str
    what: str
    where: str = ""
    expected: str = ""
    found: str = ""
    remedy: str = ""
    exit_code: int = field(default=1)

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        line = "; ".join(parts)
        return f"{line}\n  {self.remedy}" if self.remedy else line

    def as_json(self) -> dict[str, object]:
        """The form that `--output json` prints under `"error"`; empty parts are left out."""
        body = {k: getattr(self, k) for k in ("code", "what", "where", "expected", "found", "remedy")}
        return {k: v for k, v in body.items() if v}


class UsageError(PhotonError):
    """Bad input of the user: nothing was sent, nothing was changed. Exit code 2."""

    def __init__(self, **parts: object) -> None:
        parts.setdefault("exit_code", 2)
        super().__init__(**parts)  # type: ignore[arg-type]  # attrs' generated signature


class CodecError(ValueError):
    """Bytes or values that do not have the form that they must have. `where` is a path such as `body.messages[2]`."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(where, expected, found)
        self.where, self.expected, self.found = where, expected, found

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


class PeerProtocolError(Exception):
    """A peer broke the protocol. The connection is dropped, the reason is counted and logged once; nothing else."""


class LocalProtocolError(Exception):
    """Our own code called a protocol machine in a way that its contract forbids: a bug, never hidden."""
