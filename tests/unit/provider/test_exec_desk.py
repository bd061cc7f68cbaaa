"""Commands beside a workload, over a real link: only transport and runtime are in memory."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve, field, frozen

from photon_core.api import fields
from photon_core.api.ids import InstanceId
from photon_core.api.runtime import EXEC_PIECE_BYTES_MAX, TerminalSize
from photon_core.chain.keys import KeyPurpose, generate
from photon_core.exchange.records import LeaseState
from photon_core.peers.authorization import Scope
from photon_core.peers.errors import LinkLost, RemoteError
from photon_core.peers.methods import (
    ExecInput,
    ExecInputTaken,
    ExecItem,
    ExecNews,
    ExecRequest,
    LogsRequest,
    Method,
    ScreenSize,
)
from photon_core.provider import exec_desk
from photon_core.tenant.papers import KEEPER_SCOPES


@frozen
class Talk:
    """One session as the caller has it."""

    caller: object
    items: object
    name: bytes = field(default=b"")

    async def next(self):
        with trio.fail_after(10):
            return fields.from_plain(ExecItem, await self.items.__anext__())

    async def rest(self):
        found = []
        with trio.fail_after(10):
            async for plain in self.items:
                found.append(fields.from_plain(ExecItem, plain))  # noqa: PERF401 - a comprehension hides the stream
        return found

    async def give(self, **given):
        request = ExecInput(session=self.name, **given)
        return (await self.caller.call(Method.EXEC_INPUT, request, ExecInputTaken)).taken


@pytest.fixture
def ask(caller, tenant, running):
    """A request to run this beside `web`, of the owner unless something is changed."""

    def make(*command, **changes):
        request = ExecRequest(authorization=caller.paper(tenant.key), lease=running, service="web", command=command)
        return evolve(request, **changes)

    return make


@pytest.fixture
def begin(caller):
    @asynccontextmanager
    async def begun(request, by=caller):
        async with by.peers.stream(caller.provider_key, Method.EXEC.value, fields.to_plain(request)) as items:
            talk = Talk(by, items)
            first = await talk.next()
            assert first.news is ExecNews.STARTED
            yield evolve(talk, name=first.session)

    return begun


@pytest.fixture
def opened(runtime, running):
    """The runtime's own session, the last that was opened."""
    return lambda: runtime.sessions[InstanceId(running, "web", 0)][-1]


async def until_closed(session):
    with trio.fail_after(10):
        while not session.closed:  # noqa: ASYNC110 - the fake has no event for it
            await trio.sleep(0.01)


# --- what is carried --------------------------------------------------------------------------------------------------


async def test_output_of_both_streams_and_the_exit_code_come_in_order(ask, begin):
    async with begin(ask("say", "out", "err", "7")) as talk:
        assert [(item.news, item.data, item.exit_code) for item in await talk.rest()] == [
            (ExecNews.STDOUT, b"out", 0),
            (ExecNews.STDERR, b"err", 0),
            (ExecNews.EXITED, b"", 7),
        ]


async def test_unknown_command_is_told_by_its_exit_code(ask, begin):
    async with begin(ask("nope")) as talk:
        assert (await talk.rest())[-1].exit_code == 127


async def test_input_goes_to_the_command_and_its_end_ends_it(ask, begin):
    async with begin(ask("cat")) as talk:
        assert await talk.give(data=b"hello")
        assert (await talk.next()).data == b"hello"
        assert await talk.give(data=b"bye", end=True)
        assert [(item.news, item.data) for item in await talk.rest()] == [
            (ExecNews.STDOUT, b"bye"),
            (ExecNews.EXITED, b""),
        ]


async def test_terminal_has_the_size_asked_for_and_follows_it(ask, begin, opened):
    async with begin(ask("size", terminal=ScreenSize(columns=101, rows=37))) as talk:
        assert (await talk.next()).data == b"101x37\n"
        assert await talk.give(size=ScreenSize(columns=80, rows=24))
        assert (await talk.next()).data == b"80x24\n"
        assert opened().sizes[-1] == TerminalSize(columns=80, rows=24)


