"""Docker's streams, taken apart however they are cut; and an engine that hangs, lies or goes."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_runtime_containers.engine import EngineDown, NoSuchImage, PullDenied, PullProgress, RegistryUnreachable
from photon_runtime_docker.engine import DockerEngine
from photon_runtime_docker.pull import PullStream
from photon_runtime_docker.wire import Frames, LineStream, LogStream, Pieces, request

pieces_of_output = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50)), max_size=8)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """One connection after another, at this socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                connection, _ = listener.accept()
                with connection:
                    if not over.is_set():
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        over.set()
        _knock(path)
        thread.join(5)


def _knock(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.connect(str(path))


def fed(*sent: bytes) -> Pieces:
    """What somebody sent and then hung up."""
    ours, theirs = socket.socketpair()
    with theirs:
        for piece in sent:
            theirs.sendall(piece)
    return Pieces(ours)


@given(pieces_of_output, st.integers(min_value=1, max_value=20))
def test_frames_are_the_same_however_they_are_cut(said: list[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(frame(*one) for one in said)
    frames = Frames()
    heard = [one for at in range(0, len(stream), size) for one in frames.feed(stream[at : at + size])]
    for number in (1, 2):
        assert b"".join(d for n, d in heard if n == number) == b"".join(d for n, d in said if n == number)


def test_log_is_both_streams_together() -> None:
    pieces = fed(frame(1, b"one\n") + frame(2, b"two\n")[:9], frame(2, b"two\n")[9:])
    assert b"".join(LogStream(pieces)) == b"one\ntwo\n"
    pieces.close()


def test_closing_from_another_thread_ends_a_wait() -> None:
    ours, theirs = socket.socketpair()
    pieces = Pieces(ours)
    log, heard = LogStream(pieces), list[bytes]()
    reader = threading.Thread(target=lambda: heard.extend(log))
    with theirs:
        theirs.sendall(frame(1, b"x"))
        reader.start()
        while not heard:
            pass
        log.close()
        log.close()
        reader.join(5)
        assert not reader.is_alive()
    assert ours.fileno() == -1


def test_line_that_is_no_object_ends_the_stream() -> None:
    pieces = fed(b'{"a": 1}\n\n{"a"', b': 2}\n[3]\n{"a": 4}\n')
    assert list(LineStream(pieces, lambda said: said["a"])) == [1, 2]
    pieces.close()


def test_progress_of_a_pull_is_the_sum_over_its_layers() -> None:
    lines = [
        {"status": "Pulling from library/redis", "id": "7"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 50}, "id": "b"},
        {"status": "Download complete", "progressDetail": {}, "id": "b"},
        {"status": "Extracting", "progressDetail": {"current": 1, "total": 9}, "id": "b"},
    ]
    body = b"".join(json.dumps(line).encode() + b"\r\n" for line in lines)
    stream = PullStream("redis", fed(b"HTTP/1.0 200 OK\r\n\r\n" + body))
    seen = list(stream)
    stream.close()
    assert seen[2] == PullProgress(done_bytes=15, total_bytes=150, detail="Downloading")
    assert seen[-1] == PullProgress(done_bytes=60, total_bytes=150, detail="Extracting")


@pytest.mark.parametrize(
    ("message", "kind", "says"),
    [
        ("manifest for a/b:9 not found: manifest unknown: manifest unknown", NoSuchImage, "no such image"),
        ("no matching manifest for linux/amd64 in the manifest list entries", NoSuchImage, "architecture"),
        (
            "pull access denied for a/b, repository does not exist or may require 'docker login'",
            PullDenied,
            "credentials",
        ),
        ('Head "https://x/v2/": no basic auth credentials', PullDenied, "credentials"),
        ("unauthorized: authentication required", PullDenied, "credentials"),
        ('Get "https://x/v2/": dial tcp 10.1.1.1:443: connect: connection refused', RegistryUnreachable, "refused"),
        ('Get "https://x/v2/": dial tcp: lookup x: no such host', RegistryUnreachable, "no such host"),
        ("http: server gave HTTP response to HTTPS client", RegistryUnreachable, "HTTPS"),
        ("toomanyrequests: You have reached your pull rate limit", RegistryUnreachable, "rate limit"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_failed_pulls_are_told_apart(message: str, kind: type[Exception], says: str, at_once: bool) -> None:
    """Docker refuses with a status when it knows at once, and in a line of its answer later."""
    if at_once:
        said = b"HTTP/1.0 500 Internal Server Error\r\n\r\n" + json.dumps({"message": message}).encode()
    else:
        said = b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps({"errorDetail": {"message": message}, "error": message}).encode()
    stream = PullStream("a/b:9", fed(said + b"\n"))
    with pytest.raises(kind, match=says) as failed:
        list(stream)
    stream.close()
    assert "a/b:9" in str(failed.value)


@pytest.mark.parametrize(
    "nonsense", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"\xff" * 100_000]
)
def test_engine_that_talks_nonsense_is_down(tmp_path: Path, nonsense: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(nonsense)

    path = tmp_path / "s"
    with answering(path, answer):
        engine = DockerEngine(str(path))
        with pytest.raises(EngineDown) as failed:
            engine.info()
        assert str(path) in failed.value.remedy
        engine.close()


def test_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    engine = DockerEngine(str(tmp_path / "none.sock"))
    with pytest.raises(EngineDown) as failed:
        engine.info()
    assert "none.sock" in failed.value.remedy
    assert "No such file" in failed.value.remedy
    with pytest.raises(EngineDown):
        request(str(tmp_path / "none.sock"), "GET", "/x", {})
