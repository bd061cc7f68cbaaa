import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from photon_core.cli.frame.session import Session
from photon_core.cli.validate import ptn, validate_command
from photon_core.sdl import SdlErrors

EXAMPLES = Path(__file__).parents[3] / "examples"


def run(path: Path, *, as_json: bool = False) -> str:
    session = Session()
    if as_json:
        from photon_core.cli.frame.output import Output

        session.output = Output.JSON
    result = CliRunner().invoke(validate_command, [str(path)], obj=session, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_it_shows_who_may_connect_and_the_most_it_costs() -> None:
    text = run(EXAMPLES / "two-tier-0.1.yml")
    for line in (
        "web       db:6379         tcp, by name",
        "everyone  web:80          http, at a hostname of the provider",
        "at most per hour   1.5 PTN",
        "at most per day    36 PTN",
        "at most per month  1080 PTN",
    ):
        assert line in text


def test_it_shows_warnings() -> None:
    assert "cannot reach the internet" in run(EXAMPLES / "web.yml")


def test_json_has_the_groups_as_they_go_on_chain() -> None:
    document = json.loads(run(EXAMPLES / "web.yml", as_json=True))
    (group,) = document["groups"]
    assert group["units"] == [
        {
            "resources": {"cpu_milli": 100, "memory_bytes": 2**27, "storage_bytes": 2**26},
            "count": 1,
            "max_price": 600_000 * 10**6,
        }
    ]
    assert document["max_ptn"] == {"hour": "0.6", "day": "14.4", "month": "432"}
    assert group["services"][0]["expose"][0]["protocol"] == "http"
    assert document["warnings"][0]["line"] == 3


def test_a_bad_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text('version: "2.0"\nservces: {}\n')
    with pytest.raises(SdlErrors) as raised:
        run(path)
    assert raised.value.exit_code == 2
    problems = raised.value.as_json()["problems"]
    assert isinstance(problems, list)
    assert {"file", "line", "column", "what", "remedy"} <= set(problems[1])


def test_amounts_are_exact() -> None:
    assert [ptn(n) for n in (0, 1, 10**12, 1_500_000_000_000, 123)] == [
        "0",
        "0.000000000001",
        "1",
        "1.5",
        "0.000000000123",
    ]
