"""What validators tell each other on the channel CONSENSUS: an engine's messages, and finality statements.

A frame is `[kind, body]` in the chain's CBOR, strict and bounded by the transport's frame. What does not decode costs
the peer its link (`PeerProtocolError`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from attrs import frozen

from photon_core.api import codec, fields
from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.errors import CodecError, LocalProtocolError, PeerProtocolError
from photon_core.api.transport import FRAME_BYTES_MAX

MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX - 16
"""Of an engine: a frame has CBOR's head of the list, the kind and the body's length besides."""


class Kind(IntEnum):
    MESSAGE = 0
    STATEMENT = 1


@frozen(kw_only=True)
class SignedStatement:
    statement: FinalityStatement = fields.record(FinalityStatement)
    signature: StatementSignature = fields.record(StatementSignature)


def message_frame(message: bytes) -> bytes:
    if len(message) > MESSAGE_BYTES_MAX:
        raise LocalProtocolError(f"an engine's message has at most {MESSAGE_BYTES_MAX} bytes, this one {len(message)}")
    return codec.encode([Kind.MESSAGE.value, message])


def statement_frame(statement: FinalityStatement, signature: StatementSignature) -> bytes:
    signed = SignedStatement(statement=statement, signature=signature)
    return codec.encode([Kind.STATEMENT.value, fields.to_plain(signed)])


def decode_frame(frame: bytes) -> bytes | SignedStatement:
    """An engine's message, or a statement. Form only: signatures are still to be verified."""
    try:
        match codec.decode(frame, max_bytes=FRAME_BYTES_MAX, where="consensus"):
            case [kind, _] if type(kind) is not int:
                pass  # False is 0 to Python, and no kind of message
            case [Kind.MESSAGE, bytes() as message]:
                return message
            case [Kind.STATEMENT, body]:
                return fields.from_plain(SignedStatement, body, "consensus.statement")
    except CodecError as error:
        raise PeerProtocolError(f"consensus: {error}") from None
    raise PeerProtocolError("consensus: not a message that this version knows")
