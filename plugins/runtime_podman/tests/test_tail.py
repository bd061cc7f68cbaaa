"""Lines are counted here, since Podman 4.3 counts them wrong."""

from hypothesis import given
from hypothesis import strategies as st

from photon_runtime_podman.tail import Tail

said = st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\0", b"\n")), max_size=12)


@given(said, st.integers(0, 5))
def test_the_last_lines_wherever_the_pieces_end(pieces: list[bytes], lines: int) -> None:
    tail = Tail(lines)
    for piece in pieces:
        tail.take(piece)
    everything = b"".join(pieces)
    parts = everything.split(b"\n")
    whole = [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    assert tail.kept() == b"".join(whole[len(whole) - min(lines, len(whole)) :])
    assert tail.bytes == len(everything)


def test_no_more_than_the_lines_asked_for_is_held() -> None:
    tail = Tail(2)
    for number in range(10_000):
        tail.take(b"line %d\n" % number)
    assert len(tail._lines) == 2
