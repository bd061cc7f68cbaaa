"""`photon provider` and `photon register`: make a provider's folder, put it on chain, run its agent, see how it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import PhotonError, UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session, passphrase_option, read_passphrase

if TYPE_CHECKING:
    from photon_core.provider.config import ProviderSettings

PAYEE_KEY, OPERATOR_KEY, NODE_KEY = "payee", "operator", "node"
STALE_S = 15
"""A running agent rewrites its status when something changed; blocks change it every few seconds."""


@click.group("provider")
def provider_group() -> None:
    """Offer this machine: bid on orders, run what was won, be paid.

    Three keys: the payee owns the provider and is paid (it may be kept elsewhere), the operator is the agent's and pays
    collateral and fees, the node key is its identity to tenants.

    \b
    photon provider init --home ./provider --attribute region=eu-west
    photon register --home ./provider          the payee needs the bond, the operator needs collateral
    photon provider start --home ./provider --plugin runtime_process
    """


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(
                code="bad-option", where="--attribute", what=f"{text!r} is no attribute", expected="KEY=VALUE"
            )
        pairs[key] = value
    return pairs


@provider_group.command("init")
@click.option("--node", "node_url", metavar="URL", help="The node that the agent asks.")
@click.option("--payee", metavar="ADDRESS", help="The payee's address, when its key is kept elsewhere.")
@click.option(
    "--attribute", "attributes", multiple=True, metavar="KEY=VALUE", help="What orders may ask for (repeatable)."
)
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Where tenants connect (repeatable).")
@click.option("--advertise", multiple=True, metavar="ADDRESS", help="What they are told to dial, if it is another.")
@click.option("--offer-cpu", type=int, metavar="MILLI", help="Offer at most so many thousandths of a core.")
@click.option("--offer-memory", type=int, metavar="BYTES", help="Offer at most so much memory.")
@click.option("--offer-storage", type=int, metavar="BYTES", help="Offer at most so much storage.")
@click.option("--max-collateral", type=int, metavar="UPTN", help="The most to risk on one bid.")
@click.option("--ingress", metavar="HOST:PORT", help="Where HTTP for workloads comes in; port 0: any free.")
@click.option("--ingress-ports", metavar="FIRST-LAST", help="Ports for workloads' own TCP; any free without it.")
@click.option(
    "--key-cost",
    type=click.Choice(["interactive", "moderate"]),
    default="moderate",
    show_default=True,
    help="How hard the keys' passphrase is to guess, and how long each start takes.",
)
@passphrase_option
@pass_session
def init_command(
    session: Session, /, passphrase_file: Path | None, key_cost: str, payee: str | None, **options: Any
) -> None:
    """Make a provider's folder: its keys and its configuration. Nothing is sent."""
    from photon_core.api.bech32m import encode_address
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Cost, Keystore
    from photon_core.cli.network import require_new_home
    from photon_core.node.config import CONFIG_FILE, write_config

    require_new_home(session.home, CONFIG_FILE)
    settings = _settings(payee or encode_address(bytes(20)), **options)  # before anything is written
    passphrase = read_passphrase(passphrase_file, of="the provider's keys", confirm=True)
    session.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    keystore, cost = Keystore(session.home / "keys"), Cost(key_cost)
    if payee is None:
        payee = encode_address(keystore.create(PAYEE_KEY, KeyPurpose.PAYEE, passphrase, cost).address)
        settings = _settings(payee, **options)
    operator = keystore.create(OPERATOR_KEY, KeyPurpose.OPERATOR, passphrase, cost)
    node = keystore.create(NODE_KEY, KeyPurpose.NODE, passphrase, cost)
    write_config(session.home, "provider", settings, session.plugins)
    facts = {
        "home": str(session.home),
        "payee": payee,
        "operator": encode_address(operator.address),
        "node_key": node.public.hex(),
    }
    session.show(facts, Facts([(name.replace("_", " "), value) for name, value in facts.items()]))


