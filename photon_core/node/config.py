"""A node's folder and its `config.toml`: read at start, written by `init`, checked as a whole.

HOME/config.toml     [node] and the plugins' own tables
HOME/genesis.toml    what the chain begins with; its hash is the chain id
HOME/keys/           encrypted: node (transport identity), and consensus on a validator
HOME/chain/          block log, state, lock
HOME/signer/         what a validator has signed; never copy it
HOME/run.json        where the running node answers; gone when it stops
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from attrs import asdict, frozen

from photon_core.api.errors import UsageError
from photon_core.api.ids import NodeKey
from photon_core.chain.files import write_atomically
from photon_core.plugins.config import read_table

CONFIG_FILE, GENESIS_FILE, RUN_FILE = "config.toml", "genesis.toml", "run.json"
DEFAULT_API = "127.0.0.1:4280"
DEFAULT_LISTEN = "/ip4/127.0.0.1/tcp/4290"
PORT_MAX = 65_535


@frozen(kw_only=True)
class NodeSettings:
    """The table `[node]`. `api` is host:port, port 0 any free one; `peers` are `<node key in hex>@<address>`."""

    api: str = DEFAULT_API
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    peers: tuple[str, ...] = ()


@frozen(kw_only=True)
class RunInfo:
    """`HOME/run.json`: how to reach a process that runs from this folder."""

    pid: int
    api: str = ""
    node_key: str = ""
    addresses: tuple[str, ...] = ()


def read_config(home: Path) -> dict[str, Any]:
    """The whole `config.toml`; UsageError when it is missing or no TOML."""
    path = home / CONFIG_FILE
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            code="no-config",
            where=str(path),
            what="there is no configuration here",
            remedy="make one with `init`, or name the right folder with --home",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            code="config", where=str(path), what=f"this is not TOML: {error}", remedy="mend the file"
        ) from None


def node_settings(config: Mapping[str, Any], home: Path) -> NodeSettings:
    return read_table(NodeSettings, config.get("node", {}), f"{home / CONFIG_FILE} [node]")


def write_config(home: Path, table: str, settings: Any, plugins: tuple[str, ...] = ()) -> None:
    """A new `config.toml` with one table; None values are left out, as TOML has none."""
    body: dict[str, Any] = {"plugins": list(plugins)} if plugins else {}
    body[table] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items() if v is not None}
    write_atomically(home / CONFIG_FILE, tomli_w.dumps(body).encode(), mode=0o644)


def write_peers(home: Path, peers: tuple[str, ...]) -> None:
    """Other peers in the table `[node]`; the rest of `config.toml` stays, but for comments and layout."""
    body = read_config(home)
    body.setdefault("node", {})["peers"] = list(peers)
    write_atomically(home / CONFIG_FILE, tomli_w.dumps(body).encode(), mode=0o644)


def parse_peer(text: str) -> tuple[NodeKey, str]:
    """`<64 hex digits>@<address>`."""
    key, at, address = text.partition("@")
    try:
        raw = bytes.fromhex(key)
    except ValueError:
        raw = b""
    if len(raw) != 32 or not at or not address:
        raise UsageError(
            code="bad-peer",
            what=f"{text!r} names no peer",
            expected="<node key in hex>@<address>",
            remedy="`photon node status` of the peer prints the line to use",
        )
    return raw, address


def parse_bind(text: str) -> tuple[str, int]:
    """`host:port`, an IPv6 host in brackets; port 0 is any free one."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise UsageError(
            code="bad-bind",
            what=f"{text!r} is no place to listen at",
            expected="HOST:PORT, such as 127.0.0.1:4280 or [::1]:0",
            remedy="Mend `api` in the folder's config.toml.",
        )
    return host, int(port)


def write_run_info(home: Path, info: RunInfo) -> None:
    write_atomically(home / RUN_FILE, json.dumps(asdict(info)).encode(), mode=0o644)


def read_run_info(home: Path) -> RunInfo | None:
    """None when nothing runs from this folder (or it was killed and left the file behind)."""
    try:
        body = json.loads((home / RUN_FILE).read_text())
        info = RunInfo(
            pid=int(body["pid"]), api=body["api"], node_key=body["node_key"], addresses=tuple(body["addresses"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.kill(info.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return info


def clear_run_info(home: Path) -> None:
    (home / RUN_FILE).unlink(missing_ok=True)
