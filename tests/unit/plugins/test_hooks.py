"""One test for each hook: the example of its docstring, taken in by a manager and used as core uses it.

`tests/contract/test_hooks.py` fails when a hook has no test here.
"""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from photon_core.api.chain import Header, Proposal, Validator, ValidatorSet
from photon_core.api.consensus import (
    BuildProposal,
    Commit,
    EngineContext,
    ProposalBuilt,
    Restored,
    WorkWaiting,
)
from photon_core.api.ids import OrderId
from photon_core.api.market import Accept, BidOffered, CloseUnmatched, MarketContext, Match, OrderView, Refuse, SetPhase
from photon_core.api.observer import BlockNotice, ObserverContext
from photon_core.api.pricing import PricingContext, PricingRequest, Quote
from photon_core.api.runtime import NETWORK_AGENT
from photon_core.plugins import PluginManager
from photon_core.testing.examples import example_of

HASH = bytes(32)


@pytest.fixture
def manager() -> PluginManager:
    return PluginManager(tables={"observers_tally": {"file": "tally.txt"}, "pricing_share": {"percent": 50}})


def test_photon_register_consensus(manager: PluginManager) -> None:
    manager.add("consensus_alone", example_of("photon_register_consensus"))
    validators = ValidatorSet(validators=(Validator(key=HASH, power=1),))
    engine = manager.make(
        "consensus", "alone", EngineContext(chain_id=HASH, validators=validators, own_key=HASH, config=None)
    )
    engine.step(Restored(records=(), height=4, block_hash=b"p" * 32, certificate=None), 0)
    assert engine.step(WorkWaiting(), 0) == (BuildProposal(height=5, parent=b"p" * 32),)
    header = Header(height=5, time_ms=1, parent=b"p" * 32, transactions_root=HASH, validators_hash=HASH, proposer=HASH)
    proposal = Proposal(header=header, transaction_ids=(), block_hash=HASH)
    assert engine.step(ProposalBuilt(proposal=proposal), 0) == (Commit(header=header, block_hash=HASH),)


def test_photon_register_market(manager: PluginManager) -> None:
    manager.add("market_firstbid", example_of("photon_register_market"))
    market = manager.make("market", "firstbid", MarketContext(config=None))
    order = OrderView(id=OrderId(1, 0, 0), max_price=10, collateral_uptn=0, opened_ms=5, window_ms=100)
    assert market.open(order) == (SetPhase(phase="open", deadline_ms=105),)
    [refused] = market.on_message(order, BidOffered(provider=b"a" * 20, price=11), 6)
    assert isinstance(refused, Refuse)
    assert market.on_message(order, BidOffered(provider=b"a" * 20, price=10), 6) == (
        Accept(),
        Match(provider=b"a" * 20, price=10),
    )
    assert market.on_due(order, 105) == (CloseUnmatched(reason="nobody bid"),)


def test_photon_register_transport(manager: PluginManager) -> None:
    manager.add("transport_pigeon", example_of("photon_register_transport"))
    assert manager.transport("pigeon").summary == "slow links"
    assert manager.config("transport", "pigeon", table={"links_max": 4}).links_max == 4  # type: ignore[attr-defined]


def test_photon_register_runtime(manager: PluginManager) -> None:
    manager.add("runtime_jail", example_of("photon_register_runtime"))
    assert manager.runtime("jail").capabilities == {NETWORK_AGENT}


def test_photon_register_pricing(manager: PluginManager) -> None:
    manager.add("pricing_share", example_of("photon_register_pricing"))
    pricing = manager.make("pricing", "share", PricingContext(config=None))
    request = PricingRequest(order=OrderId(1, 0, 0), units=(), attributes=(), max_price=9)
    assert pricing.quote(request) == Quote(price=4)


def test_photon_register_observers(manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manager.add("observers_tally", example_of("photon_register_observers"))
    observer = manager.make("observers", "tally", ObserverContext(config=None))
    for height in (1, 2):
        observer.block_final(BlockNotice(height=height, block_hash=HASH, time_ms=0, transactions=3, events=()))
    assert (tmp_path / "tally.txt").read_text() == "2 6\n"


def test_photon_add_commands(manager: PluginManager) -> None:
    manager.add("commands_hello", example_of("photon_add_commands"))
    group = click.Group("photon")
    manager.add_commands(group)
    assert CliRunner().invoke(group, ["hello", "Ada"]).output == "Hello, Ada!\n"


def test_a_command_that_is_taken_is_refused(manager: PluginManager) -> None:
    manager.add("commands_hello", example_of("photon_add_commands"))
    with pytest.raises(Exception, match=r"commands_hello.*adds the command 'hello', which is already there"):
        manager.add_commands(click.Group("photon"), taken=["hello"])
