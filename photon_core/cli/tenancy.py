"""What the verbs of tenants and of everybody who asks a node share: which node, which home, which key, which transport.

The node is the first of: `--node`, `--network DIR` (what `photon up --data DIR` wrote), PHOTON_NODE, PHOTON_NETWORK,
`node` under `[tenant]` in the config file, and http://127.0.0.1:4280. A network also says which home and which
passphrase file to use, unless others are named.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import click
from attrs import field, frozen

from photon_core.api.errors import ExitCode, PhotonError, UsageError
from photon_core.cli.frame import Session, passphrase_option, read_passphrase

if TYPE_CHECKING:
    from photon_core.api.ids import Address, Hash, OrderId
    from photon_core.api.transport import Transport
    from photon_core.chain.keys import SigningKey
    from photon_core.node.client import NodeClient
    from photon_core.tenant.client import Tenant
    from photon_core.tenant.links import ProviderLinks

NODE, NETWORK = "PHOTON_NODE", "PHOTON_NETWORK"
DEFAULT_NODE = "http://127.0.0.1:4280"
NETWORK_FILE = "network.json"
TENANT_HOME = "tenant"
KEYS_FOLDER = "keys"

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@frozen(kw_only=True)
class TenantSettings:
    """The table `[tenant]` of the config file."""

    node: str = ""
    key: str = ""


def node_options(command: F) -> F:
    """`--node` and `--network`, as arguments `node` and `network`."""
    path = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option("--network", type=path, metavar="DIR", help=f"The folder of a `photon up` ({NETWORK})."),
        click.option("--node", metavar="URL", help=f"The node to ask ({NODE}); default {DEFAULT_NODE}."),
    ):
        command = option(command)
    return command


def key_options(command: F) -> F:
    """`--key` and `--passphrase-file`, as arguments `key` and `passphrase_file`."""
    key = click.option("--key", metavar="NAME", help="The account's key; not needed when the home has one only.")
    return key(passphrase_option(command))


@frozen(kw_only=True)
class Place:
    """Where a command works: made by `find_place`."""

    session: Session
    node_url: str
    home: Path
    network: Mapping[str, object]
    """What `network.json` says; empty without a network."""
    settings: TenantSettings = field(factory=TenantSettings)

    # --- keys ------------------------------------------------------------------------------------------------------

    def key_name(self, given: str | None) -> str:
        """The account key to use, by name; UsageError when it cannot be told."""
        from photon_core.chain.keys import KeyPurpose
        from photon_core.chain.keystore import Keystore

        if given or self.settings.key:
            return given or self.settings.key
        infos = Keystore(self.home / KEYS_FOLDER).list()
        names = [info.name for info in infos if info.purpose is KeyPurpose.ACCOUNT]
        if len(names) == 1:
            return names[0]
        if not names:
            raise UsageError(
                code="no-key",
                where=str(self.home / KEYS_FOLDER),
                what="there is no account key here",
                remedy="make one: photon key create NAME; then let somebody pay it: photon tx transfer ADDRESS AMOUNT",
            )
        raise UsageError(
            code="which-key",
            where=str(self.home / KEYS_FOLDER),
            what="there are several account keys",
            found=", ".join(names),
            remedy="name one: --key NAME",
        )

    def address(self, given: str | None) -> Address:
        """Of the account key; needs no passphrase."""
        from photon_core.chain.keystore import Keystore

        return Keystore(self.home / KEYS_FOLDER).show(self.key_name(given)).address

    def unlock(self, given: str | None, passphrase_file: Path | None) -> SigningKey:
        """The account key, its passphrase read or asked for."""
        from photon_core.chain.keystore import Keystore

        name = self.key_name(given)
        keystore = Keystore(self.home / KEYS_FOLDER)
        info = keystore.show(name)
        if not info.purpose.has_account:
            raise UsageError(
                code="wrong-key",
                what=f"the key {name} is a {info.purpose} key and has no account",
                remedy="name an account key: photon key list",
            )
        return keystore.unlock(name, read_passphrase(self._passphrase_file(passphrase_file), of=f"key {name}"))

    def _passphrase_file(self, given: Path | None) -> Path | None:
        return given or network_passphrase_file(self.network, self.home)

    # --- connections -----------------------------------------------------------------------------------------------

    def client(self) -> NodeClient:
        from photon_core.node.client import NodeClient

        return NodeClient(self.node_url)

    def run(self, work: Callable[[NodeClient], Awaitable[T]]) -> T:
        """`work(node)` on trio."""
        import trio

        async def main() -> T:
            async with self.client() as node:
                return await work(node)

        return trio.run(main)

    def run_as_tenant(self, key: SigningKey, work: Callable[[Tenant], Awaitable[T]]) -> T:
        """`work(tenant)` on trio."""

        async def main(node: NodeClient) -> T:
            async with self.tenant(node, key) as tenant:
                return await work(tenant)

        return self.run(main)

    @asynccontextmanager
    async def tenant(self, node: NodeClient, key: SigningKey) -> AsyncIterator[Tenant]:
        from photon_core.tenant.client import open_tenant

        async with open_tenant(node, key, home=self.home, make_transport=self.make_transport) as tenant:
            yield tenant

    @asynccontextmanager
    async def links(self, node: NodeClient) -> AsyncIterator[ProviderLinks]:
        """To providers, as nobody in particular: for what they answer to everybody."""
        from functools import partial

        from photon_core.chain import keys
        from photon_core.chain.keys import KeyPurpose
        from photon_core.tenant.links import open_links

        chain_id, seed = (await node.status()).chain_id, keys.generate(KeyPurpose.NODE).seed
        async with open_links(partial(self.make_transport, seed, chain_id)) as links:
            yield links

    def make_transport(self, node_seed: bytes, chain_id: Hash) -> Transport:
        """The chosen transport; libp2p unless somebody says otherwise. Importing it may take seconds."""
        from photon_core.api.transport import TransportContext
        from photon_core.plugins.selection import DEFAULTS

        manager = self.session.plugin_manager(defaults=DEFAULTS)
        context = TransportContext(node_seed=node_seed, chain_id=chain_id, config=None)
        return manager.make("transport", manager.choice.one("transport").name, context)


def find_place(session: Session, node: str | None, network: Path | None) -> Place:
    """Where to work, out of options, environment and files; UsageError for a network that does not run."""
    body = use_network(session, network, must=network is not None or node is None)
    settings = _settings(session)
    of_network = body.get("node")
    url = node or (of_network if network else None) or os.environ.get(NODE) or of_network or settings.node
    url = _checked_url(str(url or DEFAULT_NODE))
    return Place(session=session, node_url=url, home=session.home, network=body, settings=settings)


def _checked_url(url: str) -> str:
    """UsageError for what no node can be asked at, before anything is tried."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        good = False
    if not good:
        raise UsageError(
            code="bad-node", what="this is no node's URL", found=repr(url)[:200], remedy="write http://HOST:PORT"
        )
    return url


