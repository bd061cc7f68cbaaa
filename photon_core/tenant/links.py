"""Links from a tenant's process to providers: dialled when somebody asks, let go when nobody does.

Importing and starting a transport may take a second or two, so it is made at the first question. A provider is dialled
at the addresses of its record on chain, and the transport proves that who answers has the record's node key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import trio

from photon_core.api import fields
from photon_core.api.errors import CodecError, ExitCode, PhotonError
from photon_core.api.ids import NodeKey
from photon_core.api.transport import Transport
from photon_core.exchange.records import Provider
from photon_core.peers.errors import CallTimeout, LinkLost, RemoteError
from photon_core.peers.methods import Method
from photon_core.peers.requests import Peers

from .errors import ProviderRefused, ProviderUnreachable
from .tasks import background_tasks

LINK_TIMEOUT_S = 10.0
STATUS_LINK_TIMEOUT_S = 3.0
"""Somebody waits for the answer, and a provider that is away is one."""
CALL_TIMEOUT_S = 30.0
"""A section of a megabyte over a slow line."""

T = TypeVar("T")


class ProviderLinks:
    """Made by `open_links`."""

    def __init__(self, make_transport: Callable[[], Transport], nursery: trio.Nursery) -> None:
        self._make_transport, self._nursery = make_transport, nursery
        self._starting = trio.Lock()
        self._peers: Peers | None = None
        self._users: Counter[NodeKey] = Counter()

    async def start(self) -> Peers:
        """Starts the transport unless it runs. Worth calling early: whoever asks first need not wait for it then."""
        async with self._starting:
            if self._peers is None:
                transport = await trio.to_thread.run_sync(self._make_transport)  # it may import for a second
                peers = Peers(transport)
                await self._nursery.start(transport.run)
                await self._nursery.start(peers.run)
                self._peers = peers
            return self._peers

    @asynccontextmanager
    async def to(self, provider: Provider, timeout_s: float | None = None) -> AsyncIterator[ProviderLink]:
        """A link for as long as the block lasts. ProviderUnreachable when there is none in time, by default in
        LINK_TIMEOUT_S.
        """
        peers, peer = await self.start(), provider.node_key
        self._users[peer] += 1
        try:
            if self._users[peer] == 1 or peers.link(peer) is None:
                peers.transport.dial(peer, provider.addresses)
            try:
                await peers.wait_link(peer, LINK_TIMEOUT_S if timeout_s is None else timeout_s)
            except CallTimeout as error:
                raise ProviderUnreachable(provider.id, provider.addresses, str(error)) from None
            yield ProviderLink(peers, provider)
        finally:
            self._users[peer] -= 1
            if not self._users[peer]:
                del self._users[peer]
                peers.transport.drop(peer, "nothing more to ask")


class ProviderLink:
    """Questions to one provider."""

    def __init__(self, peers: Peers, provider: Provider) -> None:
        self._peers, self._provider = peers, provider

    async def call(self, method: Method, request: Any, reply: type[T]) -> T:
        """ProviderRefused, ProviderUnreachable."""
        with self.explaining():
            answer = await self._peers.call(
                self._provider.node_key, method.value, fields.to_plain(request), timeout_s=CALL_TIMEOUT_S
            )
            return fields.from_plain(reply, answer)

    @asynccontextmanager
    async def stream(self, method: Method, request: Any, item: type[T]) -> AsyncIterator[AsyncIterator[T]]:
        with self.explaining():
            async with self._peers.stream(self._provider.node_key, method.value, fields.to_plain(request)) as items:

                async def decoded() -> AsyncGenerator[T, None]:
                    async for plain in items:
                        yield fields.from_plain(item, plain)

                async with aclosing(decoded()) as found:
                    yield found

    def explaining(self) -> _Explaining:
        """For whoever takes a stream's items in a task of its own: `with link.explaining(): await anext(items)`."""
        return _Explaining(self._provider)


class _Explaining:
    """Turns what a call can end in into errors that people read."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        match error:
            case RemoteError():
                raise ProviderRefused(self._provider.id, error) from None
            case LinkLost() | CallTimeout():
                raise ProviderUnreachable(self._provider.id, self._provider.addresses, str(error)) from None
            case CodecError():
                raise PhotonError(
                    code="provider-speaks-otherwise",
                    where=error.where,
                    what="the provider answers in a form that this client does not know",
                    expected=error.expected,
                    found=error.found,
                    exit_code=ExitCode.REFUSED,
                ) from None


@asynccontextmanager
async def open_links(make_transport: Callable[[], Transport]) -> AsyncIterator[ProviderLinks]:
    """All links go down with the block."""
    async with background_tasks() as nursery:
        yield ProviderLinks(make_transport, nursery)
