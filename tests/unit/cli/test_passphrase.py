"""Passphrases come from a file or a terminal."""

import pytest

from photon_core.api.errors import UsageError
from photon_core.cli.frame.passphrase import PASSPHRASE_BYTES_MAX, read_passphrase


def test_it_is_the_first_line_of_the_file(tmp_path):
    file = tmp_path / "p"
    file.write_text("pass phrase \nsecond\n")
    assert read_passphrase(file, of="key a") == "pass phrase "


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * (PASSPHRASE_BYTES_MAX + 1)])
def test_a_file_without_one_is_refused(tmp_path, content):
    file = tmp_path / "p"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="there is no passphrase in it"):
        read_passphrase(file, of="key a")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_passphrase(tmp_path / "none", of="key a")


def test_without_file_and_terminal_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match=r"key a is needed.*\n.*PHOTON_PASSPHRASE_FILE"):
        read_passphrase(None, of="key a")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_a_file_that_others_may_read_is_taken_with_a_warning(tmp_path, capsys, mode, warned):
    file = tmp_path / "p"
    file.write_text("pass phrase\n")
    file.chmod(mode)
    assert read_passphrase(file, of="key a") == "pass phrase"
    told = capsys.readouterr()
    assert told.out == ""
    assert (f"chmod 600 {file}" in told.err) is warned
