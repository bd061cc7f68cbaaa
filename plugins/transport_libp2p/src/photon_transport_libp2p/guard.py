"""No exception of a peer's making leaves its connection's tasks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


async def guard(function: Callable[..., Awaitable[object]], *arguments: object) -> None:
    """Awaits `function(*arguments)`; whatever it raises ends here, except cancellation and the like.

    What peers and the library do to a connection comes out as many kinds of exceptions, alone or in groups with a
    cancellation; each means that the connection is over, which its owner sees by the task's end.
    """
    try:
        await function(*arguments)
    except Exception as error:  # noqa: BLE001  # see above
        log.debug("a task of a connection ended: %r", error)
    except BaseExceptionGroup as group:
        errors, rest = group.split(Exception)
        log.debug("a task of a connection ended: %r", errors)
        if rest is not None:
            raise rest from None