async def test_only_service_need_not_be_named_and_two_must_be(caller, ask, begin):
    assert await caller.refusal(Method.EXEC, ask("cat", service="")) == "unknown-service"
    async with begin(ask("say", "db", "", "0", service="db")) as talk:
        assert (await talk.next()).data == b"db"


async def test_reader_that_takes_nothing_stops_the_command(ask, begin, opened):
    pieces = 100
    async with begin(ask("flood", str(pieces))) as talk:
        await trio.testing.wait_all_tasks_blocked()
        waiting = len(opened()._output)
        assert waiting > pieces // 2, "a window of output is on its way, the rest waits in the command"
        items = await talk.rest()
        assert sum(len(item.data) for item in items) == pieces * EXEC_PIECE_BYTES_MAX


async def test_command_that_reads_nothing_holds_back_input_and_the_caller_is_told(ask, begin, monkeypatch):
    monkeypatch.setattr(exec_desk, "INPUT_WAIT_S", 0.05)
    async with begin(ask("sleep")) as talk:
        assert await talk.give(data=b"one"), "the writer has it, and waits"
        assert not await talk.give(data=b"two")
        assert await talk.give(size=ScreenSize(columns=1, rows=1)), "a screen's size waits for nothing"


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_stranger_is_refused(caller, ask):
    assert await caller.refusal(Method.EXEC, ask("cat", authorization=caller.paper(generate(KeyPurpose.ACCOUNT)))) == (
        "not-your-lease"
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scopes": int(Scope.LOGS)}, "out-of-scope"),
        ({"scopes": int(KEEPER_SCOPES)}, "out-of-scope"),
        ({"scopes": int(Scope.DELIVER | Scope.STATUS | Scope.LOGS)}, "out-of-scope"),
        ({"expires_ms": 1}, "expired"),
        ({"caller": bytes([9]) * 32}, "wrong-caller"),
        ({"deployment": 999}, "wrong-deployment"),
    ],
)
async def test_paper_for_something_else_is_refused(caller, tenant, ask, changes, code):
    assert await caller.refusal(Method.EXEC, ask("cat", authorization=caller.paper(tenant.key, **changes))) == code


async def test_paper_for_exec_alone_allows_exec_and_no_logs(caller, tenant, running, ask, begin):
    paper = caller.paper(tenant.key, scopes=int(Scope.EXEC))
    async with begin(ask("say", "out", "", "0", authorization=paper)) as talk:
        assert (await talk.next()).data == b"out"
    assert await caller.refusal(Method.LOGS, LogsRequest(authorization=paper, lease=running)) == "out-of-scope"


async def test_session_is_nobody_elses(caller, ask, begin, opened):
    """On the desk itself, since the link says who asks: another peer with the right name has no such session."""
    async with begin(ask("cat")) as talk:
        with pytest.raises(exec_desk.Refusal) as refused:
            await caller.gateway.exec_desk.take(bytes(32), ExecInput(session=talk.name, data=b"mine"))
        assert refused.value.code == "no-session"
        assert opened().written == []
        assert await talk.give(data=b"mine"), "the control"


async def test_session_that_never_was_or_is_over_takes_no_input(caller, ask, begin):
    assert await caller.refusal(Method.EXEC_INPUT, ExecInput(session=bytes(16), data=b"x")) == "no-session"
    async with begin(ask("say", "", "", "0")) as talk:
        await talk.rest()
        assert await caller.refusal(Method.EXEC_INPUT, ExecInput(session=talk.name, end=True)) == "no-session"


# --- what is not there ------------------------------------------------------------------------------------------------


async def test_before_the_manifest_and_for_what_is_not_in_it(caller, ask, tenant, agent, win):
    assert await caller.refusal(Method.EXEC, ask("cat", service="nope")) == "unknown-service"
    assert await caller.refusal(Method.EXEC, ask("cat", ordinal=1)) == "unknown-instance"
    another = await win()
    request = ask("cat", authorization=caller.paper(tenant.key), lease=another)
    assert await caller.refusal(Method.EXEC, request) == "no-manifest"


