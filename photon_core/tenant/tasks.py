"""Background tasks that live as long as a block of code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


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
