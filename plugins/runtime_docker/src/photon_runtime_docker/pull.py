"""What Docker says while it pulls, added up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from photon_runtime_containers.engine import PullProgress
from photon_runtime_docker.errors import BAD_REQUEST, message_of, pull_refused
from photon_runtime_docker.wire import BODY_BYTES_MAX, LineStream, Pieces

LAYERS_MAX = 1024
"""Of one image, of which its registry says how many it has; engines take some hundred."""


class PullStream:
    """A `Stream[PullProgress]`. Raises what became of it when it failed."""

    def __init__(self, image: str, pieces: Pieces) -> None:
        self._image, self._pieces = image, pieces
        self._begun = False
        self._layers: dict[str, tuple[int, int]] = {}
        self._lines: LineStream[PullProgress] = LineStream(pieces, self._read)
        self.close = pieces.close

    def __iter__(self) -> Iterator[PullProgress]:
        return self

    def __next__(self) -> PullProgress:
        """Docker answers nothing at all before its first word with the registry: that may take as long as it likes."""
        if not self._begun:
            self._begun = True
            self._read_head()
        return next(self._lines)

    def _read_head(self) -> None:
        try:
            status = self._pieces.head()
        except ValueError:  # closed by us, or the engine went
            raise StopIteration from None
        if status >= BAD_REQUEST:
            said = b""
            while len(said) < BODY_BYTES_MAX and (piece := self._pieces.read()):
                said += piece
            raise pull_refused(self._image, message_of(said))

    def _read(self, said: dict[str, Any]) -> PullProgress:
        if "error" in said or "errorDetail" in said:
            detail = said.get("errorDetail") or {}
            raise pull_refused(self._image, str(detail.get("message") or said.get("error") or "no reason given"))
        layer, status, progress = str(said.get("id", "")), str(said.get("status", "")), said.get("progressDetail") or {}
        done, total = progress.get("current"), progress.get("total")
        if layer in self._layers or len(self._layers) < LAYERS_MAX:
            if status == "Downloading" and isinstance(done, int) and isinstance(total, int):
                self._layers[layer] = (done, total)
            elif status in {"Download complete", "Pull complete"} and layer in self._layers:
                self._layers[layer] = (self._layers[layer][1],) * 2
        return PullProgress(
            done_bytes=sum(done for done, _ in self._layers.values()),
            total_bytes=sum(total for _, total in self._layers.values()),
            detail=status,
        )
