"""`photon query`: what a node knows, one record at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.ages import age
from photon_core.cli.amounts import per_hour, ptn
from photon_core.cli.frame import Facts, Human, Session, Table, pass_session
from photon_core.cli.steps import word
from photon_core.cli.tenancy import address, find_place, node_options, order_id

if TYPE_CHECKING:
    from photon_core.api.ids import Address, OrderId
    from photon_core.node.client import NodeClient
    from photon_core.node.views import BlockDetail, LeaseDetail, NodeStatus, OrderDetail, Submitted


@click.group("query")
def query_group() -> None:
    """Ask a node for one record, as the chain has it.

    Tables show what people look for; --output json shows everything.

    \b
    photon query status
    photon query account photon1…
    photon query lease 17/0/0 --output json
    """


def _ask(
    session: Session, node: str | None, network: Path | None, ask: Callable[[NodeClient], Awaitable[Any]], what: str
) -> Any:
    """The answer; PhotonError (exit code 3) when there is none."""
    found = find_place(session, node, network).run(ask)
    if found is None:
        raise PhotonError(code="not-found", what=f"there is no {what}", exit_code=ExitCode.NOT_FOUND)
    return found


def _show(session: Session, record: Any, human: Callable[[], Human]) -> None:
    from photon_core.api.fields import to_json

    session.show(to_json(record), human)


def _all_facts(record: Any) -> Facts:
    """Every field of a flat record, as its JSON has it."""
    from photon_core.api.fields import to_json

    return Facts([(name.replace("_", " "), value) for name, value in to_json(record).items()])


@query_group.command("status")
@node_options
@pass_session
def status_command(session: Session, node: str | None, network: Path | None) -> None:
    """Show the node and its chain: height, time, peers, and whether it is well."""
    status = _ask(session, node, network, lambda client: client.status(), "status")
    _show(session, status, lambda: _status_facts(status))


def _status_facts(status: NodeStatus) -> Facts:
    """Every field; the time with its age, and in words whether the node takes blocks."""
    facts = dict(_all_facts(status).pairs)
    facts["block time ms"] = f"{status.block_time_ms} ({age(status.block_time_ms)})"
    facts.pop("consensus")
    if status.consensus is not None:
        facts["signer"], facts["engine"] = status.consensus.signer, status.consensus.state
    halted = facts.pop("halted", "")
    return Facts([*facts.items(), ("well", f"no, it has halted: {halted}" if halted else "yes")])


@query_group.command("account")
@click.argument("account", type=address, metavar="ADDRESS")
@node_options
@pass_session
def account_command(session: Session, account: Address, node: str | None, network: Path | None) -> None:
    """Show an account's balance and how many transactions it has sent. One that nobody has paid is empty."""
    found = _ask(session, node, network, lambda client: client.account(account), "account")
    facts = [("balance", f"{ptn(found.balance_uptn)} ({found.balance_uptn} uptn)"), ("sequence", found.sequence)]
    _show(session, found, lambda: Facts(facts))


@query_group.command("block")
@click.argument("height", default="latest", metavar="[HEIGHT]")
@node_options
@pass_session
def block_command(session: Session, height: str, node: str | None, network: Path | None) -> None:
    """Show a block with its certificate: the newest, or that of HEIGHT."""
    if height != "latest" and not (height.isascii() and height.isdigit()):
        raise click.BadParameter(f"{height!r} is no height; write a number, or latest")
    found: BlockDetail = _ask(session, node, network, lambda client: _block(client, height), f"block {height}")
    facts = [
        ("height", found.header.height),
        ("hash", found.block_hash.hex()),
        ("time (Unix ms)", f"{found.header.time_ms} ({age(found.header.time_ms)})"),
        ("transactions", len(found.transaction_ids)),
        ("certificate", f"{len(found.certificate.signatures)} signatures" if found.certificate else "none yet"),
    ]
    table = Table(("transaction",), [(each.hex(),) for each in found.transaction_ids], "no transaction")
    _show(session, found, lambda: [Facts(facts), table])


async def _block(client: NodeClient, height: str) -> BlockDetail:
    """PhotonError (exit code 3) names the newest, which is what somebody who guessed wants to know."""
    if (found := await client.block(height)) is not None:
        return found
    raise PhotonError(
        code="not-found",
        what=f"there is no block {height}",
        found=f"the newest is {(await client.status()).height}",
        exit_code=ExitCode.NOT_FOUND,
    )


@query_group.command("deployment")
@click.argument("deployment", type=int, metavar="ID")
@node_options
@pass_session
def deployment_command(session: Session, deployment: int, node: str | None, network: Path | None) -> None:
    """Show a deployment, anybody's, with its groups, their newest orders, bids and leases."""
    from photon_core.cli.status import status_text
    from photon_core.tenant.lookup import deployment_status

    status = _ask(
        session, node, network, lambda client: deployment_status(client, deployment, None), f"deployment {deployment}"
    )
    _show(session, status.detail, lambda: status_text(status))