def _settings(
    payee: str, *, node_url: str | None, ingress: str | None, ingress_ports: str | None, **options: Any
) -> ProviderSettings:
    """The table `[provider]` of what was given; the rest is the defaults."""
    from photon_core.plugins.config import read_table
    from photon_core.provider.config import ProviderSettings

    table: dict[str, object] = {
        "provider": payee,
        "node": node_url,
        "attributes": _pairs(options["attributes"]) or None,
        "listen": options["listen"] or None,
        "advertise": options["advertise"] or None,
        "offer_cpu_milli": options["offer_cpu"],
        "offer_memory_bytes": options["offer_memory"],
        "offer_storage_bytes": options["offer_storage"],
        "max_collateral_uptn": options["max_collateral"],
        "ingress_tcp_ports": ingress_ports,
    }
    if ingress is not None:
        host, colon, port = ingress.rpartition(":")
        if not colon or not port.isdigit():
            raise UsageError(
                code="bad-option", where="--ingress", what=f"{ingress!r} is no address", expected="HOST:PORT"
            )
        table |= {"ingress_address": host, "ingress_http_port": int(port)}
    given = {key: value for key, value in table.items() if value is not None}
    return read_table(ProviderSettings, given, "the options of photon provider init")


def _register(session: Session, node_url: str | None, passphrase_file: Path | None) -> None:
    import trio

    from photon_core.api.bech32m import encode_address
    from photon_core.chain.keys import address_of
    from photon_core.chain.keystore import Keystore
    from photon_core.exchange.messages import RegisterProvider
    from photon_core.node.account import AccountSender, Sent
    from photon_core.node.client import NodeClient
    from photon_core.provider.config import load_config

    settings = load_config(session.home).settings
    keystore = Keystore(session.home / "keys")
    operator, node_key = keystore.show(OPERATOR_KEY), keystore.show(NODE_KEY)
    payee = keystore.unlock(PAYEE_KEY, read_passphrase(passphrase_file, of=f"key {PAYEE_KEY}"))
    message = RegisterProvider(
        operator=address_of(operator.public),
        node_key=node_key.public,
        addresses=settings.advertise or tuple(a for a in settings.listen if not a.endswith("/0")),
        attributes=settings.sorted_attributes,
    )

    async def send() -> Sent:
        async with NodeClient(node_url or settings.node) as node:
            return await AccountSender(node, payee).send(message)

    sent = trio.run(send)
    facts = {
        "provider": encode_address(payee.address),
        "operator": encode_address(message.operator),
        "height": sent.height,
        "fee_uptn": sent.receipt.fee_uptn,
        "transaction": sent.id.hex(),
    }
    session.show(facts, Facts([(name.replace("_", " "), value) for name, value in facts.items()]))


_node_option = click.option("--node", "node_url", metavar="URL", help="Another node than the configured one.")


@provider_group.command("register")
@_node_option
@passphrase_option
@pass_session
def register_in_group(session: Session, node_url: str | None, passphrase_file: Path | None) -> None:
    """Put the provider of this folder on chain. The payee's account pays the bond; only needed once."""
    _register(session, node_url, passphrase_file)


@click.command("register")
@_node_option
@passphrase_option
@pass_session
def register_command(session: Session, node_url: str | None, passphrase_file: Path | None) -> None:
    """Put the provider of this folder on chain: the same as photon provider register."""
    _register(session, node_url, passphrase_file)


