"""Lines out of chunks, and what of a new reading was shown before."""

from hypothesis import given
from hypothesis import strategies as st

from photon_core.peers.methods import LogChunk
from photon_core.tenant import lines as lines_module
from photon_core.tenant.lines import LineCutter, LogLine, Shown, known_lines


def chunk(data, service="web", ordinal=0):
    return LogChunk(service=service, ordinal=ordinal, data=data)


def texts(lines):
    return [line.text for line in lines]


def test_lines_of_several_instances_are_put_together_apart():
    cutter = LineCutter()
    assert texts(cutter.add(chunk(b"one\ntw"))) == [b"one"]
    assert texts(cutter.add(chunk(b"other\n", ordinal=1))) == [b"other"]
    assert texts(cutter.add(chunk(b"o\n"))) == [b"two"]
    cutter.add(chunk(b"no end"))
    assert texts(cutter.end()) == [b"no end"]
    assert cutter.end() == []


def test_a_line_without_an_end_is_cut(monkeypatch):
    monkeypatch.setattr(lines_module, "LINE_BYTES_MAX", 4)
    cutter = LineCutter()
    assert texts(cutter.add(chunk(b"0123456789"))) == [b"0123", b"4567"]
    assert texts(cutter.end()) == [b"89"]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_lines_that_differ_are_told_exactly(first, shown, missed, tail):
    """`tail` lines are read again, of all there are: those before `shown` were shown, `missed` came meanwhile."""
    printed = list(range(first + shown + missed))
    old = printed[first : first + shown]
    new = printed[-tail:] if tail else []
    assert known_lines(old, new) == (sum(line <= old[-1] for line in new) if old else 0)


def test_older_lines_than_are_remembered_are_known_too():
    assert known_lines([3, 4], [1, 2, 3, 4, 5]) == 4


def test_nothing_in_common_is_all_new():
    assert known_lines([1, 2], [3, 4]) == 0
    assert known_lines([], [1]) == 0


def test_of_lines_that_are_all_alike_none_is_shown_twice():
    assert known_lines([7] * 5, [7] * 3) == 3


def test_instances_are_told_apart():
    shown = Shown()
    for ordinal in (0, 1):
        shown.add(LogLine("web", ordinal, b"same"))
    again = [LogLine("web", 0, b"same"), LogLine("web", 1, b"same"), LogLine("web", 1, b"more")]
    assert shown.fresh(again) == again[2:]