@query_group.command("order")
@click.argument("order", type=order_id, metavar="ID")
@node_options
@pass_session
def order_command(session: Session, order: OrderId, node: str | None, network: Path | None) -> None:
    """Show an order, such as 17/0/0, with its bids."""
    found: OrderDetail = _ask(session, node, network, lambda client: client.order(order), f"order {order}")
    _show(session, found, lambda: _order_text(found))


@query_group.command("lease")
@click.argument("lease", type=order_id, metavar="ID")
@node_options
@pass_session
def lease_command(session: Session, lease: OrderId, node: str | None, network: Path | None) -> None:
    """Show a lease, such as 17/0/0: its provider, price, status, and what it has earned."""
    found: LeaseDetail = _ask(session, node, network, lambda client: client.lease(lease), f"lease {lease}")
    _show(session, found, lambda: _lease_text(found))


@query_group.command("provider")
@click.argument("provider", type=address, metavar="[ADDRESS]", required=False)
@node_options
@pass_session
def provider_command(session: Session, provider: Address | None, node: str | None, network: Path | None) -> None:
    """Show a provider; without ADDRESS, list them all."""
    from photon_core.api.bech32m import encode_address
    from photon_core.api.fields import to_json

    if provider is not None:
        found = _ask(session, node, network, lambda client: client.provider(provider), "such provider")
        _show(session, found, lambda: _all_facts(found))
        return
    everybody = _ask(session, node, network, lambda client: client.providers(), "provider")
    rows = [
        (encode_address(each.id), ", ".join(f"{k}={v}" for k, v in each.attributes), ", ".join(each.addresses))
        for each in everybody
    ]
    table = Table(("provider", "attributes", "addresses"), rows, "no provider is registered")
    session.show({"providers": [to_json(each) for each in everybody]}, table)


@query_group.command("tx")
@click.argument("transaction", metavar="ID")
@node_options
@pass_session
def tx_command(session: Session, transaction: str, node: str | None, network: Path | None) -> None:
    """Show what became of a transaction, by its id in hex."""
    try:
        raw = bytes.fromhex(transaction)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise click.BadParameter(f"{transaction!r} is no transaction's id: they have 64 hex digits")
    found: Submitted = _ask(session, node, network, lambda client: client.transaction(raw), "such transaction")
    receipt = found.receipt
    facts: list[tuple[str, object]] = [
        ("transaction", found.id.hex()),
        ("status", found.status),
        ("block", found.height),
        ("refused", found.reason),
    ]
    if receipt is not None:
        facts += [
            ("outcome", word(receipt.outcome)),
            ("fee", ptn(receipt.fee_uptn)),
            ("reason", receipt.reason),
            ("events", [type(event).__name__ for event in receipt.events]),
        ]
    _show(session, found, lambda: Facts(facts))


@query_group.command("parameters")
@node_options
@pass_session
def parameters_command(session: Session, node: str | None, network: Path | None) -> None:
    """Show the parameters of the exchange: periods, time-outs, fees."""
    found = _ask(session, node, network, lambda client: client.parameters(), "parameters")
    _show(session, found, lambda: _all_facts(found))


def _order_text(found: OrderDetail) -> Human:
    from photon_core.api.bech32m import encode_address

    order = found.order
    facts = [
        ("order", order.id),
        ("state", word(order.state)),
        ("phase", order.phase),
        ("at most", per_hour(order.max_price)),
        ("collateral", ptn(order.collateral_uptn)),
        ("winner", encode_address(order.winner) if order.winner else ""),
        ("reason", order.reason),
    ]
    rows = [
        (encode_address(bid.provider), per_hour(bid.price), word(bid.status), ptn(bid.collateral_uptn), bid.reason)
        for bid in found.bids
    ]
    return [Facts(facts), Table(("bid of", "price", "status", "collateral", "reason"), rows, "no bid")]


def _lease_text(found: LeaseDetail) -> Human:
    from photon_core.api.bech32m import encode_address

    lease = found.lease
    return Facts(
        [
            ("lease", lease.id),
            ("provider", encode_address(lease.provider)),
            ("state", word(lease.state)),
            ("status", f"{word(lease.status)}{': ' + lease.status_reason if lease.status_reason else ''}"),
            ("ended", "" if lease.closed_ms is None else word(lease.close_reason)),
            ("price", per_hour(lease.price)),
            ("earned", ptn(found.earned_uptn)),
            ("paid", ptn(lease.paid_uptn)),
            ("collateral", ptn(lease.collateral_uptn)),
            ("forfeited", ptn(lease.collateral_forfeited_uptn)),
        ]
    )
