"""A network from its folder to its last process: opened ready to use, closed without a trace."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from photon_core.api.errors import PhotonError, UsageError
from photon_core.chain.files import FolderLock, write_atomically
from photon_core.chain.genesis import chain_id
from photon_core.cli.up import leftovers, settings
from photon_core.cli.up.blueprint import Blueprint, open_blueprint
from photon_core.cli.up.children import Child
from photon_core.cli.up.layout import TENANT_KEY, Member, NetworkFolder, Role
from photon_core.cli.up.members import Members, RunningMember
from photon_core.exchange.messages import RegisterProvider
from photon_core.node.account import AccountSender
from photon_core.node.client import NodeClient
from photon_core.plugins.selection import Choice
from photon_core.provider.config import load_config

Tell = Callable[[str], None]


@frozen(kw_only=True)
class Network:
    """A network that is ready."""

    blueprint: Blueprint
    node_url: str
    members: Members

    @property
    def folder(self) -> NetworkFolder:
        return self.blueprint.folder

    def document(self) -> dict[str, Any]:
        """`network.json`."""
        return {
            "chain": self.blueprint.genesis.name,
            "chain_id": chain_id(self.blueprint.genesis).hex(),
            "pid": os.getpid(),
            "node": self.node_url,
            "genesis": str(self.folder.genesis),
            "homes": {"tenant": str(self.folder.tenant)}
            | {name: str(self.folder.home(running.member)) for name, running in self.members.running.items()},
            "key": TENANT_KEY,
            "passphrase_file": str(self.folder.passphrase),
            "members": {
                name: {
                    "role": running.member.role.value,
                    "pid": running.child.pid,
                    "log": str(running.log),
                    "command": ["photon", *self.folder.command(running.member, self.node_url)],
                    **running.says,
                }
                for name, running in self.members.running.items()
            },
        }


@asynccontextmanager
async def open_network(
    path: Path | None,
    validators: int,
    children: Sequence[Child],
    choice: Choice,
    parameters: Sequence[str],
    tell: Tell,
) -> AsyncIterator[Network]:
    """A running network in `path`, which is absolute, or in a temporary folder that is removed at the end.

    Raises PhotonError when it does not come up, and ends what did; later when a member dies while `members.fatal`.
    """
    for line in await leftovers.remove_abandoned():
        tell(line)
    folder = NetworkFolder(leftovers.temporary_folder() if path is None else path)
    _require_own(folder)
    lock = FolderLock(folder.path)
    try:
        async with _running(folder, validators, children, choice, parameters, tell) as network:
            yield network
    finally:
        if path is None:
            shutil.rmtree(folder.path, ignore_errors=True)
        lock.release()


def _require_own(folder: NetworkFolder) -> None:
    """Nobody's files are mistaken for a half-made network and made anew."""
    if folder.path.exists() and any(folder.path.iterdir()) and not (folder.path / "lock").exists():
        raise UsageError(
            code="not-a-network",
            where=str(folder.path),
            what="this folder holds something else",
            remedy="Name a new folder, or one that `photon up --data` made.",
        )


@asynccontextmanager
async def _running(
    folder: NetworkFolder,
    validators: int,
    children: Sequence[Child],
    choice: Choice,
    parameters: Sequence[str],
    tell: Tell,
) -> AsyncIterator[Network]:
    if folder.genesis.exists():
        await leftovers.end_all(folder)
    blueprint = await open_blueprint(folder, validators, choice, parameters)
    folder.logs.mkdir(exist_ok=True)
    ports = settings.reserve_ports(folder.ports, blueprint.members)
    settings.write_configs(folder, blueprint.members, ports, choice.names, blueprint.node_keys, blueprint.providers)
    url = settings.node_url(ports, blueprint.members)

    def on_death(running: RunningMember) -> None:
        if not members.fatal:
            command = " ".join(("photon", *folder.command(running.member, url)))
            text = f"{running.died()}\nThe others go on. Start it again in another terminal:\n  {command}"
            for line in text.split("\n"):  # what is told is one line: a newline in it would be shown as an escape
                tell(line)

    with ports.reservation:
        async with trio.open_nursery() as nursery:
            members = Members(nursery, on_death)
            network = Network(blueprint=blueprint, node_url=url, members=members)
            try:
                await _start(network, {child.name: child for child in children})
                write_atomically(folder.network_file, json.dumps(network.document(), indent=2).encode())
                yield network
            finally:
                with trio.CancelScope(shield=True):
                    folder.network_file.unlink(missing_ok=True)
                    await _stop(network)


async def _start(network: Network, children: dict[str, Child]) -> None:
    """Validators, node and keeper at once; the agents as soon as the chain knows them."""
    folder, members = network.folder, network.members

    def start(member: Member) -> RunningMember:
        arguments = folder.command(member, network.node_url)
        return members.start(member, children[member.name], arguments, folder.log(member))

    everybody = network.blueprint.members
    others = [start(member) for member in everybody if member.role is not Role.PROVIDER]
    for running in others:
        if running.member.role is not Role.KEEPER:
            await members.wait_ready(running)
    providers = [member for member in everybody if member.role is Role.PROVIDER]
    async with NodeClient(network.node_url) as node, trio.open_nursery() as nursery:
        for member in providers:
            nursery.start_soon(_register, network, node, member)
    for running in [*others, *map(start, providers)]:
        await members.wait_ready(running)


async def _register(network: Network, node: NodeClient, member: Member) -> None:
    """Once; what changes later, such as its addresses, the agent itself puts on chain."""
    keys = network.blueprint.keys
    if await node.provider(keys[member.name, "payee"].address) is not None:
        return
    settings = load_config(network.folder.home(member)).settings
    payee = await network.blueprint.unlock(member, "payee")
    await AccountSender(node, payee).send(
        RegisterProvider(
            operator=keys[member.name, "operator"].address,
            node_key=keys[member.name, "node"].public,
            addresses=settings.listen,
            attributes=settings.sorted_attributes,
        )
    )


async def _stop(network: Network) -> None:
    """Providers while the chain runs, then the chain; then what was started by hand, or left by a killed agent."""
    by_role = {role: [m.name for m in network.blueprint.members if m.role is role] for role in Role}
    await network.members.stop([*by_role[Role.KEEPER], *by_role[Role.PROVIDER]])
    await network.members.stop([*by_role[Role.NODE], *by_role[Role.VALIDATOR]])
    try:
        await leftovers.end_all(network.folder)
    except PhotonError as error:
        raise PhotonError(code="not-swept", what=f"workloads may be left: {error.what}", remedy=error.remedy) from error
