"""What holds for every test: a Photon home of its own, no child left behind, and in CI the same examples each time."""

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hypothesis import settings

from photon_core.api.plugin import KINDS

# No deadline for one example: the machines of CI are slow and shared, and a slow example is no wrong one.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_report_header() -> str:
    """What is tested is also a matter of what is installed: `tox run -e core` has no plugin, `-e plugin-…` has one."""
    installed = sorted({point.name for kind in KINDS for point in entry_points(group=f"photon.{kind}")})
    return f"photon plugins: {', '.join(installed) or 'none, this is photon-core alone'}"


def children() -> list[str]:
    """The processes that this one has started and that have not been waited for, by id and command."""
    pids = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended meanwhile; its children go to another
            pids += (task / "children").read_text().split()
    return [f"{pid} {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ')}" for pid in pids]


@pytest.fixture(scope="session", autouse=True)
def isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own Photon out of the tests, and the tests out of it; complain about processes left behind."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("PHOTON_") and not name.startswith("PHOTON_TEST_"):
                patch.delenv(name)
        patch.setenv("PHOTON_HOME", str(tmp_path_factory.mktemp("photon-home")))
        yield
    left = children()
    assert not left, "tests left processes behind"
