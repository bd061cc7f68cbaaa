"""`photon validator recover`: nothing happens before the operator has said which key, and from where on."""

import json
import re

import pytest
from click.testing import CliRunner

from photon_core.chain.block_log import BlockLog
from photon_core.chain.wal import WriteAheadLog
from photon_core.cli import main
from photon_core.cli.recover import recover_command


@pytest.fixture
def photon(tmp_path, monkeypatch):
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_DEBUG", "PHOTON_NETWORK", "PHOTON_NODE"):
        monkeypatch.delenv(name, raising=False)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")

    def call(*arguments, code=0):
        environment = {"PHOTON_HOME": str(tmp_path / "home"), "PHOTON_PASSPHRASE_FILE": str(passphrase)}
        result = CliRunner().invoke(main, [*map(str, arguments), "--output", "json"], env=environment)
        assert result.exit_code == code, result.output
        document = json.loads(result.stdout)
        return document["error"] if code else document

    return call


@pytest.fixture
def key(photon):
    return photon("validator", "init", "--key-cost", "interactive")["consensus_key"]


def test_a_stopped_validator_gets_a_new_store(photon, key, tmp_path):
    facts = photon("validator", "recover", "--above", 41, "--i-know-the-risk", key[:8])
    assert facts == {
        "consensus_key": key,
        "signs_above": 41,
        "slots_kept": 0,
        "old_store": str(tmp_path / "home/signer.replaced-1"),
        "old_engine": "",
    }
    assert json.loads((tmp_path / "home/signer/identity.json").read_text())["consensus_key"] == key


@pytest.mark.parametrize("typed", ["", "0", "zzzzzzzz", "another key"])
def test_another_key_or_too_little_of_it_changes_nothing(photon, key, tmp_path, typed):
    error = photon("validator", "recover", "--above", 41, "--i-know-the-risk", typed or key[:7], code=2)
    assert error["code"] == "not-confirmed"
    assert not (tmp_path / "home/signer.replaced-1").exists()


def test_without_a_terminal_nobody_is_asked(photon, key):
    assert photon("validator", "recover", "--above", 41, code=2)["code"] == "not-confirmed"


@pytest.mark.parametrize("options", [(), ("--above", 1, "--node", "http://127.0.0.1:1")])
def test_it_must_be_said_from_which_height_on(photon, key, options):
    error = photon("validator", "recover", *options, "--i-know-the-risk", key, code=2)
    assert error["where"] == "--node, --above"


def test_a_folder_without_a_validator_is_none(photon):
    assert photon("validator", "recover", "--above", 1, "--i-know-the-risk", "00000000", code=2)["code"] == "no-config"


def test_not_below_what_the_folder_s_own_chain_has_certified(photon, key, tmp_path):
    with BlockLog(tmp_path / "home/chain/blocks") as log:
        for height in (290, 291, 292):
            log.append(height, b"block", b"certificate" if height < 292 else None)
    error = photon("validator", "recover", "--above", 290, "--i-know-the-risk", key, code=2)
    assert (error["code"], error["where"]) == ("height-too-low", "--above")
    assert "291" in error["expected"]
    assert "290" in error["found"]
    assert error["remedy"]
    assert not (tmp_path / "home/signer.replaced-1").exists()
    assert photon("validator", "recover", "--above", 291, "--i-know-the-risk", key)["signs_above"] == 291


def test_a_damaged_log_of_the_engine_is_set_aside_too(photon, key, tmp_path):
    engine = tmp_path / "home/chain/engine"
    log = WriteAheadLog(engine)
    log.append([b"no engine's entry"], height=1)
    log.close()
    facts = photon("validator", "recover", "--above", 41, "--i-know-the-risk", key)
    assert facts["old_engine"] == f"{engine}.replaced-1"
    assert not engine.exists()


def test_the_help_names_a_heading_that_is_there(pytestconfig):
    (heading,) = re.findall(r'"(.+?)" in docs/operations.md', recover_command.help)
    assert f"\n## {heading}\n" in (pytestconfig.rootpath / "docs/operations.md").read_text()
