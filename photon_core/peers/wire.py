"""The messages of requests and streams: one per frame, strict CBOR lists that begin with the kind and the request's
number.

| message | from | fields after kind and number |
|---|---|---|
| OPEN | caller | method, most bytes of an item, window, size of the parameters, their first part |
| PARAMS | caller | next part of the parameters |
| ITEM | server | size of the item, its first part |
| PART | server | next part of the item |
| END | server | |
| ERROR | server | code, message |
| CANCEL | caller | |
| WINDOW | caller | bytes of items that it took |
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from photon_core.api.codec import decode, encode
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import Plain
from photon_core.api.transport import FRAME_BYTES_MAX

PART_BYTES_MAX = 64 * 1024
"""Of parameters or an item in one frame: small enough that others of the same channel get in between."""
METHOD_CHARS_MAX = 64
CODE_CHARS_MAX = 64
MESSAGE_CHARS_MAX = 1024
SIZE_MAX = 2**31 - 1


class Kind(IntEnum):
    OPEN = 0
    PARAMS = 1
    ITEM = 2
    PART = 3
    END = 4
    ERROR = 5
    CANCEL = 6
    WINDOW = 7


@frozen(kw_only=True)
class Open:
    number: int
    method: str
    item_bytes_max: int
    window: int
    size: int
    part: bytes


@frozen
class Params:
    number: int
    part: bytes


@frozen
class Item:
    number: int
    size: int
    part: bytes


@frozen
class Part:
    number: int
    part: bytes


@frozen
class End:
    number: int


@frozen
class Error:
    number: int
    code: str
    message: str


@frozen
class Cancel:
    number: int


@frozen
class Window:
    number: int
    bytes_taken: int


Message = Open | Params | Item | Part | End | Error | Cancel | Window

_CLASSES: dict[int, type[Message]] = {
    Kind.OPEN: Open,
    Kind.PARAMS: Params,
    Kind.ITEM: Item,
    Kind.PART: Part,
    Kind.END: End,
    Kind.ERROR: Error,
    Kind.CANCEL: Cancel,
    Kind.WINDOW: Window,
}
_KINDS = {cls: kind for kind, cls in _CLASSES.items()}
_FIELDS: dict[type[Message], tuple[tuple[str, type, int], ...]] = {
    Open: (
        ("number", int, SIZE_MAX),
        ("method", str, METHOD_CHARS_MAX),
        ("item_bytes_max", int, SIZE_MAX),
        ("window", int, SIZE_MAX),
        ("size", int, SIZE_MAX),
        ("part", bytes, PART_BYTES_MAX),
    ),
    Params: (("number", int, SIZE_MAX), ("part", bytes, PART_BYTES_MAX)),
    Item: (("number", int, SIZE_MAX), ("size", int, SIZE_MAX), ("part", bytes, PART_BYTES_MAX)),
    Part: (("number", int, SIZE_MAX), ("part", bytes, PART_BYTES_MAX)),
    End: (("number", int, SIZE_MAX),),
    Error: (("number", int, SIZE_MAX), ("code", str, CODE_CHARS_MAX), ("message", str, MESSAGE_CHARS_MAX)),
    Cancel: (("number", int, SIZE_MAX),),
    Window: (("number", int, SIZE_MAX), ("bytes_taken", int, SIZE_MAX)),
}


def to_frame(message: Message) -> bytes:
    fields: list[Plain] = [int(_KINDS[type(message)])]
    fields += [getattr(message, name) for name, _, _ in _FIELDS[type(message)]]
    return encode(fields)


def from_frame(frame: bytes) -> Message:
    """PeerProtocolError for anything that `to_frame` cannot have made."""
    try:
        plain = decode(frame, max_bytes=FRAME_BYTES_MAX)
    except CodecError as error:
        raise PeerProtocolError(f"a frame that is no message: {error}") from None
    if type(plain) is not list or not plain or type(plain[0]) is not int or plain[0] not in _CLASSES:
        raise PeerProtocolError("a message of no known kind")
    cls = _CLASSES[plain[0]]
    fields = _FIELDS[cls]
    if len(plain) != len(fields) + 1:
        raise PeerProtocolError(f"{cls.__name__} with {len(plain) - 1} fields, it has {len(fields)}")
    for value, (name, kind, most) in zip(plain[1:], fields, strict=True):
        if type(value) is not kind or not 0 <= _extent(value) <= most:
            raise PeerProtocolError(f"{cls.__name__}.{name} is not {kind.__name__} of at most {most}")
    return cls(**{name: value for value, (name, _, _) in zip(plain[1:], fields, strict=True)})


def _extent(value: object) -> int:
    match value:
        case int():
            return value
        case str() | bytes():
            return len(value)
    return -1
