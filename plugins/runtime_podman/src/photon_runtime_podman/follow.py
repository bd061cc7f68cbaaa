"""Answers that go on for as long as something happens: logs, events, pulls.

An HTTP library gives an answer when its head has come. Podman sends the head of a log that it follows with the first
line, which may be tomorrow, and nothing could be closed until then. So these connections are opened and held here.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

from photon_runtime_containers.engine import CALL_TIMEOUT_S, PIECE_BYTES_MAX
from photon_runtime_podman.rest import ANSWER_BYTES_MAX, API_VERSION, Params, down, refusal

LINE_BYTES_MAX = 2**20
"""Of a stream of JSON lines: an event with all labels of its container takes some KiB."""


class Stream:
    """`close` may be called by any thread, also while another waits for a piece, whose iteration then ends.

    `eager`: the head is waited for at once, so that a refusal is raised here, and what is asked for has begun.
    """

    def __init__(self, path: Path, method: str, what: str, params: Params | None = None, *, eager: bool = True) -> None:
        self._path, self._closed = path, threading.Event()
        self._response: http.client.HTTPResponse | None = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._connection = http.client.HTTPConnection("podman")
        self._connection.sock = self._socket
        try:
            self._socket.settimeout(CALL_TIMEOUT_S)
            self._socket.connect(str(path))
            query = f"?{urlencode(params)}" if params else ""
            self._connection.request(method, f"/v{API_VERSION}/libpod{what}{query}")
            if eager:
                self._response = self._begun()
            self._socket.settimeout(None)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise down(f"Podman does not answer at {path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def pieces(self) -> Iterator[bytes]:
        """As they arrive. Ends when Podman ended the answer or the stream was closed; raises EngineDown else."""
        try:
            if self._response is None:
                self._response = self._begun()
            while piece := self._response.read1(PIECE_BYTES_MAX):
                yield piece
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # the last two: what a response does that is closed in the middle of a read
            if not self._closed.is_set():
                raise down(f"Podman's answer broke off: {error!r}") from error
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """The pieces cut at line ends. A line that is too long is an error, not a reason to keep all of it."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
            if len(rest) > LINE_BYTES_MAX:
                self.close()
                raise down(f"Podman sent a line of more than {LINE_BYTES_MAX} bytes")
        if rest:
            yield rest

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):  # closed already, or never connected
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads; then it holds no lock any more
        if self._response is not None:
            self._response.close()
        self._connection.close()
        self._socket.close()

    def _begun(self) -> http.client.HTTPResponse:
        response = self._connection.getresponse()
        if response.status < 400:
            return response
        with response:
            raise refusal(response.status, response.read(ANSWER_BYTES_MAX))
