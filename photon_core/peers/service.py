"""Answering: which handler a request gets, how much a peer may ask at once, and what it is told when something fails.

Nothing that a handler raises leaves its task. A `Refusal` is its answer; a CodecError says that the parameters are
not what the method takes; anything else is a bug of ours, is logged with its traceback, and the peer learns no more
than `internal`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from attrs import define, field, frozen

from photon_core.api.codec import decode, encode
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import Plain
from photon_core.api.ids import NodeKey
from photon_core.api.transport import Standing

from .conversation import Conversation, Request
from .errors import LinkLost, PeersError, Refusal
from .limits import PeersLimits, TokenBucket

log = logging.getLogger(__name__)

Handler = Callable[[NodeKey, Any], Awaitable[Plain]] | Callable[[NodeKey, Any], AsyncIterator[Plain]]
"""`async def handler(peer, params) -> answer`, or an async generator for a stream."""
Allow = Callable[[NodeKey, Standing], bool]


@frozen(kw_only=True)
class Method:
    handler: Handler
    allow: Allow
    params_bytes_max: int
    concurrency_per_peer: int
    timeout_s: float


@define
class Visitor:
    """What this node keeps of a peer that asks: how often it did, and what runs for it now."""

    standing: Callable[[], Standing]
    buckets: dict[Standing, TokenBucket | None] = field(factory=dict)
    running: Counter[str] = field(factory=Counter)


class Service:
    def __init__(self, limits: PeersLimits, on_breach: Callable[[NodeKey, PeerProtocolError], None]) -> None:
        self._limits = limits
        self._methods: dict[str, Method] = {}
        self._on_breach = on_breach

    def add(self, name: str, method: Method) -> None:
        if name in self._methods:
            raise ValueError(f"the method {name!r} is served already")
        self._methods[name] = method

    def visitor(self, standing: Callable[[], Standing]) -> Visitor:
        return Visitor(standing)

    async def answer(self, conversation: Conversation, request: Request, method: Method, visitor: Visitor) -> None:
        """The whole life of one request that `admit` let in. Never raises."""
        try:
            with request.scope:
                try:
                    await self._run(conversation, request, method)
                except Refusal as refusal:
                    await self._fail(conversation, request, refusal.code, refusal.message)
                except PeersError:  # this link is gone, or the handler asked another peer and got no answer
                    await self._fail(conversation, request, "unavailable", "")
                except PeerProtocolError as error:
                    self._on_breach(conversation.peer, error)
                except Exception:
                    log.exception("the handler of %s failed", request.method)
                    await self._fail(conversation, request, "internal", "")
                except BaseExceptionGroup as group:  # errors of a handler's nursery while the request is cancelled
                    errors, cancelled = group.split(Exception)
                    log.error("the handler of %s failed", request.method, exc_info=errors)
                    if cancelled is not None:
                        raise cancelled from None
        finally:
            conversation.requests.pop(request.number, None)
            visitor.running[request.method] -= 1

    def admit(self, conversation: Conversation, request: Request, visitor: Visitor) -> Method:
        """Everything that can be decided from the first frame, before a task is spent on it; Refusal otherwise.

        Who is admitted counts as running; `answer` must follow.
        """
        method = self._fit(conversation, request, visitor)
        visitor.running[request.method] += 1
        return method

    def _fit(self, conversation: Conversation, request: Request, visitor: Visitor) -> Method:
        standing = visitor.standing()
        if standing not in visitor.buckets:  # it may change while the link stands
            visitor.buckets[standing] = self._limits.bucket(standing)
        bucket = visitor.buckets[standing]
        if bucket is not None and not bucket.take(trio.current_time()):
            raise Refusal("rate", f"more than {bucket.rate_per_s:g} requests a second")
        method = self._methods.get(request.method)
        if method is None:
            raise Refusal("unknown-method", request.method)
        if not method.allow(conversation.peer, standing):
            raise Refusal("not-allowed", f"{request.method} is not for {standing.value}s, or not for this one")
        if len(conversation.requests) > self._limits.open_max(standing):
            raise Refusal("busy", f"more than {self._limits.open_max(standing)} requests at once")
        if visitor.running[request.method] >= method.concurrency_per_peer:
            raise Refusal("busy", f"more than {method.concurrency_per_peer} of {request.method} at once")
        if request.size > method.params_bytes_max:
            raise Refusal("too-large", f"parameters of {request.size} bytes, at most {method.params_bytes_max}")
        if conversation.params_open_bytes > self._limits.params_open_bytes_max:
            raise Refusal("busy", f"more than {self._limits.params_open_bytes_max} bytes of parameters at once")
        return method

    async def _run(self, conversation: Conversation, request: Request, method: Method) -> None:
        with trio.move_on_after(self._limits.params_timeout_s):
            await request.complete.wait()
        if request.params is None:
            raise Refusal("timeout", f"the parameters took longer than {self._limits.params_timeout_s:g} s")
        try:
            params = decode(request.params, max_bytes=method.params_bytes_max, where="params")
        except CodecError as error:
            raise PeerProtocolError(f"parameters of {request.method}: {error}") from None
        result: Any = method.handler(conversation.peer, params)
        if hasattr(result, "__aiter__"):
            await self._stream(conversation, request, result)
        else:
            await self._reply(conversation, request, method, result)
        await trio.lowlevel.checkpoint_if_cancelled()  # as in `_send`
        await conversation.send(conversation.machine.end(request.number))

    async def _reply(
        self, conversation: Conversation, request: Request, method: Method, result: Awaitable[Plain]
    ) -> None:
        answer: Plain = None
        with trio.move_on_after(method.timeout_s) as scope:
            try:
                answer = await result
            except CodecError as error:
                raise Refusal("bad-request", str(error)) from error
        if scope.cancelled_caught:
            raise Refusal("timeout", f"{request.method} took longer than {method.timeout_s:g} s")
        request.let_go_of_params()
        await self._send(conversation, request, answer)

    async def _stream(self, conversation: Conversation, request: Request, items: Any) -> None:
        try:
            async for item in items:
                await self._send(conversation, request, item)
        except CodecError as error:
            raise Refusal("bad-request", str(error)) from error
        finally:
            with trio.CancelScope(shield=True):
                await items.aclose()

    async def _send(self, conversation: Conversation, request: Request, item: Plain) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # the caller may have left in the moment in which this was ready
        data = encode(item)
        most = conversation.machine.item_bytes_max(request.number)
        if len(data) > most:
            raise Refusal("too-large", f"an answer of {len(data)} bytes, the caller takes {most}")
        await conversation.send_item(request, data)

    async def _fail(self, conversation: Conversation, request: Request, code: str, message: str) -> None:
        if conversation.machine.is_served(request.number):
            with suppress(LinkLost):
                await conversation.send(conversation.machine.fail(request.number, code, message))
