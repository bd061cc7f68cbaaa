"""Answers that go on, from a server that is not Podman: what it says is bounded, and it can be left at any time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photon_runtime_containers.engine import EngineDown
from photon_runtime_podman import follow
from photon_runtime_podman.follow import Stream
from photon_runtime_podman.rest import Refused

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
Say = Callable[..., Path]


@pytest.fixture
def say(tmp_path: Path) -> Iterator[Say]:
    """A server for one connection that says these things, and then waits until the connection is left."""
    threads: list[threading.Thread] = []

    def answering(*things: bytes, stay: bool = False) -> Path:
        path = tmp_path / "s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65_536)
                for thing in things:
                    connection.sendall(thing)
                while stay and connection.recv(1):
                    pass

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return path

    yield answering
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_lines_are_cut_wherever_the_pieces_end(say: Say) -> None:
    path = say(HEAD, chunk(b"one\ntw"), chunk(b"o"), chunk(b"\n\nthree"), END)
    assert list(Stream(path, "GET", "/x").lines()) == [b"one", b"two", b"", b"three"]


def test_a_line_without_an_end_is_refused(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LINE_BYTES_MAX", 10)
    path = say(HEAD, chunk(b"12345678"), chunk(b"90123"), stay=True)
    with pytest.raises(EngineDown, match="more than 10 bytes"):
        list(Stream(path, "GET", "/x").lines())


@pytest.mark.parametrize("things", [(HEAD, chunk(b"half")), (HEAD, b"zz\r\n"), (HEAD, b"5\r\nab")])
def test_an_answer_that_breaks_off_is_no_end(say: Say, things: tuple[bytes, ...]) -> None:
    with pytest.raises(EngineDown, match="broke off"):
        list(Stream(say(*things), "GET", "/x").pieces())


@pytest.mark.parametrize("things", [(), (b"SSH-2.0\r\n",), (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000,)])
def test_what_is_no_answer_is_an_engine_that_is_down(say: Say, things: tuple[bytes, ...]) -> None:
    with pytest.raises(EngineDown, match="does not answer"):
        Stream(say(*things), "GET", "/x")


def test_a_refusal_comes_at_once(say: Say) -> None:
    told = b'{"cause":"no such container","message":"none","response":404}'
    path = say(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
    with pytest.raises(Refused, match="none"):
        Stream(path, "GET", "/x")


@pytest.mark.parametrize(("things", "eager"), [((), False), ((HEAD,), True), ((HEAD, chunk(b"x")), True)])
def test_it_is_left_from_another_thread_whatever_came(say: Say, things: tuple[bytes, ...], eager: bool) -> None:
    stream = Stream(say(*things, stay=True), "GET", "/x", eager=eager)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.extend(stream.pieces()))
    reader.start()
    time.sleep(0.05)
    assert reader.is_alive()
    stream.close()
    reader.join(2)
    assert not reader.is_alive()
    assert heard == [b"x"] * (len(things) - 1 if things else 0)
    stream.close()


def test_an_absent_socket_is_an_engine_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(EngineDown, match="does not answer"):
        Stream(tmp_path / "absent", "GET", "/x")
