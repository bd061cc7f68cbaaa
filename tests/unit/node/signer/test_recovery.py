"""The operator's decision: a new store that knows what the old one could still say, and is silent up to a height."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photon_core.api.consensus import IN_FLIGHT_MAX
from photon_core.api.errors import PhotonError
from photon_core.node.engine_log import EngineLog
from photon_core.node.signer import Abstaining, Signer, SlotTaken, make_signer_store
from photon_core.node.signer.recovery import recover_store, renew_engine_log
from photon_core.node.steps import PersistRecords


@pytest.fixture
def key(committee: Any) -> Any:
    return committee.keys[0]


def started(home: Path, key: Any, chain_id: bytes) -> Signer:
    signer = Signer.open(key, home / "signer", chain_id)
    signer.open_gate()
    return signer


def test_what_the_old_store_knew_is_kept(committee: Any, tmp_path: Path, key: Any) -> None:
    make_signer_store(tmp_path / "signer", key)
    signer = started(tmp_path, key, committee.chain_id)
    signer.sign((5, 3, 0), b"view change", round_floor=3)
    signer.sign((9, 3, 1), b"vote")
    signer.close()
    recovered = recover_store(tmp_path, key.public, abstains_until=7)
    assert (recovered.slots_kept, recovered.abstains_until) == (2, 7)
    assert recovered.replaced == tmp_path / "signer.replaced-1"
    signer = started(tmp_path, key, committee.chain_id)
    with pytest.raises(SlotTaken):
        signer.sign((9, 3, 1), b"another")
    with pytest.raises(SlotTaken, match="below 3 are closed"):
        signer.sign((9, 2, 1), b"vote")
    with pytest.raises(Abstaining):
        signer.sign((7, 3, 1), b"vote")
    signer.sign((8, 3, 1), b"vote")
    signer.close()


@pytest.mark.parametrize("old", ["missing", "damaged", "no identity", "another's", "half recovered"])
def test_what_cannot_be_read_is_set_aside_and_not_deleted(committee: Any, tmp_path: Path, key: Any, old: str) -> None:
    folder = tmp_path / "signer"
    if old != "missing":
        make_signer_store(folder, committee.keys[1] if old == "another's" else key)
    match old:
        case "damaged":
            (folder / "wal.log").write_bytes(b"\xff" * 100)
        case "no identity":
            (folder / "identity.json").unlink()
        case "half recovered":
            folder.rename(tmp_path / "signer.new")
    recovered = recover_store(tmp_path, key.public, abstains_until=7)
    assert recovered.slots_kept == 0
    assert (recovered.replaced is not None) == (old not in {"missing", "half recovered"})
    signer = started(tmp_path, key, committee.chain_id)
    assert signer.abstains_until == 7
    signer.close()


def test_a_second_one_leaves_the_first_ones_leavings(tmp_path: Path, key: Any) -> None:
    for _ in range(3):
        recover_store(tmp_path, key.public, abstains_until=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signer", "signer.replaced-1", "signer.replaced-2"]


def test_a_store_in_use_is_left_alone(committee: Any, tmp_path: Path, key: Any) -> None:
    make_signer_store(tmp_path / "signer", key)
    signer = started(tmp_path, key, committee.chain_id)
    with pytest.raises(PhotonError) as caught:
        recover_store(tmp_path, key.public, abstains_until=7)
    assert caught.value.code == "folder-in-use"
    signer.close()


def test_the_start_up_rule_does_not_take_the_decision_back(committee: Any, tmp_path: Path, key: Any) -> None:
    """The chain stands still at 20 because too many stores are in doubt: somebody must vote for 21."""
    recover_store(tmp_path, key.public, abstains_until=20)
    signer = Signer.open(key, tmp_path / "signer", committee.chain_id)
    rule = committee.rule(signer)
    votes = [committee.vote((21, 2, 1)), committee.vote((20 + 2 * IN_FLIGHT_MAX, 1, 1))]
    for n, vote in enumerate(votes, 1):
        rule.answered(committee.key(n), committee.answer(committee.certificate(20), messages=[committee.message(vote)]))
    decision = rule.decision
    assert decision.abstains_until == 0
    signer.learn(decision.unknown, abstains_until=decision.abstains_until, round_floor=decision.round_floor)
    signer.open_gate()
    with pytest.raises(SlotTaken, match="signed before"):
        signer.sign((21, 2, 1), b"against what others have shown")
    with pytest.raises(SlotTaken, match="below 2 are closed"):
        signer.sign((21, 1, 1), b"in a round that it may have left")
    signer.sign((21, 3, 1), b"vote")
    signer.close()


def test_far_beyond_the_decision_an_unknown_signature_is_news(committee: Any, tmp_path: Path, key: Any) -> None:
    recover_store(tmp_path, key.public, abstains_until=20)
    signer = Signer.open(key, tmp_path / "signer", committee.chain_id)
    rule = committee.rule(signer)
    message = committee.message(committee.vote((21 + 2 * IN_FLIGHT_MAX, 1, 1)))
    for n in (1, 2):
        rule.answered(committee.key(n), committee.answer(committee.certificate(60), messages=[message]))
    assert rule.decision.abstains_until == 68
    signer.close()


def test_the_silence_tells_a_recovered_store_from_one_found_old(committee: Any, tmp_path: Path, key: Any) -> None:
    recover_store(tmp_path, key.public, abstains_until=20)
    signer = Signer.open(key, tmp_path / "signer", committee.chain_id)
    assert signer.silence.startswith("silent up to height 20: this signer's store was made anew")
    signer.learn({}, abstains_until=100)
    assert signer.silence.startswith("silent up to height 100: the other validators hold signatures")
    signer.raise_mark(100)
    assert signer.silence == ""
    signer.close()


def engine_of(home: Path) -> Path:
    folder = home / "chain/engine"
    log = EngineLog(folder)
    for height, record in ((1, b"a" * 50), (2, b"b")):
        log.persist([PersistRecords(token=height, height=height, records=(record,), blocks=())])
    log.close()
    return folder


def test_an_engine_s_log_that_no_start_can_read_is_set_aside(committee: Any, tmp_path: Path) -> None:
    folder = engine_of(tmp_path)
    raw = bytearray((folder / "wal.log").read_bytes())
    raw[70] ^= 0xFF
    (folder / "wal.log").write_bytes(raw)
    aside = renew_engine_log(tmp_path, committee.chain_id)
    assert aside == tmp_path / "chain/engine.replaced-1"
    assert (aside / "wal.log").read_bytes() == raw
    log = EngineLog(folder)
    assert log.read(committee.chain_id) == ((), ())
    log.close()


def test_a_whole_log_of_the_engine_stays(committee: Any, tmp_path: Path) -> None:
    """Without it the engine would forget what it has promised for the heights right after `--above`."""
    folder = engine_of(tmp_path)
    assert renew_engine_log(tmp_path, committee.chain_id) is None
    log = EngineLog(folder)
    assert log.read(committee.chain_id)[0] == (b"a" * 50, b"b")
    log.close()


def test_a_lost_log_of_a_validator_that_signed_is_begun_anew(committee: Any, tmp_path: Path, key: Any) -> None:
    """Else its next start would be refused again: an empty log beside a store in use is a lost one."""
    make_signer_store(tmp_path / "signer", key)
    started(tmp_path, key, committee.chain_id).close()
    recover_store(tmp_path, key.public, abstains_until=7)
    assert renew_engine_log(tmp_path, committee.chain_id) is None
    log = EngineLog(tmp_path / "chain/engine")
    assert log.is_begun
    assert log.read(committee.chain_id) == ((), ())
    log.close()


def test_before_the_first_start_no_engine_s_log_is_made(committee: Any, tmp_path: Path) -> None:
    assert renew_engine_log(tmp_path, committee.chain_id) is None
    assert not (tmp_path / "chain").exists()
