"""Every hook of Photon, on one page.

A plugin is a module that an entry point names. It marks functions with `hookimpl`; the manager calls them once, when
the plugin was chosen by name, before any event loop runs. The rules are the same for all hooks:

- plain functions, never `async def`; at most one argument
- they register and return: nothing is opened, started, downloaded or imported that is heavy. What makes the real thing
  is the record's `factory`, which runs later, with a context
- they collect: what two plugins return is put together. Order never carries meaning, the user chooses by name
- a module may implement several hooks, and each at most once

The entry point is named `<kind>_<name>`, stands in the group `photon.<kind>`, and its value is a module:

    [project.entry-points."photon.market"]
    market_prompt = "photon_market_prompt.plugin"

`photon plugin new market prompt DIR` writes a whole distribution to begin with; `docs/plugins.md` is the guide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # for types only: `photon --help` must not pay for trio, and a hook's module must not either
    import click

    from photon_core.api.consensus import ConsensusProvider
    from photon_core.api.market import MarketProvider
    from photon_core.api.observer import ObserverProvider
    from photon_core.api.pricing import PricingProvider
    from photon_core.api.runtime import RuntimeProvider
    from photon_core.api.transport import TransportProvider

PROJECT = "photon"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def photon_register_consensus() -> Iterable[ConsensusProvider]:
    """Offer consensus engines: the machines that order blocks.

    The factory gets an `EngineContext` (chain id, validators, own key, seed, config) and returns an `Engine`:
    `inspect` and `step`, pure, no clock, no IO. All validators of a chain share the engine and its `rules_version`;
    genesis names both, and a node whose plugin has another version refuses to start. A plugin that must replay old
    blocks under older rules yields one record for each rules version.

    An engine that survives crashes but not lies says so by the capability `CRASH_ONLY`, which genesis must allow.

    Returns:
        Any number of `ConsensusProvider` records.

    Example:
        The engine of a chain with one validator, whose proposals are final at once::

            from attrs import frozen

            from photon_core.api.consensus import (
                CRASH_ONLY, BuildProposal, Claim, Commit, ConsensusProvider, Effect, Engine, EngineContext, Event,
                BlockFinal, ProposalBuilt, Restored, WorkWaiting,
            )
            from photon_core.api.errors import PeerProtocolError
            from photon_core.hooks import hookimpl


            class Alone:
                def __init__(self, context: EngineContext) -> None:
                    self.height, self.parent = 0, b""

                def inspect(self, message: bytes) -> tuple[Claim, ...]:
                    raise PeerProtocolError("this engine sends no messages")

                def step(self, event: Event, now_ms: int) -> tuple[Effect, ...]:
                    match event:
                        case Restored(height=height, block_hash=parent) | BlockFinal(height=height, block_hash=parent):
                            self.height, self.parent = height, parent
                        case WorkWaiting():
                            return (BuildProposal(height=self.height + 1, parent=self.parent),)
                        case ProposalBuilt(proposal=proposal):
                            return (Commit(header=proposal.header, block_hash=proposal.block_hash),)
                    return ()


            @hookimpl
            def photon_register_consensus():
                yield ConsensusProvider(
                    name="alone",
                    summary="one validator, final at once",
                    factory=Alone,
                    capabilities=frozenset({CRASH_ONLY}),
                )
    """
    raise NotImplementedError


@hookspec
def photon_register_market() -> Iterable[MarketProvider]:
    """Offer market rules: how an order chooses among its bids.

    The factory gets a `MarketContext` (its config, from genesis) and returns a `Market`: `open`, `on_message`,
    `on_due`, each of which returns decisions as values. Every validator runs the rule, so the same inputs must give
    the same decisions everywhere and for ever: integers only, no clock, no randomness, no sets iterated, no memory of
    its own. Change a decision, and it is another `rules_version`, for which the plugin yields a further record.

    Returns:
        Any number of `MarketProvider` records.

    Example:
        The first bid that is not above the order's price wins::

            from photon_core.api.market import (
                Accept, BidOffered, CloseUnmatched, Decision, MarketContext, MarketEvent, MarketPayload, MarketProvider,
                Match, OrderView, Refuse, SetPhase,
            )
            from photon_core.hooks import hookimpl


            class FirstBid:
                def __init__(self, context: MarketContext) -> None:
                    pass

                def open(self, order: OrderView) -> tuple[Decision, ...]:
                    return (SetPhase(phase="open", deadline_ms=order.opened_ms + order.window_ms),)

                def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
                    match event:
                        case BidOffered(provider=provider, price=price) if price <= order.max_price:
                            return (Accept(), Match(provider=provider, price=price))
                        case BidOffered(price=price):
                            return (Refuse(reason=f"price {price} is above {order.max_price}"),)
                        case MarketPayload():
                            return (Refuse(reason="this market has no messages of its own"),)
                    return (Accept(),)

                def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
                    return (CloseUnmatched(reason="nobody bid"),)


            @hookimpl
            def photon_register_market():
                yield MarketProvider(name="firstbid", summary="the first affordable bid wins", factory=FirstBid)
    """
    raise NotImplementedError


@hookspec
def photon_register_transport() -> Iterable[TransportProvider]:
    """Offer transports: authenticated, encrypted links between nodes.

    The factory gets a `TransportContext` (node key's seed, chain id, config) and returns a `Transport`. A link
    carries frames of at most 256 KiB on four channels, each with its own credit; requests, retransmission and streams
    are core's, built on frames. The factory opens nothing: the transport's tasks live inside its `run`.

    Returns:
        Any number of `TransportProvider` records.

    Example:
        A transport whose configuration has one optional key. The class itself, with the eight methods of
        `photon_core.api.transport.Transport`, is in a module that only the factory imports::

            from attrs import frozen

            from photon_core.api.transport import Transport, TransportContext, TransportProvider
            from photon_core.hooks import hookimpl


            @frozen(kw_only=True)
            class PigeonConfig:
                links_max: int = 16


            def make(context: TransportContext) -> Transport:
                from photon_transport_pigeon.transport import PigeonTransport  # the heavy import, when it is needed

                return PigeonTransport(context)


            @hookimpl
            def photon_register_transport():
                yield TransportProvider(name="pigeon", summary="slow links", factory=make, config_type=PigeonConfig)

        A node that chose it reads its table::

            plugins = ["transport_pigeon"]

            [plugin.transport_pigeon]
            links_max = 4
    """
    raise NotImplementedError


@hookspec
def photon_register_runtime() -> Iterable[RuntimeProvider]:
    """Offer runtimes: what runs workloads on a provider's machines.

    The factory gets a `RuntimeContext` (a folder of its own, chain id, the agent's name, config) and returns a
    `Runtime`. It is driven by level: the agent computes what ought to run and calls `apply`, which must be
    idempotent; what runs is found again by its labels after the agent was killed.

    Optional behaviour is a capability: with `NETWORK_AGENT` the runtime is also a `SandboxNetworks`, which is checked
    when it is made.

    Returns:
        Any number of `RuntimeProvider` records.

    Example:
        A runtime with a network for its sandboxes; its class, with the methods of `Runtime` and of `SandboxNetworks`,
        is imported by the factory::

            from attrs import frozen

            from photon_core.api.runtime import NETWORK_AGENT, Runtime, RuntimeContext, RuntimeProvider
            from photon_core.hooks import hookimpl


            @frozen(kw_only=True)
            class JailConfig:
                socket: str
                pull_timeout_s: int = 300


            def make(context: RuntimeContext) -> Runtime:
                from photon_runtime_jail.runtime import JailRuntime

                return JailRuntime(context)


            @hookimpl
            def photon_register_runtime():
                yield RuntimeProvider(
                    name="jail",
                    summary="workloads in jails",
                    factory=make,
                    config_type=JailConfig,
                    capabilities=frozenset({NETWORK_AGENT}),
                )
    """
    raise NotImplementedError


@hookspec
def photon_register_pricing() -> Iterable[PricingProvider]:
    """Offer pricing rules: what a provider asks for an order.

    The factory gets a `PricingContext` (config) and returns a `Pricing`, whose one method `quote` answers each order
    with a `Quote` or a `Decline` and its reason. It runs in the provider's agent only; no two providers need to
    agree.

    Returns:
        Any number of `PricingProvider` records.

    Example:
        Ask for a share of what the tenant would pay::

            from attrs import frozen

            from photon_core.api.pricing import Decline, Pricing, PricingContext, PricingProvider, PricingRequest, Quote
            from photon_core.hooks import hookimpl


            @frozen(kw_only=True)
            class ShareConfig:
                percent: int = 80


            class Share:
                def __init__(self, context: PricingContext) -> None:
                    assert isinstance(context.config, ShareConfig)
                    self.percent = context.config.percent

                def quote(self, request: PricingRequest) -> Quote | Decline:
                    return Quote(price=request.max_price * self.percent // 100)


            @hookimpl
            def photon_register_pricing():
                yield PricingProvider(
                    name="share", summary="a share of the limit", factory=Share, config_type=ShareConfig
                )
    """
    raise NotImplementedError


@hookspec
def photon_register_observers() -> Iterable[ObserverProvider]:
    """Offer observers: they see every final block of a node and can change nothing.

    The factory gets an `ObserverContext` (config) and returns an `Observer`. Its `block_final` is called in a worker
    thread, in order of height; what it raises is logged once and switches the observer off, never the node. Any
    number of observers can be chosen at once.

    Returns:
        Any number of `ObserverProvider` records.

    Example:
        Count transactions into a file::

            from pathlib import Path

            from attrs import frozen

            from photon_core.api.observer import BlockNotice, ObserverContext, ObserverProvider
            from photon_core.hooks import hookimpl


            @frozen(kw_only=True)
            class TallyConfig:
                file: Path


            class Tally:
                def __init__(self, context: ObserverContext) -> None:
                    assert isinstance(context.config, TallyConfig)
                    self.file, self.total = context.config.file, 0

                def block_final(self, notice: BlockNotice) -> None:
                    self.total += notice.transactions
                    self.file.write_text(f"{notice.height} {self.total}\\n")


            @hookimpl
            def photon_register_observers():
                yield ObserverProvider(name="tally", summary="counts", factory=Tally, config_type=TallyConfig)
    """
    raise NotImplementedError


@hookspec
def photon_add_commands(group: click.Group) -> None:
    """Add commands to `photon`.

    Called once per run of the command line for each chosen plugin, before the verb is looked up. A command that is
    already there cannot be replaced. `--output`, `--home`, `--config` and `--plugin` are added to every command by
    Photon.

    Args:
        group: the group `photon` itself.

    Example:
        `photon --plugin commands_hello hello Ada`, with the entry point `commands_hello` in the group
        `photon.commands`::

            import click

            from photon_core.hooks import hookimpl


            @click.command()
            @click.argument("name")
            def hello(name: str) -> None:
                \"\"\"Greet somebody.\"\"\"
                click.echo(f"Hello, {name}!")


            @hookimpl
            def photon_add_commands(group):
                group.add_command(hello)
    """
    raise NotImplementedError
