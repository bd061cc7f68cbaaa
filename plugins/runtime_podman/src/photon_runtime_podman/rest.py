"""Podman's REST interface, spoken through podman-py's `APIClient`; every answer is bounded and every error typed.

podman-py's own objects are not used: against Podman 4.3 some of them fail without a word (the plugin's README lists
them). The version asked for is the oldest that has all that is used here, so that a newer Podman answers in its form.
Everything here blocks. One `Rest` may be used by many threads: each call takes a connection of its own out of a pool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from podman.api.client import APIClient, APIResponse
from podman.errors import APIError
from requests.exceptions import RequestException

from photon_runtime_containers.engine import CALL_TIMEOUT_S, EngineDown

API_VERSION = "4.3.0"
ANSWER_BYTES_MAX = 32 * 2**20
"""A list of 10 000 containers takes about 10 MiB."""
REASON_CHARS_MAX = 2_000
CONNECTIONS_MAX = 64
"""Kept for the next call; one more than that is made and dropped."""
START_COMMAND = "systemctl enable --now podman.socket"

Params = Mapping[str, str]


def down(what: str) -> EngineDown:
    return EngineDown(what, f"start it ({START_COMMAND}), or name its socket in the configuration")


class Refused(Exception):
    """Podman answered, and it was no. `status` is HTTP's, `cause` Podman's own word for the kind of error."""

    def __init__(self, status: int, cause: str, message: str) -> None:
        super().__init__(message)
        self.status, self.cause = status, cause


class Rest:
    """`socket` is the path of Podman's socket."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._client = APIClient(f"unix://{socket}", version=API_VERSION, max_pool_size=CONNECTIONS_MAX)

    def close(self) -> None:
        self._client.close()

    def ask(
        self, method: str, path: str, params: Params | None = None, body: object = None, patience_s: float = 0
    ) -> Any:
        """What Podman answers, decoded; None when it answers nothing. `patience_s` is what it is asked to wait."""
        response = self._send(method, path, params or {}, body, CALL_TIMEOUT_S + patience_s)
        with _closing(response):
            text = _content(response, ANSWER_BYTES_MAX)
            return _decoded(text) if text.strip() else None

    def load(self, archive: bytes) -> None:
        """Store the images of a `docker save` archive."""
        headers = {"Content-Type": "application/x-tar"}
        with _closing(self._checked("POST", "/images/load", {}, archive, headers, CALL_TIMEOUT_S)) as response:
            _content(response, ANSWER_BYTES_MAX)

    def _send(self, method: str, path: str, params: Params, body: object, timeout_s: float) -> APIResponse:
        if body is None:
            return self._checked(method, path, params, None, {}, timeout_s)
        headers = {"Content-Type": "application/json"}
        return self._checked(method, path, params, json.dumps(body).encode(), headers, timeout_s)

    def _checked(
        self,
        method: str,
        path: str,
        params: Params,
        data: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> APIResponse:
        if not self.socket.exists():  # podman-py would leave its own socket open for the garbage collector
            raise down(f"Podman does not answer: there is no {self.socket}")
        call = {"GET": self._client.get, "POST": self._client.post, "DELETE": self._client.delete}[method]
        more = {"data": data} if method == "POST" else {}
        try:
            response = call(path, params=params, headers=headers, timeout=timeout_s, stream=True, **more)
        except (APIError, RequestException) as error:
            raise down(f"Podman does not answer at {self.socket}: {_innermost(error)}") from error
        if response.status_code < 400:
            return response
        with _closing(response):
            raise refusal(response.status_code, _content(response, ANSWER_BYTES_MAX))


def refusal(status: int, body: bytes) -> Refused:
    """Podman's errors are objects with `cause` and `message`; what its HTTP server says by itself is plain text."""
    cause = message = body.decode(errors="replace").strip()[:REASON_CHARS_MAX]
    with suppress(ValueError):
        told = json.loads(body)
        if isinstance(told, dict):
            message = str(told.get("message") or message)[:REASON_CHARS_MAX]
            cause = str(told.get("cause") or message)[:REASON_CHARS_MAX]
    return Refused(status, cause, message or f"status {status} without a reason")


def segment(name: str) -> str:
    """A name as one part of a path, or a reference with its slashes: Podman wants these as they are."""
    return quote(name, safe="/:@")


def labels_filter(labels: Mapping[str, str], **more: list[str]) -> str:
    """The value of `filters`. Each label with its value: a bare key matches no event at all."""
    return json.dumps({"label": [f"{key}={value}" for key, value in sorted(labels.items())], **more})


class _closing:  # noqa: N801 - like contextlib's, which wants its argument to have close() in its type
    def __init__(self, response: APIResponse) -> None:
        self._response = response

    def __enter__(self) -> APIResponse:
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _content(response: APIResponse, at_most: int) -> bytes:
    whole = bytearray()
    try:
        for piece in response.iter_content(chunk_size=65_536):
            whole += piece
            if len(whole) > at_most:
                raise down(f"Podman's answer is longer than {at_most} bytes")
    except RequestException as error:
        raise down(f"Podman's answer broke off: {_innermost(error)}") from error
    return bytes(whole)


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace").strip()


def _innermost(error: BaseException) -> str:
    """The operating system's word, out of five wrappings."""
    seen: BaseException = error
    for _ in range(10):
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return str(seen)[:REASON_CHARS_MAX]
