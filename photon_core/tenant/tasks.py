"""Background tasks that live as long as a block of code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from photon_core.api.errors import PhotonError

T = TypeVar("T")


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery that is cancelled when the block ends. An error of the block comes out as itself, in no group."""
    of_block: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                of_block = error
                raise
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if of_block is not None and group.exceptions == (of_block,):
            raise of_block from of_block.__cause__
        raise


@asynccontextmanager
async def told_by(
    tell: Callable[[], Awaitable[None]], sink: trio.MemorySendChannel[T], source: trio.MemoryReceiveChannel[T]
) -> AsyncIterator[trio.MemoryReceiveChannel[T]]:
    """What a task of its own tells until it is done, or fails: then the channel ends, and the block with its error."""
    failure: list[PhotonError] = []

    async def run() -> None:
        try:
            await tell()
        except PhotonError as error:  # a nursery would put it into a group
            failure.append(error)
        sink.close()  # only now: who reads its end leaves the block at once

    async with source, background_tasks() as nursery:
        nursery.start_soon(run)
        yield source
    if failure:
        raise failure[0]
