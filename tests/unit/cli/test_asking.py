"""Who is asked for a folder's status, and what is said when nobody answers."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from photon_core.api.fields import to_json
from photon_core.chain.keys import KeyPurpose
from photon_core.chain.keystore import Cost, Keystore
from photon_core.cli import main
from photon_core.node.config import NodeSettings, RunInfo, write_config, write_run_info
from photon_core.node.views import NodeStatus

Ask = Callable[..., dict[str, Any]]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def node_that_answers(node_key: bytes) -> Iterator[str]:
    """Its status and nothing else, at the `host:port` that it gives."""
    zero = bytes(32)
    status = NodeStatus(
        version="0", chain_id=zero, chain_name="test", height=7, block_hash=zero, block_time_ms=1, market_ms=1,
        state_root=zero, best_height=7, node_key=node_key, addresses=(), peers=0, validator=False,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = self.path != "/v1/status"
            body = json.dumps({} if missing else to_json(status)).encode()
            self.send_response(404 if missing else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Not into the test's output."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_DEBUG", "PHOTON_HOME"):
        monkeypatch.delenv(name, raising=False)

    def run(verb: str, *, code: int = 5) -> dict[str, Any]:
        result = CliRunner().invoke(main, [verb, "status", "--home", str(tmp_path), "--output", "json"])
        assert result.exit_code == code, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document["error"] if code else document

    return run


def make_folder(home: Path, api: str) -> bytes:
    """A full node's; its node key."""
    write_config(home, "node", NodeSettings(api=api))
    return Keystore(home / "keys").create("node", KeyPurpose.NODE, "x", Cost.INTERACTIVE).public


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_one_that_does_not_run_is_said_to_with_its_own_address(tmp_path: Path, ask: Ask, host: str) -> None:
    port = free_port()
    make_folder(tmp_path, f"{host}:{port}")
    error = ask("node")
    assert (error["code"], error["where"]) == ("not-running", str(tmp_path))
    assert error["what"] == "this node is not running"
    assert f"http://127.0.0.1:{port}" in error["expected"]
    assert f"photon node start --home {tmp_path}" in error["remedy"]


def test_a_validators_folder_is_started_as_one(tmp_path: Path, ask: Ask) -> None:
    make_folder(tmp_path, "127.0.0.1:0")
    Keystore(tmp_path / "keys").create("consensus", KeyPurpose.CONSENSUS, "x", Cost.INTERACTIVE)
    error = ask("validator")
    assert error["what"] == "this validator is not running"
    assert f"photon validator start --home {tmp_path}" in error["remedy"]


def test_another_node_at_its_address_is_not_taken_for_it(tmp_path: Path, ask: Ask) -> None:
    with node_that_answers(b"\x05" * 32) as api:
        own = make_folder(tmp_path, api)
        error = ask("node")
    assert error["code"] == "not-running"
    assert "05" * 32 in error["found"]
    assert own.hex() in error["found"]


def test_without_run_file_it_is_known_by_its_key(tmp_path: Path, ask: Ask) -> None:
    own = make_folder(tmp_path, "127.0.0.1:0")
    with node_that_answers(own) as api:
        write_config(tmp_path, "node", NodeSettings(api=api))
        assert ask("node", code=0)["height"] == 7


def test_where_it_runs_is_in_its_run_file(tmp_path: Path, ask: Ask) -> None:
    own = make_folder(tmp_path, f"127.0.0.1:{free_port()}")
    with node_that_answers(own) as api:
        write_run_info(tmp_path, RunInfo(pid=os.getpid(), api=f"http://{api}"))
        assert ask("node", code=0)["height"] == 7


def test_a_process_that_lives_and_is_silent_is_named(tmp_path: Path, ask: Ask) -> None:
    make_folder(tmp_path, "127.0.0.1:0")
    write_run_info(tmp_path, RunInfo(pid=os.getpid(), api=f"http://127.0.0.1:{free_port()}"))
    error = ask("node")
    assert error["code"] == "no-answer"
    assert f"runs (process {os.getpid()}) and does not answer" in error["what"]


def test_a_folder_that_was_never_made_is_no_nodes(ask: Ask) -> None:
    assert ask("node", code=2)["code"] == "no-config"
