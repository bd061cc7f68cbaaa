"""A signer's folder that is missing, another's or damaged: a refusal to start that says why, and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from photon_core.api.errors import PhotonError
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.chain.wal import WriteAheadLog
from photon_core.node.signer import Signer, SlotTaken, make_signer_store
from photon_core.testing.node import VALIDATOR

CHAIN, OTHER_CHAIN = b"\x05" * 32, b"\x06" * 32
OTHER_KEY = from_seed(b"\x12" * 32, KeyPurpose.CONSENSUS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "signer"


def started_once(folder: Path) -> Path:
    make_signer_store(folder, VALIDATOR)
    signer = Signer.open(VALIDATOR, folder, CHAIN)
    signer.open_gate()
    signer.sign((1, 0, 0), b"vote")
    signer.close()
    return folder


def refusal(folder: Path, key: Any = VALIDATOR, chain_id: bytes = CHAIN) -> PhotonError:
    """Of the start. The folder is left alone: tried again, it is refused again, by the same words."""
    texts = []
    for _ in range(2):
        with pytest.raises(PhotonError) as caught:
            Signer.open(key, folder, chain_id)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert "photon validator" in caught.value.remedy, "it says what to do"
    return caught.value


def test_made_with_its_key_it_opens_and_remembers(folder: Path) -> None:
    started_once(folder)
    signer = Signer.open(VALIDATOR, folder, CHAIN)
    signer.open_gate()
    with pytest.raises(SlotTaken):
        signer.sign((1, 0, 0), b"another")
    signer.close()


def test_it_says_whose_it_is_and_of_which_chain_from_the_first_start_on(folder: Path) -> None:
    make_signer_store(folder, VALIDATOR)
    identity = folder / "identity.json"
    assert json.loads(identity.read_text()) == {
        "format": 1,
        "consensus_key": VALIDATOR.public.hex(),
        "chain_id": "",
    }
    Signer.open(VALIDATOR, folder, CHAIN).close()
    assert json.loads(identity.read_text())["chain_id"] == CHAIN.hex()


def test_a_key_without_a_store_does_not_start(folder: Path) -> None:
    assert refusal(folder).code == "signer-store-missing"
    assert not folder.exists()


def test_a_folder_that_init_did_not_finish_is_no_store_and_can_be_finished(folder: Path) -> None:
    WriteAheadLog(folder).close()
    assert refusal(folder).code == "signer-store-missing"
    make_signer_store(folder, VALIDATOR)
    Signer.open(VALIDATOR, folder, CHAIN).close()


def test_a_store_is_never_made_over_another(folder: Path) -> None:
    started_once(folder)
    with pytest.raises(PhotonError) as caught:
        make_signer_store(folder, VALIDATOR)
    assert caught.value.code == "exists"


def test_another_keys_store_is_refused(folder: Path) -> None:
    started_once(folder)
    error = refusal(folder, key=OTHER_KEY)
    assert error.code == "signer-store-of-another-key"
    assert OTHER_KEY.public.hex() in error.expected
    assert VALIDATOR.public.hex() in error.found


def test_another_keys_log_below_the_right_name_is_refused(folder: Path) -> None:
    started_once(folder)
    make_signer_store(folder.with_name("other"), OTHER_KEY)
    shutil.copy(folder.with_name("other") / "wal.log", folder / "wal.log")
    assert refusal(folder).code == "signer-store-damaged"


def test_another_chains_store_is_refused(folder: Path) -> None:
    started_once(folder)
    error = refusal(folder, chain_id=OTHER_CHAIN)
    assert error.code == "signer-store-of-another-chain"
    assert CHAIN.hex() in error.found


@pytest.mark.parametrize(
    "identity",
    ["", "{", "[]", '{"format": 2}', '{"format": 1, "consensus_key": "00", "chain_id": ""}', '{"format": 1}'],
)
def test_a_damaged_identity_is_refused(folder: Path, identity: str) -> None:
    started_once(folder)
    (folder / "identity.json").write_text(identity)
    assert refusal(folder).code == "signer-store-damaged"


def test_a_field_that_is_missing_is_named(folder: Path) -> None:
    started_once(folder)
    (folder / "identity.json").write_text("{}")
    assert "no field 'format'" in refusal(folder).what


def test_a_store_whose_log_was_lost_is_refused(folder: Path) -> None:
    """It would else begin anew, and sign again whatever it was asked."""
    started_once(folder)
    (folder / "wal.log").unlink()
    assert refusal(folder).code == "signer-store-damaged"


def test_damage_before_the_last_frame_is_refused(folder: Path) -> None:
    started_once(folder)
    log = folder / "wal.log"
    raw = bytearray(log.read_bytes())
    raw[60] ^= 0xFF  # in the first frame: the second one is whole
    log.write_bytes(raw)
    assert refusal(folder).code == "signer-store-damaged"


def test_a_log_of_something_else_is_refused(folder: Path) -> None:
    started_once(folder)
    log = WriteAheadLog(folder)
    log.append([b"no slot"], height=1)
    log.close()
    assert refusal(folder).code == "signer-store-damaged"


def test_what_is_wrong_with_the_disk_is_not_called_damage(folder: Path) -> None:
    started_once(folder)
    signer = Signer.open(VALIDATOR, folder, CHAIN)
    with pytest.raises(PhotonError) as caught:
        Signer.open(VALIDATOR, folder, CHAIN)
    assert caught.value.code == "folder-in-use"
    signer.close()


@pytest.mark.parametrize("purpose", [purpose for purpose in KeyPurpose if purpose is not KeyPurpose.CONSENSUS])
def test_only_a_consensus_key_has_a_store(folder: Path, purpose: KeyPurpose) -> None:
    key = from_seed(b"\x01" * 32, purpose)
    for attempt in (lambda: make_signer_store(folder, key), lambda: Signer.open(key, folder, CHAIN)):
        with pytest.raises(PhotonError, match="consensus key only") as caught:
            attempt()
        assert caught.value.code == "wrong-key-purpose"
