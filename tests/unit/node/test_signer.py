"""The signer never signs two things for one slot, whatever it is asked and however often it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from photon_core.api.chain import FinalityStatement
from photon_core.api.errors import PhotonError
from photon_core.api.finality import statement_message
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed, verify_message
from photon_core.chain.wal import WriteAheadLog
from photon_core.node.signer import FORGET_EVERY_HEIGHTS, Signer, SlotTaken
from photon_core.testing.node import VALIDATOR


def statement(height: int, root: int = 1) -> FinalityStatement:
    return FinalityStatement(
        chain_id=b"\x05" * 32, height=height, block_hash=b"\x01" * 32, state_root=bytes([root]) * 32,
        receipts_root=b"\x03" * 32, next_validators_hash=b"\x04" * 32,
    )  # fmt: skip


def reopened(signer: Signer, folder: Path) -> Signer:
    signer.close()
    return Signer(VALIDATOR, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "signer"


def test_signs_once_and_the_same_again(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    first = signer.sign_statement(statement(1))
    assert verify_message(VALIDATOR.public, statement_message(statement(1)), first.signature)
    assert signer.sign_statement(statement(1)) == first
    with pytest.raises(SlotTaken, match="signed before"):
        signer.sign_statement(statement(1, root=2))
    signer.close()


def test_remembers_across_restarts(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    first = signer.sign_statement(statement(1))
    signer = reopened(signer, folder)
    assert signer.sign_statement(statement(1)) == first
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(1, root=2))
    signer.close()


def test_killed_between_disk_and_answer_it_knows_what_it_may_have_signed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(_key: SigningKey, _message: bytes) -> bytes:
        raise KilledError

    signer = Signer(VALIDATOR, folder)
    with monkeypatch.context() as patch:
        patch.setattr(SigningKey, "sign_message", killed)
        with pytest.raises(KilledError):
            signer.sign_statement(statement(1))
    signer = reopened(signer, folder)
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(1, root=2))
    assert signer.sign_statement(statement(1)).validator == VALIDATOR.public
    signer.close()


def test_nothing_is_signed_when_the_disk_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise PhotonError(code="disk-full", what="no space")

    signer = Signer(VALIDATOR, folder)
    with monkeypatch.context() as patch:
        patch.setattr(WriteAheadLog, "append", full)
        with pytest.raises(PhotonError, match="no space"):
            signer.sign_statement(statement(1))
    signer.sign_statement(statement(1, root=2))  # the first was never signed: the slot is free
    signer.close()


def test_engines_and_finality_never_share_a_slot(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    signer.sign_statement(statement(1))
    one = signer.sign((1, 0, 0), b"prepare")
    assert signer.sign((1, 0, 0), b"prepare") == one
    signer.sign((1, 0, 1), b"commit")
    with pytest.raises(SlotTaken):
        signer.sign((1, 0, 0), b"another")
    signer.close()


def test_below_the_mark_nothing_is_signed_also_after_a_restart(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    signer.sign_statement(statement(1))
    signer.raise_mark(5)
    for height in (1, 5):
        with pytest.raises(SlotTaken, match="above height 5"):
            signer.sign_statement(statement(height))
    signer.sign_statement(statement(6))
    signer.raise_mark(3)
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(5))
    signer = reopened(signer, folder)
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(1, root=2))
    signer.close()


def test_memory_does_not_grow_with_the_chain(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    for height in range(1, 2 * FORGET_EVERY_HEIGHTS + 2):
        signer.sign_statement(statement(height))
        signer.raise_mark(height)
    signer = reopened(signer, folder)
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(FORGET_EVERY_HEIGHTS, root=2))
    with pytest.raises(SlotTaken):
        signer.sign_statement(statement(2 * FORGET_EVERY_HEIGHTS + 1, root=2))
    signer.close()


@pytest.mark.parametrize("purpose", [purpose for purpose in KeyPurpose if purpose is not KeyPurpose.CONSENSUS])
def test_only_a_consensus_key_signs(folder: Path, purpose: KeyPurpose) -> None:
    with pytest.raises(PhotonError, match="consensus key only") as caught:
        Signer(from_seed(b"\x01" * 32, purpose), folder)
    assert caught.value.code == "wrong-key-purpose"


def test_one_process_per_folder(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    with pytest.raises(PhotonError) as caught:
        Signer(VALIDATOR, folder)
    assert caught.value.code == "folder-in-use"
    signer.close()


def test_a_memory_that_is_none_is_refused_with_what_to_do(folder: Path) -> None:
    log = WriteAheadLog(folder)
    log.append([b"no slot"], height=1)
    log.close()
    with pytest.raises(PhotonError, match="photon validator init") as caught:
        Signer(VALIDATOR, folder)
    assert caught.value.code == "corrupt-folder"
    WriteAheadLog(folder).close()  # and the folder is let go


def test_a_statement_of_another_chain_is_another_thing(folder: Path) -> None:
    signer = Signer(VALIDATOR, folder)
    signer.sign_statement(statement(1))
    with pytest.raises(SlotTaken):
        signer.sign_statement(evolve(statement(1), chain_id=b"\x06" * 32))
    signer.close()
