"""A node's folder: what is wrong in it is named with its place and a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photon_core.api.errors import PhotonError, UsageError
from photon_core.node import config


def test_what_init_writes_start_reads(tmp_path: Path) -> None:
    settings = config.NodeSettings(api="[::1]:0", listen=("a", "b"), peers=("ab" * 32 + "@/ip4/127.0.0.1/tcp/1",))
    config.write_config(tmp_path, "node", settings)
    assert config.node_settings(config.read_config(tmp_path), tmp_path) == settings


@pytest.mark.parametrize(
    ("text", "word"),
    [(None, "init"), ("[node", "TOML"), ('[node]\napi = 5', "api"), ('[node]\nnonsense = "x"', "nonsense"),
     ('[node]\nlisten = "x"', "listen"), ("node = 3", "node")],
)  # fmt: skip
def test_a_config_that_is_missing_or_wrong_says_so(tmp_path: Path, text: str | None, word: str) -> None:
    if text is not None:
        (tmp_path / "config.toml").write_text(text)
    with pytest.raises(PhotonError, match=word) as caught:
        config.node_settings(config.read_config(tmp_path), tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["127.0.0.1:80", "localhost:0", "[::1]:65535"])
def test_places_to_listen_at(text: str) -> None:
    host, port = config.parse_bind(text)
    assert f"{host}:{port}" == text.replace("[", "").replace("]", "")


@pytest.mark.parametrize("text", ["", "4280", "127.0.0.1", "127.0.0.1:", ":80", "::1:80", "h:65536", "h:-1", "h:x"])
def test_what_is_no_place_to_listen_at(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        config.parse_bind(text)


@pytest.mark.parametrize("text", ["", "@x", "ab@x", "zz" * 32 + "@x", "ab" * 32, "ab" * 32 + "@"])
def test_what_names_no_peer(text: str) -> None:
    with pytest.raises(UsageError, match="names no peer"):
        config.parse_peer(text)


def test_run_info_is_that_of_a_living_process_only(tmp_path: Path) -> None:
    info = config.RunInfo(pid=os.getpid(), api="http://x", node_key="ab", addresses=("a",))
    assert config.read_run_info(tmp_path) is None
    config.write_run_info(tmp_path, info)
    assert config.read_run_info(tmp_path) == info
    config.write_run_info(tmp_path, config.RunInfo(pid=2**22 + 1, api="http://x"))
    assert config.read_run_info(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    assert config.read_run_info(tmp_path) is None