async def test_instance_that_does_not_run_is_refused_as_that(caller, ask, runtime, running, monkeypatch, agent):
    runtime.fail_with[running] = exec_desk.RuntimeFailure("no disk")  # or the agent starts it again at once
    runtime.exited(InstanceId(running, "web", 0), code=3)
    assert await caller.refusal(Method.EXEC, ask("cat")) == "not-running"


async def test_engine_that_fails_is_told_as_such(caller, ask, runtime, running):
    runtime.fail_with[running] = exec_desk.RuntimeFailure("no disk")
    assert await caller.refusal(Method.EXEC, ask("cat")) == "runtime-failed"


async def test_command_that_is_empty_or_too_long_is_a_bad_request(caller, ask):
    for command in ((), ("x",) * 257, ("x" * 40_000,)):
        with pytest.raises(RemoteError) as raised:
            await caller.call(Method.EXEC, ask("cat", command=command), ExecItem)
        assert raised.value.code == "bad-request"


# --- bounds and ends --------------------------------------------------------------------------------------------------


async def test_sessions_of_a_lease_and_of_the_agent_are_bounded_and_places_given_back(caller, ask, begin, monkeypatch):
    for bound in ("SESSIONS_PER_LEASE_MAX", "SESSIONS_PER_OWNER_MAX", "SESSIONS_MAX"):
        with monkeypatch.context() as patched:
            patched.setattr(exec_desk, bound, 1)
            async with begin(ask("cat")) as talk:
                assert await caller.refusal(Method.EXEC, ask("cat")) == "busy"
                await talk.give(end=True)
                await talk.rest()
            async with begin(ask("cat")):
                pass
        with trio.fail_after(10):
            while caller.gateway.exec_desk._places:  # noqa: ASYNC110 - until the agent has heard that the caller left
                await trio.sleep(0.01)


async def test_caller_that_leaves_kills_the_command(ask, begin, opened):
    async with begin(ask("cat")):
        session = opened()
        assert not session.closed
    await until_closed(session)


async def test_link_that_goes_kills_the_command(caller, ask, begin, opened):
    async with begin(ask("cat")) as talk:
        caller.unplug()
        with pytest.raises(LinkLost):
            await talk.next()
        await until_closed(opened())
    assert caller.gateway.exec_desk._live == {}


async def test_nothing_said_for_too_long_ends_it(ask, begin, opened, monkeypatch):
    monkeypatch.setattr(exec_desk, "LOOK_EVERY_S", 0.01)
    async with begin(ask("cat")) as talk:
        await talk.give(data=b"said")
        await talk.next()
        monkeypatch.setattr(exec_desk, "IDLE_S", 0.0)
        with pytest.raises(RemoteError) as raised:
            await talk.next()
        assert raised.value.code == "idle"
        await until_closed(opened())


async def test_instance_that_is_replaced_ends_it(ask, begin, runtime, running):
    async with begin(ask("cat")) as talk:
        runtime.exited(InstanceId(running, "web", 0), code=1)
        with pytest.raises(RemoteError) as raised:
            await talk.next()
        assert raised.value.code == "instance-gone"


async def test_lease_that_closes_ends_it_and_takes_no_other(
    caller, ask, begin, tenant, running, chain, until, agent, opened, monkeypatch
):
    monkeypatch.setattr(exec_desk, "LOOK_EVERY_S", 0.01)
    async with begin(ask("cat")) as talk:
        await tenant.close(running)
        with pytest.raises(RemoteError) as raised:
            await talk.rest()
        assert raised.value.code == "instance-gone"
        await until_closed(opened())
    await until(agent, lambda: chain.world.exchange.ledger.lease(running).state is LeaseState.CLOSED)
    assert await caller.refusal(Method.EXEC, ask("cat")) == "lease-closed"
