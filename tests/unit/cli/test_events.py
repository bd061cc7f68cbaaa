"""`photon events` as a command line: its times, its rows, its lines."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import click
import pytest
import trio
from click.testing import CliRunner

from photon_core.cli import main
from photon_core.cli.events import _words, parse_since
from photon_core.cli.tenancy import Place
from photon_core.exchange.events import DeploymentClosed
from photon_core.peers.methods import EventKind, LeaseEvent
from photon_core.tenant.history import Entry, HistoryNote
from tools import formats_values

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
EXIT = LeaseEvent(
    sequence=3,
    time_ms=NOW_MS,
    kind=EventKind.EXITED,
    service="web",
    ordinal=0,
    text="exited with\x1b[31m code 3",
    count=2,
)
TOLD = (
    Entry(time_ms=NOW_MS - 1, key="chain/9/0", about="17", event=DeploymentClosed(deployment=17)),
    Entry(time_ms=NOW_MS, key="17/0/0/3", about="17/0/0 web/0", event=EXIT),
    HistoryNote("what the provider of lease 17/0/1 saw is not here"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("1777636800000", 1777636800000),
        ("90s", NOW_MS - 90_000),
        ("10m", NOW_MS - 600_000),
        ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 7 * 86_400_000),
        ("2026-05-01T12:00:00Z", NOW_MS),
        ("2026-05-01T12:00:00", NOW_MS),
        ("2026-05-01T14:00:00+02:00", NOW_MS),
        ("1960-01-01", 0),
    ],
)
def test_times_are_ages_or_instants(text, expected):
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "-5m", "5y", "m", "9999999999999d", "²m"])
def test_what_is_no_time_says_what_is(text):
    with pytest.raises(click.BadParameter, match="10m"):
        parse_since(text, NOW)


@pytest.fixture
def run(monkeypatch):
    asked = []

    class Tenant:
        @asynccontextmanager
        async def history(self, deployment, *, since_ms, follow):
            asked.append((deployment, since_ms, follow))
            send, receive = trio.open_memory_channel(len(TOLD))
            for one in TOLD:
                send.send_nowait(one)
            send.close()
            yield receive

    monkeypatch.setattr(Place, "unlock", lambda self, key, passphrase_file: None)
    monkeypatch.setattr(Place, "run_as_tenant", lambda self, key, work: trio.run(work, Tenant()))

    def go(*arguments):
        result = CliRunner().invoke(main, ["events", *arguments])
        result.asked = asked[-1:]
        return result

    return go


def test_a_table_for_eyes_and_notes_beside_it(run):
    result = run("17", "--since", "5")
    assert result.asked == [(17, 5, False)]
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["TIME", "ABOUT", "WHAT", "MORE"]
    assert "closed" in lines[1]
    assert lines[2].startswith("2026-05-01T12:00:00.000Z  17/0/0 web/0  exited")
    assert "\x1b" not in result.stdout, "a stranger's words steer no terminal"
    assert "not here" in result.stderr


def test_followed_it_is_a_line_each(run):
    result = run("17", "-f")
    assert result.asked == [(17, 0, True)]
    assert [line.split("  ")[2] for line in result.stdout.splitlines()] == ["closed", "exited"]


def test_json_is_a_line_each_and_says_where_to_go_on(run):
    lines = [json.loads(line) for line in run("17", "--output", "json").stdout.splitlines()]
    assert [(each["id"], each["source"], each["what"]) for each in lines] == [
        ("chain/9/0", "chain", "closed"),
        ("17/0/0/3", "provider", "exited"),
    ]
    assert lines[1]["time_ms"] == NOW_MS
    assert lines[1]["text"].endswith("2 times")
    assert lines[1]["event"]["kind"] == "exited"


@pytest.mark.parametrize("event", formats_values.EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_of_the_exchange_has_words(event):
    kind, text = _words(Entry(time_ms=0, key="", about="", event=event))
    assert kind
    assert "\n" not in text


def test_help_teaches_by_example():
    assert "photon events 17 --since 10m" in CliRunner().invoke(main, ["events", "--help"]).stdout
