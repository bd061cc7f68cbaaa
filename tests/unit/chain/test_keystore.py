"""The keystore: what opens a key, what does not, and what each refusal says."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import nacl.exceptions
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from photon_core.api.errors import PhotonError
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.chain.keystore import Cost, Keystore, seed_of, words_of


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    store = Keystore(tmp_path / "keys")
    store.create("alice", KeyPurpose.ACCOUNT, "correct horse", Cost.INTERACTIVE)
    return store


def path_of(store: Keystore, name: str = "alice") -> Path:
    return store.folder / f"{name}.json"


def test_the_right_passphrase_opens_the_same_key(store: Keystore) -> None:
    made = store.create("bob", KeyPurpose.PAYEE, "pässwörd", Cost.INTERACTIVE)
    opened = Keystore(store.folder).unlock("bob", "pässwörd")
    assert opened == made
    assert opened.purpose is KeyPurpose.PAYEE


def test_moderate_cost_is_kept_in_the_file(store: Keystore) -> None:
    made = store.create("bob", KeyPurpose.ACCOUNT, "x")
    assert store.show("bob").cost is Cost.MODERATE
    assert store.unlock("bob", "x") == made


def test_a_wrong_passphrase_is_refused(store: Keystore) -> None:
    for wrong in ("", "correct horsE", "correct horse "):
        with pytest.raises(PhotonError) as caught:
            store.unlock("alice", wrong)
        assert caught.value.code == "wrong-passphrase"
        assert wrong == "" or wrong not in str(caught.value)


def test_too_little_memory_is_not_taken_for_a_wrong_passphrase(
    store: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_arguments: object) -> bytes:
        raise nacl.exceptions.RuntimeError("Unexpected failure in key derivation")

    monkeypatch.setattr(argon2id, "kdf", exhausted)
    with pytest.raises(PhotonError) as caught:
        store.unlock("alice", "correct horse")
    assert (caught.value.code, caught.value.expected) == ("no-memory", "64 MiB of free memory, for a moment")


def test_name_purpose_and_address_need_no_passphrase(store: Keystore) -> None:
    store.create("bob", KeyPurpose.NODE, "x", Cost.INTERACTIVE)
    alice, bob = store.list()
    assert (alice.name, alice.purpose, bob.name, bob.purpose) == ("alice", KeyPurpose.ACCOUNT, "bob", KeyPurpose.NODE)
    key = store.unlock("alice", "correct horse")
    assert (alice.public, alice.address) == (key.public, key.address)
    assert store.show("alice") == alice


def test_the_file_is_for_its_owner_only_and_holds_no_secret(store: Keystore) -> None:
    path = path_of(store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    seed = store.unlock("alice", "correct horse").seed
    assert seed.hex() not in path.read_text()
    assert [p.name for p in store.folder.iterdir()] == ["alice.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_touch_is_refused(store: Keystore, mode: int) -> None:
    path_of(store).chmod(mode)
    with pytest.raises(PhotonError, match=f"found {mode:o}") as caught:
        store.unlock("alice", "correct horse")
    assert caught.value.remedy == f"chmod 600 {path_of(store)}"


def test_a_key_is_never_overwritten(store: Keystore) -> None:
    before = path_of(store).read_bytes()
    with pytest.raises(PhotonError, match="already"):
        store.create("alice", KeyPurpose.ACCOUNT, "x", Cost.INTERACTIVE)
    assert path_of(store).read_bytes() == before


def test_a_missing_key_is_refused_with_those_there_are(store: Keystore) -> None:
    for ask in (lambda: store.unlock("bob", "x"), lambda: store.show("bob"), lambda: store.delete("bob")):
        with pytest.raises(PhotonError, match=r"no key named bob.*found alice"):
            ask()
    with pytest.raises(PhotonError, match="no keys"):
        Keystore(store.folder / "none").show("bob")


def test_a_deleted_key_is_gone(store: Keystore) -> None:
    store.delete("alice")
    assert store.list() == ()


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "Alice", "a" * 64, "a\n"])
def test_a_name_cannot_leave_the_folder(store: Keystore, name: str) -> None:
    for ask in (lambda: store.show(name), lambda: store.create(name, KeyPurpose.ACCOUNT, "x", Cost.INTERACTIVE)):
        with pytest.raises(PhotonError, match="no name for a key"):
            ask()


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "consensus"},
        {"public_key": "00" * 32},
        {"address": "photon1qqq"},
        {"name": "bob"},
        {"kdf": "none"},
        {"cost": "free"},
        {"photon_key": 2},
        {"salt": "zz"},
        {"salt": ""},
        {"secret": ""},
        {"secret": None},
    ],
    ids=str,
)
def test_a_changed_file_does_not_open(store: Keystore, change: dict[str, object]) -> None:
    body = json.loads(path_of(store).read_text())
    path_of(store).write_text(json.dumps(body | change))
    with pytest.raises(PhotonError) as caught:
        store.unlock("alice", "correct horse")
    assert caught.value.code in {"bad-key-file", "wrong-passphrase"}
    assert "photon key import" in caught.value.remedy


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_garbage_is_refused_as_a_key(store: Keystore, garbage: bytes) -> None:
    path_of(store).write_bytes(garbage)
    with pytest.raises(PhotonError, match="no key file"):
        store.list()


def test_words_bring_the_key_back(store: Keystore) -> None:
    key = store.unlock("alice", "correct horse")
    words = words_of(key)
    assert len(words.split()) == 24
    restored = store.create("again", KeyPurpose.ACCOUNT, "other", Cost.INTERACTIVE, words="  " + words.upper())
    assert restored == key


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda words: words[:23], "expected 24 words; found 23"),
        (lambda words: ["zzzz", *words[1:]], "word 1"),
        (lambda words: [*words[:5], "fotom", *words[6:]], "word 6"),
        (lambda words: [words[-1], *words[1:-1], words[0]], "checksum"),
    ],
)
def test_wrong_words_are_refused_by_place_and_never_repeated(edit: object, complaint: str) -> None:
    words = words_of(keys.from_seed(bytes(range(32)), KeyPurpose.ACCOUNT)).split()
    with pytest.raises(PhotonError, match=complaint) as caught:
        seed_of(" ".join(edit(words)))  # type: ignore[operator]
    assert not any(f" {word} " in str(caught.value) for word in ("fotom", words[3], words[7]))


def test_bip_39_vector() -> None:
    """The first 256-bit vector of the BIP: the words hold the seed itself."""
    assert seed_of("abandon " * 23 + "art") == bytes(32)
