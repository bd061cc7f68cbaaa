"""What Podman says piece by piece, as the streams that the runtime iterates in a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from photon_runtime_containers.engine import PIECE_BYTES_MAX, EngineEvent, PullProgress, RegistryUnreachable
from photon_runtime_podman import refusals
from photon_runtime_podman.bodies import event_of
from photon_runtime_podman.follow import Stream
from photon_runtime_podman.frames import Frames
from photon_runtime_podman.rest import Refused, down
from photon_runtime_podman.tail import Tail

T = TypeVar("T")


class Items(Generic[T]):
    """A `Stream` of the protocol: what `made` gives out of what comes over `source`."""

    def __init__(self, source: Stream, made: Iterator[T]) -> None:
        self._source, self._made = source, made

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return next(self._made)
        except Refused as refused:  # of a log, whose head comes with its first line
            raise refusals.of_container(refused) or refusals.otherwise(refused) from refused

    def close(self) -> None:
        self._source.close()


def log_pieces(source: Stream, tail_lines: int | None, kept_bytes: int) -> Iterator[bytes]:
    """Of the first `kept_bytes` of output the last lines, then all that follows."""
    frames = Frames()
    output = (data for piece in source.pieces() for _, data in frames.feed(piece))
    if tail_lines is None:
        yield from (part for data in output for part in _cut(data))
        return
    tail = Tail(tail_lines)
    for data in output:
        room = kept_bytes - tail.bytes
        tail.take(data[:room])
        if tail.bytes >= kept_bytes:
            yield from _cut(tail.kept())
            yield from _cut(data[room:])
            yield from (part for later in output for part in _cut(later))
            return
    yield from _cut(tail.kept())


def events(source: Stream) -> Iterator[EngineEvent]:
    for told in _objects(source):
        try:
            yield event_of(told)
        except (KeyError, TypeError, AttributeError) as error:
            raise down(f"Podman told of an event without {error}") from error


def pulling(source: Stream, image: str) -> Iterator[PullProgress]:
    """Podman tells of no bytes, only what it is doing; a failure is a line like any other, under status 200."""
    came = False
    for told in _objects(source):
        if told.get("error"):
            raise refusals.of_pull(str(told["error"]), image)
        came = came or bool(told.get("id"))
        if told.get("stream"):
            yield PullProgress(detail=str(told["stream"]).strip())
    if not came:
        raise RegistryUnreachable(f"the image {image} could not be fetched: Podman's answer ended before it had it")


def _objects(source: Stream) -> Iterator[Mapping[str, Any]]:
    for line in source.lines():
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except ValueError as error:
            raise down(f"Podman sent a line that is no JSON: {line[:80]!r}") from error
        if isinstance(told, dict):
            yield told


def _cut(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE_BYTES_MAX):
        yield data[at : at + PIECE_BYTES_MAX]
