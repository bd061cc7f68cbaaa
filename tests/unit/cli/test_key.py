"""`photon key`, from creation over the words to restoration."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from photon_core.api.errors import ExitCode
from photon_core.chain.keys import KeyPurpose
from photon_core.chain.keystore import Cost
from photon_core.cli import key, main


@pytest.fixture
def run(tmp_path, monkeypatch):
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_DEBUG", "PHOTON_NETWORK", "PHOTON_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")

    def call(*arguments, code=0, standard_input=None, passphrase_file=passphrase):
        environment = {"PHOTON_HOME": str(tmp_path / "home"), "PHOTON_PASSPHRASE_FILE": str(passphrase_file or "")}
        line = ["key", *arguments, "--output", "json"]
        result = CliRunner().invoke(main, line, input=standard_input, env=environment)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return call


def test_options_name_all_purposes_and_costs():
    assert tuple(KeyPurpose) == key.PURPOSES
    assert tuple(Cost) == key.COSTS


def test_a_key_is_restored_from_its_words(run):
    made = run("create", "alice", "--purpose", "operator", "--cost", "interactive")
    words = run("export", "alice")["words"]
    assert len(words.split()) == 24
    run("delete", "alice", "--yes")
    assert run("list") == {"keys": []}
    again = run(
        "import", "alice", "--purpose", "operator", "--cost", "interactive", "--words-file", "-", standard_input=words
    )
    assert again == made


def test_backup_and_restore_are_other_names(run):
    made = run("create", "alice", "--cost", "interactive")
    words = run("backup", "alice")["words"]
    run("delete", "alice", "--yes")
    assert run("restore", "alice", "--cost", "interactive", "--words-file", "-", standard_input=words) == made


def test_keys_are_shown_without_a_passphrase(run):
    made = run("create", "alice", "--cost", "interactive")
    assert run("show", "alice", passphrase_file=None) == made
    assert run("list", passphrase_file=None) == {"keys": [made]}
    assert made["address"].startswith("photon1")


def test_a_key_that_owns_nothing_has_no_address(run):
    assert run("create", "vote", "--purpose", "consensus", "--cost", "interactive")["address"] is None


def test_the_secret_is_never_in_the_file_or_the_listing(run, tmp_path):
    made = run("create", "alice", "--cost", "interactive")
    words = run("export", "alice")["words"]
    assert words not in json.dumps(run("show", "alice"))
    assert words not in Path(made["file"]).read_text()


def test_a_wrong_passphrase_is_told(run, tmp_path):
    run("create", "alice", "--cost", "interactive")
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    assert run("export", "alice", passphrase_file=wrong, code=1)["error"]["code"] == "wrong-passphrase"


def test_a_key_is_never_overwritten(run):
    made = run("create", "alice", "--cost", "interactive")
    run("create", "alice", "--cost", "interactive", code=ExitCode.USAGE)
    assert run("show", "alice") == made


def test_wrong_words_are_told_before_a_passphrase_is_asked_for(run):
    error = run("import", "alice", "--words-file", "-", standard_input="one two", passphrase_file=None, code=2)["error"]
    assert error["code"] == "bad-words"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "alice"), "passphrase"),
        (("import", "alice"), "words"),
        (("delete", "alice"), "no-such-key"),
        (("show", "alice"), "no-such-key"),
        (("export", "alice"), "no-such-key"),
    ],
)
def test_without_a_terminal_nothing_hangs(run, arguments, code):
    assert run(*arguments, passphrase_file=None, code=2)["error"]["code"] == code


def test_deleting_must_be_confirmed(run):
    made = run("create", "alice", "--cost", "interactive")
    assert run("delete", "alice", code=2)["error"]["code"] == "confirm"
    assert run("show", "alice") == made
