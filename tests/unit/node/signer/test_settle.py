"""A validator that starts asks the others over links, and signs when the start-up rule has spoken."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from photon_core.api.transport import LinkDown, Standing
from photon_core.node.signer import Abstaining, Signer, settle
from photon_core.node.signer.seen import METHOD, Seen, serve_seen
from photon_core.node.signer.settle import settle_signer
from photon_core.peers import Peers, RemoteError
from photon_core.peers.requests import everyone
from photon_core.testing.fakes.transport import linked_transports
from photon_core.testing.slot_memory import CrashingMemory

TIMEOUT_S = 10


class Two:
    """Two validators, who are a quorum only together; the first one starts and asks the second."""

    def __init__(self, committee: Any, standing: Standing = Standing.VALIDATOR) -> None:
        self.committee = committee
        self.transport, self.other_transport = linked_transports(of_the_first=standing)
        self.peers, self.other = Peers(self.transport), Peers(self.other_transport)
        self.seen = Seen(committee.validators)
        self.memory = CrashingMemory()
        self.signer = Signer(committee.keys[0], self.memory)
        self.nursery: trio.Nursery

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Two]:
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as self.nursery:
                await self.nursery.start(self.peers.run)
                await self.nursery.start(self.other.run)
                yield self
                self.nursery.cancel_scope.cancel()

    async def settle(self, own_certificate: Any = None) -> Any:
        rule = self.committee.rule(self.signer, own_certificate=own_certificate)
        node_keys = {self.committee.key(1): self.other_transport.key}
        return await self.nursery.start(settle_signer, rule, self.peers, node_keys)


@pytest.fixture
def committee(committee_of: Any) -> Any:
    return committee_of((1, 1))


async def test_it_asks_and_opens_the_gate(committee: Any) -> None:
    async with Two(committee).running() as two:
        serve_seen(two.other, two.seen, lambda: committee.certificate(3, by=(0, 1)))
        first = Signer(committee.keys[0], two.memory)
        first.open_gate()
        first.sign_statement(committee.statement(3))
        two.signer = Signer(committee.keys[0], two.memory.after_crash())
        with pytest.raises(Abstaining, match="not asked yet"):
            two.signer.sign_statement(committee.statement(4))
        decision = await two.settle()
        assert (decision.certified_height, decision.abstains_until) == (3, 0)
        two.signer.sign_statement(committee.statement(4))


async def test_an_old_store_is_said_loudly_and_persisted_before_the_gate_opens(
    committee: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Two(committee).running() as two:
        vote = committee.vote((5, 1, 1))
        message = committee.message(vote)
        two.seen.note(message, committee.inspect(message))
        serve_seen(two.other, two.seen, lambda: committee.certificate(4, by=(0, 1)))
        with caplog.at_level(logging.CRITICAL):
            decision = await two.settle()
        assert decision.abstains_until == 4 + 8
        assert two.signer.is_open
        assert "STORE IS OLD" in caplog.text
        assert "up to height 12" in caplog.text
        with pytest.raises(Abstaining):
            two.signer.sign_statement(committee.statement(12))
        again = Signer(committee.keys[0], two.memory.after_crash())
        assert (again.abstains_until, again.round_floor) == (12, 1)


@pytest.mark.parametrize(("shows_unknown", "abstains_until"), [(False, 12), (True, 12), (False, 0)])
async def test_a_start_that_will_be_silent_says_so_once(
    committee: Any, caplog: pytest.LogCaptureFixture, shows_unknown: bool, abstains_until: int
) -> None:
    async with Two(committee).running() as two:
        two.signer.learn({}, abstains_until=abstains_until)
        message = committee.message(committee.vote((5, 1, 1)))
        if shows_unknown:
            two.seen.note(message, committee.inspect(message))
        serve_seen(two.other, two.seen, lambda: committee.certificate(4, by=(0, 1)))
        with caplog.at_level(logging.WARNING):
            await two.settle()
        said = [record.message for record in caplog.records if "silent up to height 12" in record.message]
        assert len(said) == (1 if abstains_until else 0)


async def test_alone_the_gate_opens_at_once(committee_of: Any) -> None:
    committee = committee_of((1,))
    signer = Signer(committee.keys[0], CrashingMemory())
    peers = Peers(linked_transports()[0])
    with trio.fail_after(TIMEOUT_S):
        await settle_signer(committee.rule(signer), peers, {})
    signer.sign_statement(committee.statement(1))


async def test_it_asks_again_until_it_is_answered(committee: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "ASK_AGAIN_S", 0.001)
    asked: list[object] = []

    async def handler(_peer: bytes, params: object) -> Any:
        await trio.lowlevel.checkpoint()
        asked.append(params)
        if len(asked) < 3:
            raise RemoteError("unavailable", "not yet")  # what a node says that is still starting
        return [None, [], []]

    async with Two(committee).running() as two:
        two.other.serve(METHOD, handler, allow=everyone)
        await two.settle()
        assert asked == [[committee.key(0)]] * 3


async def test_garbage_costs_the_peer_its_link_and_is_no_answer(committee: Any) -> None:
    dropped = trio.Event()

    async def handler(_peer: bytes, _params: object) -> Any:
        await trio.lowlevel.checkpoint()
        return [None, [], [b"\xff"]]

    async with Two(committee).running() as two:
        two.other.serve(METHOD, handler, allow=everyone)
        two.peers.on_link(lambda event: dropped.set() if isinstance(event, LinkDown) else None)
        two.nursery.start_soon(two.settle)
        await dropped.wait()
        assert "CBOR" in two.transport.dropped[0]
        assert not two.signer.is_open


async def test_who_is_no_validator_is_told_nothing(committee: Any) -> None:
    async with Two(committee, Standing.PEER).running() as two:
        serve_seen(two.other, two.seen, lambda: None)
        await two.peers.wait_link(two.other_transport.key, 1)
        with pytest.raises(RemoteError, match="not-allowed"):
            await two.peers.call(two.other_transport.key, METHOD, [committee.key(0)])


async def test_parameters_that_are_none_are_refused(committee: Any) -> None:
    async with Two(committee).running() as two:
        serve_seen(two.other, two.seen, lambda: None)
        await two.peers.wait_link(two.other_transport.key, 1)
        with pytest.raises(RemoteError, match="bad-request"):
            await two.peers.call(two.other_transport.key, METHOD, [b"short"])