@provider_group.command("start")
@click.option("--stop-workloads", is_flag=True, help="Leave nothing running when the agent stops.")
@passphrase_option
@pass_session
def start_command(session: Session, stop_workloads: bool, passphrase_file: Path | None) -> None:
    """Run the agent in the foreground until Ctrl-C.

    Workloads go on while the agent is away, and the next start adopts them; but a lease that is not confirmed goes
    stale, and its collateral to the tenant. There is no default runtime: choose one, such as --plugin runtime_process.
    """
    from functools import partial

    from photon_core.chain.keystore import Keystore
    from photon_core.cli.network import run_until_stopped
    from photon_core.node.config import CONFIG_FILE, read_config
    from photon_core.plugins.selection import DEFAULTS
    from photon_core.provider.agent import ProviderKeys, RunningAgent, run_agent
    from photon_core.provider.config import ProviderConfig, provider_settings

    home = session.home
    document = read_config(home)
    config = ProviderConfig(home=home, settings=provider_settings(document, home))
    plugins = session.plugin_manager(defaults=DEFAULTS, config=document, where=str(home / CONFIG_FILE))
    for kind in ("runtime", "pricing", "transport"):
        plugins.choice.one(kind)  # before a passphrase is asked for
    plugins.load("runtime", "pricing", "transport")
    passphrase = read_passphrase(passphrase_file, of="the provider's keys")
    keystore = Keystore(home / "keys")
    keys = ProviderKeys(operator=keystore.unlock(OPERATOR_KEY, passphrase), node=keystore.unlock(NODE_KEY, passphrase))

    def ready(running: RunningAgent) -> None:
        session.stream(
            {
                "addresses": list(running.addresses),
                "node_key": keys.node.public.hex(),
                "ingress_http_port": running.http_port,
            },
            f"takes tenants at {', '.join(running.addresses)}; HTTP for workloads at port {running.http_port}",
        )

    run_until_stopped(partial(_serve, partial(run_agent, config, keys, plugins, stop_workloads=stop_workloads)), ready)


async def _serve(run: Any, task_status: Any) -> None:
    from photon_core.api.runtime import RuntimeFailure

    try:
        await run(task_status=task_status)
    except* RuntimeFailure as failures:
        failure = failures.exceptions[0]
        while isinstance(failure, ExceptionGroup):
            failure = failure.exceptions[0]
        assert isinstance(failure, RuntimeFailure)
        raise PhotonError(code="runtime", what=failure.what, remedy=failure.remedy) from None


@provider_group.command("status")
@pass_session
def status_command(session: Session) -> None:
    """Show what the agent of this folder last saw: capacity, leases, bids, and why it did not bid."""
    from photon_core.node.config import read_run_info
    from photon_core.provider.config import load_config
    from photon_core.provider.status import read_status

    config = load_config(session.home)
    running, body = read_run_info(config.home), read_status(config.folder)
    if body is None:
        raise PhotonError(
            code="never-started",
            where=str(config.home),
            what="no agent has run from this folder yet",
            remedy="photon provider start",
            exit_code=3,
        )
    body = {"running": running is not None, "pid": running.pid if running else None, **body}
    session.show(body, lambda: _human(body))


def _human(body: dict[str, Any]) -> list[Any]:
    age_s = max(0, int(time.time()) - int(body.get("written_ms", 0)) // 1000)
    state = f"running, pid {body['pid']}" if body["running"] else f"not running; this is how it was {age_s} s ago"
    facts = [("agent", state), ("provider", body["provider"]), ("operator", body["operator"]), ("node", body["node"])]
    facts += [("problem", body[key]) for key in ("problem", "last_refusal") if body.get(key)]
    facts += [("height", body.get("height", "")), ("balance", f"{body.get('balance_uptn', 0)} uptn")]
    amounts = [
        (name.replace("_", " "), body[name]) for name in ("capacity", "leased", "bid_for", "free") if name in body
    ]
    leases = [
        (lease["lease"], lease["state"], lease["status"], lease["reason"], lease["earned_uptn"], _endpoints(lease))
        for lease in body.get("leases", ())
    ]
    return [
        Facts(facts),
        Table(("", "cpu (milli)", "memory (bytes)", "storage (bytes)"), [(n, *a.values()) for n, a in amounts], ""),
        Table(("lease", "state", "status", "reason", "earned (uptn)", "reached at"), leases, "no leases"),
        Table(
            ("open bid on", "price", "collateral (uptn)"),
            [tuple(b.values()) for b in body.get("bids", ())],
            "no open bids",
        ),
        Table(
            ("no bid on", "why", "reason"),
            [tuple(n.values()) for n in body.get("no_bids", ())],
            "no order was passed over",
        ),
    ]


def _endpoints(lease: dict[str, Any]) -> str:
    return ", ".join(
        f"{e['address']}:{e['external_port']}" + (f" ({e['hostnames'][0]})" if e["hostnames"] else "")
        for e in lease["endpoints"]
    )
