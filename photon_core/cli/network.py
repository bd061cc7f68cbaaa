"""What several verbs of a network's operators share: genesis from options, folders, keys, running a process of ours."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photon_core.api import bech32m
from photon_core.api.errors import CodecError, UsageError

if TYPE_CHECKING:
    import trio

    from photon_core.chain.genesis import Genesis, GenesisAccount, GenesisValidator, Rule

UPTN_PER_PTN = 1_000_000
SOLO = "solo"
"""The consensus of one validator: its chain survives crashes, not lies, which genesis has to allow."""


def new_genesis(
    *,
    name: str,
    time_ms: int,
    validators: Sequence[GenesisValidator],
    accounts: Sequence[str],
    consensus: str,
    market: str,
    parameters: Sequence[str] = (),
    development: bool = False,
) -> Genesis:
    """A checked genesis out of what `photon genesis create` takes; UsageError names the option that is wrong."""
    from photon_core.api.consensus import CRASH_ONLY
    from photon_core.chain.genesis import make_genesis
    from photon_core.exchange import genesis as exchange_genesis
    from photon_core.exchange.parameters import Parameters
    from photon_core.exchange.parameters import development as development_parameters

    if consensus == SOLO and len(validators) > 1:
        raise UsageError(
            code="bad-option",
            where="--consensus",
            what=f"{SOLO} is for one validator",
            found=f"{len(validators)} validators",
            remedy="Leave --consensus out: pbft is for any number.",
        )
    base = development_parameters() if development else Parameters()
    values = dict(exchange_genesis.genesis_parameters(base))
    values.update(_parameter(text, values) for text in parameters)
    allow = [CRASH_ONLY] if consensus == SOLO else []
    if development:
        allow.append(exchange_genesis.DEVELOPMENT)
    try:
        genesis = make_genesis(
            name=name,
            time_ms=time_ms,
            rules=_rules(consensus, market),
            validators=tuple(validators),
            accounts=tuple(_account(text) for text in accounts),
            parameters=tuple(values.items()),
            allow=tuple(allow),
        )
        exchange_genesis.initial_changes(genesis)
    except CodecError as error:
        raise UsageError(
            code="bad-genesis",
            what="these do not make a genesis",
            where=error.where,
            expected=error.expected,
            found=error.found,
        ) from None
    return genesis


def _rules(consensus: str, market: str) -> tuple[Rule, ...]:
    from photon_core.chain.genesis import Rule, RuleKind

    return (
        Rule(kind=RuleKind.CODEC, from_height=0, name="photon", version=1),
        Rule(kind=RuleKind.EXCHANGE, from_height=0, name="photon", version=1),
        Rule(kind=RuleKind.CONSENSUS, from_height=0, name=consensus, version=1),
        Rule(kind=RuleKind.MARKET, from_height=0, name=market, version=1),
    )


def _account(text: str) -> GenesisAccount:
    from photon_core.chain.genesis import GenesisAccount

    address, equals, amount = text.partition("=")
    try:
        if not equals or not amount.isascii() or not amount.isdigit():
            raise ValueError("the amount is a whole number of PTN")
        return GenesisAccount(address=bech32m.decode_address(address), balance_uptn=int(amount) * UPTN_PER_PTN)
    except (ValueError, TypeError) as error:
        raise UsageError(
            code="bad-option",
            where="--account",
            what=f"{text!r} is no account: {error}",
            expected="<address>=<PTN>",
            remedy="`photon key list` shows your addresses",
        ) from None


def _parameter(text: str, known: dict[str, int]) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if name not in known or not equals or not value.isascii() or not value.isdigit():
        raise UsageError(
            code="bad-option",
            where="--parameter",
            what=f"{text!r} is no parameter",
            expected=f"NAME=NUMBER with a name of {', '.join(sorted(known))}",
        )
    return name, int(value)


# --- long-running processes
# --------------------------------------------------------------------------------------------


def run_until_stopped(service: Callable[[trio.TaskStatus[Any]], Awaitable[None]], ready: Callable[[Any], None]) -> None:
    """Runs a service on trio until SIGTERM or Ctrl-C, then ends it in order; `ready` is told when it is up."""
    import trio

    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:

                async def serve() -> None:
                    ready(await nursery.start(_started_as, service))

                nursery.start_soon(serve)  # beside the signals: a service that waits for others can be stopped as well
                async for _ in signals:
                    nursery.cancel_scope.cancel()

    trio.run(main)


async def _started_as(
    service: Callable[[trio.TaskStatus[Any]], Awaitable[None]], task_status: trio.TaskStatus[Any]
) -> None:
    await service(task_status)


def require_new_home(home: Path, marker: str) -> None:
    """UsageError when `init` would overwrite something."""
    if (home / marker).exists():
        raise UsageError(
            code="exists",
            where=str(home / marker),
            what="this folder was initialised before",
            remedy="Name another folder with --home, or start what is there.",
        )
