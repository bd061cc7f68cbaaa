"""Asking the node of a folder, and saying plainly when there is nobody to ask.

A node that runs has written `run.json`. Without one the address of `config.toml` is tried all the same: a process in
another container has a number that means nothing here. Then whoever answers must have this folder's node key, since a
port is anybody's who takes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.frame import Session
from photon_core.cli.node_home import CONSENSUS_KEY, NODE_KEY

if TYPE_CHECKING:
    from photon_core.node.client import NodeClient

T = TypeVar("T")
Question = Callable[["NodeClient"], Awaitable[T]]

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
"""Where this machine reaches what listens everywhere."""


def ask(session: Session, url: str | None, question: Question[T]) -> T:
    """The answer of the node at `url`, or else of this home's. PhotonError (exit code 5) says why there is none."""
    import trio

    from photon_core.node.client import NodeClient

    async def call() -> T:
        if url is None:
            return await _ask_own(session.home, question)
        async with NodeClient(url) as node:
            return await question(node)

    return trio.run(call)


async def _ask_own(home: Path, question: Question[T]) -> T:
    from photon_core.node import config
    from photon_core.node.client import NodeClient, NodeUnreachable

    settings = config.node_settings(config.read_config(home), home)
    running = config.read_run_info(home)
    target = running.api if running else _url(*config.parse_bind(settings.api))
    if not target:
        raise _not_running(home, target)
    try:
        async with NodeClient(target) as node:
            if running is None:
                await _require_own_answer(home, node)
            return await question(node)
    except NodeUnreachable as error:
        raise _not_running(home, target) if running is None else _silent(home, running.pid, error) from None


async def _require_own_answer(home: Path, node: NodeClient) -> None:
    """PhotonError when somebody else has taken the address of this folder's configuration."""
    from photon_core.chain.keystore import Keystore

    own, found = Keystore(home / "keys").show(NODE_KEY).public, (await node.status()).node_key
    if found != own:
        raise _not_running(home, node.url, f"the node {found.hex()} there, and this folder's is {own.hex()}")


def _url(host: str, port: int) -> str:
    """Empty when any free port will do: only `run.json` says which one it is."""
    if port == 0:
        return ""
    host = LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _role(home: Path) -> tuple[str, str]:
    """What this folder is of, and the command that runs it."""
    if (home / "keys" / f"{CONSENSUS_KEY}.json").exists():
        return "validator", f"photon validator start --home {home}"
    return "node", f"photon node start --home {home}"


def _not_running(home: Path, target: str, found: str = "") -> PhotonError:
    role, start = _role(home)
    return PhotonError(
        code="not-running",
        where=str(home),
        what=f"this {role} is not running",
        expected=f"an answer at {target}" if target else "",
        found=found,
        exit_code=ExitCode.UNREACHABLE,
        remedy=f"Start it with `{start}`, or ask another with --node URL.",
    )


def _silent(home: Path, pid: int, error: PhotonError) -> PhotonError:
    """Its process lives: stopped, overloaded, or the number is by now that of another program."""
    role, start = _role(home)
    return PhotonError(
        code="no-answer",
        where=str(home),
        what=f"this {role} runs (process {pid}) and does not answer: {error.what}",
        found=error.found,
        exit_code=ExitCode.UNREACHABLE,
        remedy=f"Look at it with `ps -p {pid}`. State T is a stopped process: `kill -CONT {pid}`. If it is another "
        f"program, this one was killed: `{start}`.",
    )
