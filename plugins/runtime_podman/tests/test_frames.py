"""Output without a terminal comes in frames, cut anywhere."""

from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.runtime import ExecStream
from photon_runtime_containers.engine import EngineDown
from photon_runtime_podman.frames import Frames

parts = st.lists(st.tuples(st.sampled_from(ExecStream), st.binary(max_size=40)), max_size=8)


def framed(stream: ExecStream, data: bytes) -> bytes:
    return bytes([1 if stream is ExecStream.STDOUT else 2, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(parts, st.integers(1, 11))
def test_wherever_it_is_cut_each_stream_is_the_same(said: list[tuple[ExecStream, bytes]], size: int) -> None:
    wire = b"".join(framed(stream, data) for stream, data in said)
    frames = Frames()
    heard = [one for at in range(0, len(wire), size) for one in frames.feed(wire[at : at + size])]
    assert all(data for _, data in heard)
    for stream in ExecStream:
        assert b"".join(d for s, d in heard if s == stream) == b"".join(d for s, d in said if s == stream)


def test_a_frame_is_not_waited_for() -> None:
    """It may say that it has 4 GiB: what has come is given, nothing is kept."""
    frames = Frames()
    assert list(frames.feed(b"\x01\0\0\0\xff\xff\xff\xffab")) == [(ExecStream.STDOUT, b"ab")]
    assert list(frames.feed(b"c")) == [(ExecStream.STDOUT, b"c")]


@given(st.binary(min_size=1, max_size=300))
def test_anything_else_is_an_error_or_nothing(wire: bytes) -> None:
    try:
        heard = list(Frames().feed(wire))
    except EngineDown:
        return
    assert sum(len(data) for _, data in heard) <= len(wire)
