"""How a call can end other than by its answer."""

from __future__ import annotations


class PeersError(Exception):
    """A call did not get its answer."""


class RemoteError(PeersError):
    """The other side answered with an error. `code` is a stable lower-case word.

    Besides what handlers refuse with: `unknown-method`, `not-allowed`, `busy`, `rate`, `too-large`, `bad-request`,
    `timeout`, `unavailable` and `internal`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class LinkLost(PeersError):
    """There is no link to the peer, or it went down before the answer came. What was asked may have happened."""


class CallTimeout(PeersError):
    """No answer, or no link, in time. What was asked may have happened."""


class Refusal(Exception):
    """A handler raises it to answer with an error: the caller gets a `RemoteError` with the same code and message.

    A type apart from RemoteError, so that what one peer told this node never goes to another one by accident.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code, self.message = code, message
