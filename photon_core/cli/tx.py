"""`photon tx`: transactions by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from photon_core.api.errors import CodecError, UsageError
from photon_core.cli.amounts import amount, ptn
from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.tenancy import Place, address, find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.api.ids import Address, Hash
    from photon_core.chain.keys import SigningKey
    from photon_core.exchange.messages import Message
    from photon_core.node.account import Sent
    from photon_core.node.client import NodeClient

FILE_CHARS_MAX = 4 * 2**20
"""64 messages of 64 KiB, which no transaction holds."""

TIMEOUT_S = 60.0
TIMEOUT_MAX_S = 120.0
"""No node is asked to wait longer: `WAIT_S_MAX` of its HTTP API."""
QUIET_S = 2.0
"""A block that takes longer than most, or one that does not come: from here on somebody wants to know."""

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, TIMEOUT_MAX_S),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="Wait so long for its block; then exit code 6, and it may still come.",
)


@click.group("tx")
def tx_group() -> None:
    """Send transactions: a transfer, or any messages of the exchange.

    \b
    photon tx transfer photon1… 2.5
    photon tx send messages.json
    """


@tx_group.command("transfer")
@click.argument("to", type=address, metavar="ADDRESS")
@click.argument("uptn", type=amount, metavar="AMOUNT")
@timeout_option
@key_options
@node_options
@pass_session
def transfer_command(
    session: Session,
    to: Address,
    uptn: int,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    timeout: float,
) -> None:
    """Pay AMOUNT to ADDRESS; returns when it is final.

    \b
    Examples:
      photon tx transfer photon1… 2.5          PTN
      photon tx transfer photon1… 1500uptn
    """
    from photon_core.exchange.messages import Transfer

    place = find_place(session, node, network)
    _send(place, (Transfer(to=to, amount_uptn=uptn),), key, passphrase_file, timeout)


@tx_group.command("send")
@click.argument("file", type=click.File("r"), default="-")
@timeout_option
@key_options
@node_options
@pass_session
def send_command(
    session: Session,
    file: TextIO,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    timeout: float,
) -> None:
    """Send one message or a list of up to 64, as JSON from FILE or standard input: all of them happen, or none.

    A message is an object whose "kind" names it; the other keys are its fields. Amounts are in uptn.

    \b
    Examples:
      echo '{"kind": "Deposit", "deployment": 17, "amount_uptn": 5000000}' | photon tx send
      photon tx send payments.json --key treasury
    """
    messages = _read_messages(file)
    place = find_place(session, node, network)
    _send(place, messages, key, passphrase_file, timeout)


def _read_messages(file: TextIO) -> tuple[Message, ...]:
    from photon_core.exchange.messages import MESSAGE, MESSAGES_PER_TRANSACTION_MAX

    name = getattr(file, "name", "standard input")
    text = file.read(FILE_CHARS_MAX + 1)
    try:
        body: Any = json.loads(text) if len(text) <= FILE_CHARS_MAX else None
    except ValueError as error:
        raise UsageError(code="bad-json", where=name, what=f"this is no JSON: {error}") from None
    items = body if isinstance(body, list) else [body]
    if not 1 <= len(items) <= MESSAGES_PER_TRANSACTION_MAX:
        raise UsageError(
            code="bad-message",
            where=name,
            what="these are not the messages of one transaction",
            expected=f"1 to {MESSAGES_PER_TRANSACTION_MAX}",
            found=str(len(items)),
        )
    try:
        return tuple(MESSAGE.from_json(item, f"message {index}") for index, item in enumerate(items))
    except CodecError as error:
        raise UsageError(
            code="bad-message",
            where=f"{name}: {error.where}",
            what="this is not a message of the exchange",
            expected=error.expected,
            found=error.found,
        ) from None


def _send(
    place: Place, messages: tuple[Message, ...], key: str | None, passphrase_file: Path | None, timeout_s: float
) -> None:
    from photon_core.api.fields import to_json

    unlocked = place.unlock(key, passphrase_file)
    sent = place.run(lambda node: _send_and_tell(place.session, node, unlocked, messages, timeout_s))
    facts = Facts(
        [
            ("transaction", sent.id.hex()),
            ("block", sent.height),
            ("fee", ptn(sent.receipt.fee_uptn)),
            ("events", [type(event).__name__ for event in sent.receipt.events]),
        ]
    )
    place.session.show({"transaction": sent.id.hex(), "height": sent.height, "receipt": to_json(sent.receipt)}, facts)


async def _send_and_tell(
    session: Session, node: NodeClient, key: SigningKey, messages: tuple[Message, ...], timeout_s: float
) -> Sent:
    """Says that it waits, and for what, when it takes more than a moment."""
    import trio

    from photon_core.node.account import AccountSender

    async def tell(transaction: Hash) -> None:
        await trio.sleep(QUIET_S)
        session.progress(f"handed over as {transaction.hex()}, waiting for its block")

    async with trio.open_nursery() as nursery:
        sent = await AccountSender(node, key).send(
            *messages, wait_s=timeout_s, on_pending=lambda transaction: nursery.start_soon(tell, transaction)
        )
        nursery.cancel_scope.cancel()
    return sent
