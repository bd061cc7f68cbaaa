"""`photon provider start` when something is not as it should be: it says what, and what helps, and can be stopped."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PHOTON, ROOT, Network, Process

from photon_core.provider.state import State, save

STOP_S = 10.0


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def init(tmp_path: Path, passphrase: Path) -> Callable[[str], Path]:
    """`init(node)`: a provider's new home that asks that node."""

    def make(node: str) -> Path:
        home = tmp_path / "home"
        subprocess.run(
            [
                PHOTON, "provider", "init", "--home", home, "--node", node, "--listen", "/ip4/127.0.0.1/tcp/0",
                "--key-cost", "interactive", "--passphrase-file", passphrase,
                "--plugin", "runtime_process", "--plugin", "pricing_fixed",
            ],
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip
        return home

    return make


def start(home: Path, passphrase: Path) -> Process:
    return Process("provider", "start", "--home", str(home), "--passphrase-file", str(passphrase))


def refusal(home: Path, passphrase: Path) -> tuple[int, dict[str, str]]:
    """Its exit code and the error that it ends with."""
    process = start(home, passphrase)
    try:
        code = process.wait()
        return code, json.loads(process.output[process.output.index("{") :])["error"]
    finally:
        process.close()


@pytest.fixture
def dead_node() -> Iterator[str]:
    """Nobody answers there, for as long as the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def test_node_that_is_down_is_waited_for_aloud_and_the_wait_can_be_ended(
    init: Callable[[str], Path], passphrase: Path, dead_node: str
) -> None:
    process = subprocess.Popen(
        [PHOTON, "provider", "start", "--home", init(dead_node), "--passphrase-file", passphrase],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "waiting for the node" in line
        assert dead_node in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0


def test_provider_that_is_not_on_chain_is_told_how_to_get_there(
    network: Network, init: Callable[[str], Path], passphrase: Path
) -> None:
    code, error = refusal(init(network.document["node"]), passphrase)
    assert (code, error["code"]) == (3, "not-registered")
    assert "photon provider register" in error["remedy"]


def test_home_of_another_chain_is_refused_with_both(
    network: Network, init: Callable[[str], Path], passphrase: Path
) -> None:
    home = init(network.document["node"])
    (home / "provider").mkdir()
    save(home / "provider/state.json", State(chain_id=bytes(32)))
    _, error = refusal(home, passphrase)
    assert error["code"] == "wrong-chain"
    assert error["found"] == bytes(32).hex()
    assert error["expected"] == network.document["chain_id"]
