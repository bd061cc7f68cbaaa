"""The manifest sections that this agent was given: checked against the chain, kept on disk, readable by nobody else.

One file per lease, `<lease>.cbor`, 0600, replaced atomically: [salt, section bytes, hash]. What is on disk is believed
no more than what comes over a link: it is checked again when it is read, and a file that does not fit is set aside as
`.bad`. The hash is the one that stood on chain when the section came. After an update of the deployment another stands
there, and the section is still the one to run until the new one is delivered (`docs/adr/0029`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from attrs import evolve, frozen

from photon_core.api import codec
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.ids import Hash, LeaseId
from photon_core.chain.files import write_atomically
from photon_core.exchange.records import GroupSpec
from photon_core.manifest.records import SECTION_BYTES_MAX, Section
from photon_core.manifest.sections import decode_section, mismatches
from photon_core.manifest.versions import section_hash
from photon_core.peers.methods import SALT_BYTES, RefusalCode

FILE_BYTES_MAX = SECTION_BYTES_MAX + 1024


class SectionRefused(PhotonError):
    """It is not what the chain says, or asks for what was not ordered. `code` is a `RefusalCode`."""


@frozen(kw_only=True)
class Held:
    """`hash` is the one that stood on chain when it was delivered: not the group's any more once that was updated."""

    salt: bytes
    raw: bytes
    section: Section
    hash: Hash


def check_section(chain_id: Hash, spec: GroupSpec, salt: bytes, raw: bytes) -> Held:
    """The section in `raw`, which is the one on chain and asks for exactly what the group ordered."""
    if len(raw) > SECTION_BYTES_MAX:
        raise SectionRefused(
            code=RefusalCode.TOO_LARGE,
            what="the section is too large",
            expected=f"at most {SECTION_BYTES_MAX} bytes",
            found=f"{len(raw)} bytes",
        )
    if (found := section_hash(chain_id, salt, raw)) != spec.section_hash:
        raise SectionRefused(
            code=RefusalCode.WRONG_VERSION,
            what="this section is not the one whose hash stands on chain",
            expected=spec.section_hash.hex(),
            found=found.hex(),
            remedy="deliver the section of the deployment's newest version, with its salt",
        )
    return Held(salt=salt, raw=raw, section=_fitting(spec, raw), hash=found)


def _fitting(spec: GroupSpec, raw: bytes) -> Section:
    try:
        section = decode_section(raw)
    except CodecError as error:
        raise SectionRefused(code=RefusalCode.UNFIT_SECTION, what=f"the section cannot be read: {error}") from None
    if problems := mismatches(section, spec.units):
        raise SectionRefused(
            code=RefusalCode.UNFIT_SECTION,
            what="; ".join(map(str, problems))[:400],
            remedy="the group on chain and its section come out of one file: create the deployment anew",
        )
    return section


class SectionStore:
    """Blocking; small files, called in threads by the agent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, lease: LeaseId, held: Held) -> None:
        write_atomically(self._path(lease), codec.encode([held.salt, held.raw, held.hash]), 0o600)

    def get(self, lease: LeaseId, chain_id: Hash, spec: GroupSpec) -> Held | None:
        """None when there is none, or none that fits what was ordered: the section on chain, or an earlier one that
        was on chain when it came.
        """
        path = self._path(lease)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            plain = codec.decode(data, max_bytes=FILE_BYTES_MAX, where=str(path))
            salt, raw, hash_ = _parts(plain, str(path))
            return check_section(chain_id, evolve(spec, section_hash=hash_ or spec.section_hash), salt, raw)
        except (CodecError, SectionRefused):
            path.replace(path.with_suffix(".bad"))
            return None

    def forget(self, lease: LeaseId) -> None:
        self._path(lease).unlink(missing_ok=True)
        self._path(lease).with_suffix(".bad").unlink(missing_ok=True)

    def leases(self) -> tuple[LeaseId, ...]:
        """Of every file here whose name is one of ours; what else lies in the folder is none of our business."""
        found = []
        for path in self._folder.glob("*.cbor"):
            with suppress(ValueError):
                found.append(LeaseId.parse(path.stem))
        return tuple(sorted(found))

    def _path(self, lease: LeaseId) -> Path:
        return self._folder / f"{lease.label}.cbor"


def _parts(plain: object, where: str) -> tuple[bytes, bytes, Hash]:
    """A file of an agent that knew no updates has no hash: then it can only be the section on chain."""
    match plain:
        case [bytes(salt), bytes(raw)] if len(salt) == SALT_BYTES:
            return salt, raw, b""
        case [bytes(salt), bytes(raw), bytes(hash_)] if len(salt) == SALT_BYTES:
            return salt, raw, hash_
        case _:
            raise CodecError(where, "[salt, section, hash]", type(plain).__name__)
