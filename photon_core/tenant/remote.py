"""A command beside a workload, from the tenant's side of the link. It is used as an `ExecSession` of a runtime is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.runtime import ExecOutput, ExecStream, TerminalSize
from photon_core.peers.methods import (
    INPUT_BYTES_MAX,
    ExecInput,
    ExecInputTaken,
    ExecItem,
    ExecNews,
    Method,
    RefusalCode,
    ScreenSize,
)

from .errors import ProviderRefused
from .links import ProviderLink

ASK_AGAIN_S = 0.1
"""After `rate` and `busy`: a provider takes some fifty requests a second, and people paste more than that."""
ASK_AGAIN = frozenset({"rate", RefusalCode.BUSY.value})
STREAMS = {ExecNews.STDOUT: ExecStream.STDOUT, ExecNews.STDERR: ExecStream.STDERR}


class RemoteSession:
    """Its end is the end of the stream that it was made of. Errors are ProviderRefused and ProviderUnreachable."""

    def __init__(self, link: ProviderLink, items: AsyncIterator[ExecItem], name: bytes) -> None:
        self._link, self._items, self._name = link, items, name
        self._exit_code: int | None = None

    @classmethod
    async def begun(cls, link: ProviderLink, items: AsyncIterator[ExecItem]) -> RemoteSession:
        """Once the provider has started the command."""
        first = await anext(items, None)
        if first is None or first.news is not ExecNews.STARTED:
            raise _cut_off()
        return cls(link, items, first.session)

    async def read(self) -> ExecOutput | None:
        """The next piece of output; None when the command has ended."""
        while self._exit_code is None:
            with self._link.explaining():
                item = await anext(self._items, None)
            if item is None:
                raise _cut_off()
            match item.news:
                case ExecNews.STDOUT | ExecNews.STDERR:
                    return ExecOutput(STREAMS[item.news], item.data)
                case ExecNews.EXITED:
                    self._exit_code = item.exit_code
                case ExecNews.STARTED:
                    raise _cut_off()
        return None

    def exit_code(self) -> int:
        """After `read` gave None."""
        assert self._exit_code is not None, "asked for before the end of the output"
        return self._exit_code

    async def write(self, data: bytes) -> None:
        """Waits while the command does not read. Dropped when it has ended."""
        for start in range(0, len(data), INPUT_BYTES_MAX):
            await self._give(ExecInput(session=self._name, data=data[start : start + INPUT_BYTES_MAX]))

    async def end_input(self) -> None:
        await self._give(ExecInput(session=self._name, end=True))

    async def resize(self, size: TerminalSize) -> None:
        await self._give(ExecInput(session=self._name, size=screen_size(size)))

    async def _give(self, given: ExecInput) -> None:
        while True:
            try:
                if (await self._link.call(Method.EXEC_INPUT, given, ExecInputTaken)).taken:
                    return
            except ProviderRefused as refused:
                if refused.code == RefusalCode.NO_SESSION:
                    return  # whoever reads is told how it ended
                if refused.code not in ASK_AGAIN:
                    raise
                await trio.sleep(ASK_AGAIN_S)


def screen_size(size: TerminalSize) -> ScreenSize:
    return ScreenSize(columns=size.columns, rows=size.rows)


def _cut_off() -> PhotonError:
    return PhotonError(
        code="provider-speaks-otherwise",
        what="the provider ended the session without the command's exit code",
        exit_code=ExitCode.REFUSED,
    )