def use_network(session: Session, network: Path | None, *, must: bool) -> dict[str, object]:
    """Its `network.json`, empty without one; its tenant's home becomes the session's, unless somebody named a home."""
    from_environment = os.environ.get(NETWORK)
    folder = network or (Path(from_environment) if from_environment else None)
    if folder is None:
        return {}
    body = _read_network(folder, must=must)
    if not session.home_named:
        named = _homes(body).get(TENANT_HOME)
        session.home = Path(named) if isinstance(named, str) else folder / TENANT_HOME
    return body


def network_passphrase_file(network: Mapping[str, object], home: Path) -> Path | None:
    """What opens the keys of the network's own homes; those of another home have their own passphrase."""
    named = network.get("passphrase_file")
    homes = [Path(each).resolve() for each in _homes(network).values() if isinstance(each, str)]
    return Path(named) if isinstance(named, str) and home.resolve() in homes else None


def _homes(network: Mapping[str, object]) -> Mapping[str, object]:
    homes = network.get("homes")
    return homes if isinstance(homes, dict) else {}


def _read_network(folder: Path, *, must: bool) -> dict[str, object]:
    path = folder / NETWORK_FILE
    try:
        body = json.loads(path.read_text("utf-8"))
        node = body["node"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if not must:
            return {}
        raise PhotonError(
            code="no-network",
            where=str(path),
            what="no network runs from this folder",
            found=str(error)[:200],
            remedy=f"start it: photon up --data {folder}",
            exit_code=ExitCode.UNREACHABLE,
        ) from None
    return {**body, "node": str(node)}


def _settings(session: Session) -> TenantSettings:
    table = session.config.get("tenant", {})
    if not table:
        return TenantSettings()
    from photon_core.plugins.config import read_table

    return read_table(TenantSettings, cast("Mapping[str, object]", table), "[tenant]")  # it says so if it is no table


# --- arguments -----------------------------------------------------------------------------------------------------


def address(text: str) -> Address:
    """The type of options and arguments: `photon1…`, as 20 bytes."""
    from photon_core.api.bech32m import decode_address

    try:
        return decode_address(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no address such as photon1…: {error}") from None


def order_id(text: str) -> OrderId:
    """The type of options and arguments: an order or a lease, `17/0/1`."""
    from photon_core.api.ids import OrderId

    try:
        return OrderId.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
