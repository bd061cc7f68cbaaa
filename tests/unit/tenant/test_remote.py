"""Commands beside a workload, from the tenant's side, over real links to real gateways."""

import pytest
import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import ExecStream, InstanceState, Observed, TerminalSize
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.peers.authorization import Scope
from photon_core.peers.methods import INPUT_BYTES_MAX
from photon_core.provider import exec_desk
from photon_core.tenant import remote as remote_module
from photon_core.tenant.client import open_tenant


@pytest.fixture
async def lease(chain, tenant, plan, alpha):
    """Won by `alpha`, where its only instance runs."""
    deployment = await tenant.deploy(plan)
    won = LeaseId(deployment, 0, 0)
    chain.bid(won, "alpha")
    chain.end_bidding()
    await tenant.deliver(won)
    web = InstanceId(won, "web", 0)
    alpha.runtime.instances[web] = Observed(id=web, state=InstanceState.RUNNING)
    return won


async def everything(session):
    found = dict.fromkeys(ExecStream, b"")
    with trio.fail_after(10):
        while (piece := await session.read()) is not None:
            found[piece.stream] += piece.data
    return found[ExecStream.STDOUT], found[ExecStream.STDERR], session.exit_code()


async def test_output_and_exit_code(tenant, lease):
    async with tenant.exec(lease, ("say", "out", "err", "7")) as session:
        assert await everything(session) == (b"out", b"err", 7)


async def test_input_larger_than_a_piece_arrives_whole_and_in_order(tenant, lease):
    given = bytes(range(256)) * (2 * INPUT_BYTES_MAX // 256) + b"end"
    async with tenant.exec(lease, ("cat",), service="web") as session:
        await session.write(given)
        await session.end_input()
        assert (await everything(session))[0] == given


async def test_more_pieces_than_a_stranger_may_ask_for_arrive_all_the_same(tenant, lease, monkeypatch):
    monkeypatch.setattr(remote_module, "ASK_AGAIN_S", 0.01)
    async with tenant.exec(lease, ("cat",)) as session:
        with trio.fail_after(20):
            for _ in range(150):
                await session.write(b"x")
            await session.end_input()
        assert (await everything(session))[0] == b"x" * 150


async def test_a_command_that_does_not_read_holds_the_writer(tenant, lease, monkeypatch):
    monkeypatch.setattr(exec_desk, "INPUT_WAIT_S", 0.02)
    async with tenant.exec(lease, ("sleep",)) as session:
        with trio.move_on_after(0.3) as scope:
            await session.write(b"one")
            await session.write(b"two")
        assert scope.cancelled_caught


async def test_a_terminal_is_told_its_size(tenant, lease):
    async with tenant.exec(lease, ("size",), terminal=TerminalSize(columns=101, rows=37)) as session:
        assert (await session.read()).data == b"101x37\n"
        await session.resize(TerminalSize(columns=80, rows=24))
        assert (await session.read()).data == b"80x24\n"


async def test_input_for_a_command_that_has_ended_is_dropped(tenant, lease):
    async with tenant.exec(lease, ("say", "", "", "3")) as session:
        assert (await everything(session))[2] == 3
        await session.write(b"too late")
        await session.end_input()


async def test_a_provider_that_goes_is_said_to(tenant, lease, alpha):
    async with tenant.exec(lease, ("cat",)) as session:
        for link in alpha.peers.transport.links():
            alpha.peers.transport.drop(link.peer, "gone")
        with pytest.raises(PhotonError) as raised, trio.fail_after(10):
            await session.read()
        assert raised.value.code == "provider-unreachable"


async def test_leaving_kills_the_command(tenant, lease, alpha):
    async with tenant.exec(lease, ("cat",)):
        (session,) = alpha.runtime.sessions[InstanceId(lease, "web", 0)]
    with trio.fail_after(10):
        while not session.closed:  # noqa: ASYNC110 - the fake has no event for it
            await trio.sleep(0.01)


async def test_a_refusal_has_its_name(tenant, lease):
    with pytest.raises(PhotonError) as raised:
        async with tenant.exec(lease, ("cat",), ordinal=5):
            pass
    assert raised.value.code == "unknown-instance"


async def test_a_stranger_does_not_even_ask(chain, lease, tmp_path, make_transport):
    key = keys.generate(KeyPurpose.ACCOUNT)
    async with open_tenant(chain, key, home=tmp_path / "other", make_transport=make_transport) as stranger:
        with pytest.raises(PhotonError) as raised:
            async with stranger.exec(lease, ("cat",)):
                pass
    assert raised.value.code == "not-yours"


async def test_each_paper_is_for_one_thing(tenant, owner, alpha, lease):
    for scope in Scope:
        paper = tenant.courier._papers.paper(owner=owner.address, provider=bytes(20), deployment=1, scope=scope)
        assert paper.authorization.scopes == int(scope)
