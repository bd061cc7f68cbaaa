import tempfile
from pathlib import Path

import pytest

from photon_core.api.errors import PhotonError
from photon_core.api.runtime import RuntimeFailure
from photon_core.chain.files import FolderLock
from photon_core.cli.up import leftovers
from photon_core.cli.up.layout import NetworkFolder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_a_dead_runs_folder_is_removed() -> None:
    folder = leftovers.temporary_folder()
    FolderLock(folder).release()
    (folder / "logs").mkdir()

    (said,) = await leftovers.remove_abandoned()

    assert str(folder) in said
    assert not folder.exists()


async def test_a_living_runs_folder_is_left_alone() -> None:
    folder = leftovers.temporary_folder()
    lock = FolderLock(folder)

    assert await leftovers.remove_abandoned() == []

    assert folder.exists()
    lock.release()


async def test_what_no_run_made_is_left_alone(temporary: Path) -> None:
    """A name alone proves nothing; a link could lead anywhere."""
    unlocked = leftovers.temporary_folder()
    elsewhere = temporary / "elsewhere"
    FolderLock(elsewhere).release()
    (temporary / f"{leftovers.PREFIX}link").symlink_to(elsewhere)

    assert await leftovers.remove_abandoned() == []

    assert unlocked.exists()
    assert elsewhere.exists()


async def test_an_engine_that_is_not_there_is_told_and_not_taken_for_a_bug(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime fails inside a nursery of its own: its failure comes in a group."""
    folder = NetworkFolder(temporary)
    folder.genesis.write_text("{}")

    async def no_engine(of: NetworkFolder, home: Path) -> None:
        raise ExceptionGroup("runtime", [ExceptionGroup("tasks", [RuntimeFailure("no engine", "start it")])])

    monkeypatch.setattr(leftovers, "end_workloads", no_engine)
    with pytest.raises(PhotonError, match="no engine") as told:
        await leftovers.end_all(folder)
    assert told.value.remedy == "start it"
