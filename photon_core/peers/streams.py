"""Requests on one channel of one link, without IO: frames and calls go in, frames and events come out.

Theory of operation. Both ends may ask; each numbers its own requests 1, 2, 3, … so the kind of a message says whose
number it carries. Seen by the caller a request is

    open ──ITEM, PART…──► open ──END──► done        CANCEL is sent at most once, and what still comes is ignored
      └────────────────ERROR──────────► done

and by the server

    receiving ──PARAMS until complete──► serving ──END or ERROR──► done
      └──────────────CANCEL─────────────────┴────────────────────► done

A plain call is a stream with one item. The caller's OPEN says how large an item may be and how many bytes of items
may be on their way; the server begins an item only while the window is above nothing, and the caller gives back what
was taken (WINDOW). So a slow reader stops the writer, and a caller never holds more than its window and one item.

A message for a request that is done crossed its end on the way and is ignored. A message for a request that never
was, a number used again, an item larger than allowed or out of its window is a breach: `receive` raises
PeerProtocolError, the link must be dropped, and the machine is of no further use. Calling a method for a request that
is not in the state for it is LocalProtocolError, a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from attrs import define, field, frozen

from photon_core.api.errors import LocalProtocolError, PeerProtocolError

from .wire import (
    CODE_CHARS_MAX,
    MESSAGE_CHARS_MAX,
    PART_BYTES_MAX,
    Cancel,
    End,
    Error,
    Item,
    Open,
    Params,
    Part,
    Window,
    from_frame,
    to_frame,
)

S = TypeVar("S")

ANSWER_WINDOW = 1
"""The window of a plain call: the one item may begin, no other."""


@frozen
class RequestOpened:
    """A peer asks. Its parameters follow in `ParamsComplete`; `size` says how many bytes they will be."""

    number: int
    method: str
    size: int


@frozen
class ParamsComplete:
    number: int
    params: bytes


@frozen
class RequestCancelled:
    number: int


@frozen
class WindowOpened:
    """The server may go on with the next item."""

    number: int


@frozen
class ItemReceived:
    number: int
    item: bytes


@frozen
class Ended:
    number: int


@frozen
class Failed:
    number: int
    code: str
    message: str


StreamEvent = RequestOpened | ParamsComplete | RequestCancelled | WindowOpened | ItemReceived | Ended | Failed


@define(kw_only=True)
class _Call:
    """A request of ours."""

    item_bytes_max: int
    window: int
    window_left: int
    expected: int | None = None
    received: bytearray = field(factory=bytearray)
    untold: int = 0


@define(kw_only=True)
class _Served:
    """A request of the peer."""

    item_bytes_max: int
    window_left: int
    size: int
    params: bytearray = field(factory=bytearray)
    complete: bool = False


class StreamMachine:
    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._served: dict[int, _Served] = {}
        self._last_call = 0
        self._last_served = 0

    @property
    def calls_open(self) -> int:
        return len(self._calls)

    @property
    def served_open(self) -> int:
        return len(self._served)

    # -- the caller's side -------------------------------------------------------------------------------------------

    def open(self, method: str, params: bytes, *, item_bytes_max: int, window: int) -> tuple[int, Iterator[bytes]]:
        """A new request: its number, and its frames, the first of which must be sent before any later request's
        first.
        """
        self._last_call += 1
        number = self._last_call
        self._calls[number] = _Call(item_bytes_max=item_bytes_max, window=window, window_left=window)
        return number, self._open_frames(number, method, params, self._calls[number])

    def _open_frames(self, number: int, method: str, params: bytes, call: _Call) -> Iterator[bytes]:
        yield to_frame(
            Open(
                number=number,
                method=method,
                item_bytes_max=call.item_bytes_max,
                window=call.window,
                size=len(params),
                part=params[:PART_BYTES_MAX],
            )
        )
        for start in range(PART_BYTES_MAX, len(params), PART_BYTES_MAX):
            if number not in self._calls:
                return  # answered, or given up, before all was said
            yield to_frame(Params(number, params[start : start + PART_BYTES_MAX]))

    def take(self, number: int, size: int) -> bytes | None:
        """An item of `size` bytes was taken by the reader: the frame that says so, when it is time for one."""
        call = self._calls.get(number)
        if call is None:
            return None
        call.untold += size
        if call.untold * 2 < call.window:
            return None
        taken, call.untold = call.untold, 0
        call.window_left += taken
        return to_frame(Window(number, taken))

    def give_up(self, number: int) -> bytes | None:
        """The caller wants nothing more of a request: the frame to send, None when the server is done with it."""
        return None if self._calls.pop(number, None) is None else to_frame(Cancel(number))

    def forget(self, number: int) -> None:
        """A request of which no frame was sent: the server never hears of it."""
        self._calls.pop(number, None)

    # -- the server's side -------------------------------------------------------------------------------------------

    def may_send_item(self, number: int) -> bool:
        """False while the window is closed; `WindowOpened` follows."""
        return self._serving(number).window_left > 0

    def item(self, number: int, item: bytes) -> Iterator[bytes]:
        """The frames of one item, to be sent one after the other."""
        served = self._serving(number)
        if served.window_left <= 0:
            raise LocalProtocolError(f"an item of request {number}, whose window is closed")
        if len(item) > served.item_bytes_max:
            raise LocalProtocolError(f"an item of {len(item)} bytes, the caller takes {served.item_bytes_max}")
        served.window_left -= max(len(item), 1)
        yield to_frame(Item(number, len(item), item[:PART_BYTES_MAX]))
        for start in range(PART_BYTES_MAX, len(item), PART_BYTES_MAX):
            if number not in self._served:
                return  # cancelled in the middle
            yield to_frame(Part(number, item[start : start + PART_BYTES_MAX]))

    def item_bytes_max(self, number: int) -> int:
        return self._serving(number).item_bytes_max

    def is_served(self, number: int) -> bool:
        """False once the caller cancelled."""
        return number in self._served

    def end(self, number: int) -> bytes:
        self._serving(number)
        del self._served[number]
        return to_frame(End(number))

    def fail(self, number: int, code: str, message: str) -> bytes:
        """Answers with an error, in whatever state the request is."""
        if self._served.pop(number, None) is None:
            raise LocalProtocolError(f"an error for request {number}, which is not open")
        return to_frame(Error(number, code[:CODE_CHARS_MAX], message[:MESSAGE_CHARS_MAX]))

    def _serving(self, number: int) -> _Served:
        served = self._served.get(number)
        if served is None:
            raise LocalProtocolError(f"request {number} is not open")
        return served

    # -- what comes in -----------------------------------------------------------------------------------------------

    def receive(self, frame: bytes) -> tuple[StreamEvent, ...]:
        """PeerProtocolError for a breach."""
        match from_frame(frame):
            case Open() as message:
                return self._on_open(message)
            case Params(number=number, part=part):
                served = self._known(self._served, number, self._last_served)
                return () if served is None else self._on_params(number, served, part)
            case Cancel(number=number):
                known = self._known(self._served, number, self._last_served)
                return () if known is None else self._on_cancel(number)
            case Window(number=number, bytes_taken=taken):
                served = self._known(self._served, number, self._last_served)
                return () if served is None else self._on_window(number, served, taken)
            case Item(number=number, size=size, part=part):
                call = self._known(self._calls, number, self._last_call)
                return () if call is None else self._on_item(number, call, size, part)
            case Part(number=number, part=part):
                call = self._known(self._calls, number, self._last_call)
                return () if call is None else self._on_part(number, call, part)
            case End(number=number):
                call = self._known(self._calls, number, self._last_call)
                return () if call is None else self._on_end(number, call)
            case Error(number=number, code=code, message=text):
                call = self._known(self._calls, number, self._last_call)
                if call is None:
                    return ()
                del self._calls[number]
                return (Failed(number, code, text),)

    @staticmethod
    def _known(table: dict[int, S], number: int, last: int) -> S | None:
        if not 0 < number <= last:
            raise PeerProtocolError(f"request {number} was never opened")
        return table.get(number)

    def _on_open(self, message: Open) -> tuple[StreamEvent, ...]:
        number = message.number
        if number <= self._last_served:
            raise PeerProtocolError(f"request {number} opened after {self._last_served}")
        self._last_served = number
        served = self._served[number] = _Served(
            item_bytes_max=message.item_bytes_max, window_left=message.window, size=message.size
        )
        opened = RequestOpened(number, message.method, message.size)
        return (opened, *self._on_params(number, served, message.part))

    def _on_params(self, number: int, served: _Served, part: bytes) -> tuple[StreamEvent, ...]:
        if served.complete:
            raise PeerProtocolError(f"more parameters for request {number} than announced")
        served.params += part
        if len(served.params) > served.size:
            raise PeerProtocolError(f"{len(served.params)} bytes of parameters, {served.size} were announced")
        if len(served.params) < served.size:
            if not part:
                raise PeerProtocolError("an empty part of parameters")
            return ()
        served.complete = True
        params, served.params = bytes(served.params), bytearray()
        return (ParamsComplete(number, params),)

    def _on_cancel(self, number: int) -> tuple[StreamEvent, ...]:
        del self._served[number]
        return (RequestCancelled(number),)

    def _on_window(self, number: int, served: _Served, taken: int) -> tuple[StreamEvent, ...]:
        was_closed = served.window_left <= 0
        served.window_left += taken
        return (WindowOpened(number),) if was_closed and served.window_left > 0 else ()

    def _on_item(self, number: int, call: _Call, size: int, part: bytes) -> tuple[StreamEvent, ...]:
        if call.expected is not None:
            raise PeerProtocolError("an item begins in the middle of another")
        if call.window_left <= 0:
            raise PeerProtocolError("an item out of its window")
        if size > call.item_bytes_max:
            raise PeerProtocolError(f"an item of {size} bytes, at most {call.item_bytes_max} were asked for")
        call.expected = size
        call.window_left -= max(size, 1)
        return self._on_part(number, call, part)

    def _on_part(self, number: int, call: _Call, part: bytes) -> tuple[StreamEvent, ...]:
        if call.expected is None:
            raise PeerProtocolError("a part of no item")
        call.received += part
        if len(call.received) > call.expected:
            raise PeerProtocolError(f"{len(call.received)} bytes of an item, {call.expected} were announced")
        if len(call.received) < call.expected:
            if not part:
                raise PeerProtocolError("an empty part of an item")
            return ()
        item, call.received, call.expected = bytes(call.received), bytearray(), None
        return (ItemReceived(number, item),)

    def _on_end(self, number: int, call: _Call) -> tuple[StreamEvent, ...]:
        if call.expected is not None:
            raise PeerProtocolError("a stream ends in the middle of an item")
        del self._calls[number]
        return (Ended(number),)
