"""What every validator does in some small histories, line by line, against tests/transcripts/.

`pytest tests/simulation --write-transcripts` writes them anew: read the difference as you would read the change itself.
"""

from pathlib import Path

import pytest

from .scenarios import SCENARIOS

FOLDER = Path(__file__).parents[1] / "transcripts"


@pytest.mark.parametrize("name", SCENARIOS)
def test_transcript(name: str, request: pytest.FixtureRequest) -> None:
    scenario = SCENARIOS[name]()
    told = f"{SCENARIOS[name].__doc__}\n\n" + "\n".join(line.rstrip() for line in scenario.lines) + "\n"
    path = FOLDER / f"{name}.txt"
    if request.config.getoption("--write-transcripts"):
        path.write_text(told)
    assert told == path.read_text(), "run `pytest tests/simulation --write-transcripts` and review the difference"


def test_no_transcript_without_its_scenario() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SCENARIOS)
