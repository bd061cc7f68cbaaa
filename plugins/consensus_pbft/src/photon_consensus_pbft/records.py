"""What survives a crash: the engine's own records, as core keeps and returns them."""

from __future__ import annotations

from attrs import frozen

from photon_core.api import codec, fields
from photon_core.api.chain import Certificate
from photon_core.api.errors import CodecError, LocalProtocolError

from .config import WINDOW_MAX
from .messages import NewView, PreparedProof, ViewChangeStatement

RECORD_BYTES_MAX = 512 * 1024
"""A NEW-VIEW, the largest, fits in a frame of half of that."""


@frozen(kw_only=True)
class PendingView:
    """The own view change, with all that its message needs but the signature, which the signer gives again."""

    statement: ViewChangeStatement = fields.record(ViewChangeStatement)
    certificate: Certificate | None = fields.optional(fields.record_form(Certificate))
    proofs: tuple[PreparedProof, ...] = fields.listof(fields.record_form(PreparedProof), WINDOW_MAX)


Record = PreparedProof | PendingView | NewView

_RECORD = fields.union_form("pbft record", {1: PreparedProof, 2: PendingView, 3: NewView})


def encode(record: Record) -> bytes:
    return codec.encode(_RECORD.to_plain(record))


def decode(data: bytes) -> Record:
    try:
        record: Record = _RECORD.from_plain(codec.decode(data, max_bytes=RECORD_BYTES_MAX), "record")
    except CodecError as error:
        raise LocalProtocolError(f"a record of consensus_pbft came back from disk as something else: {error}") from None
    return record
