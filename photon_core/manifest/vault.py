"""The tenant's manifests on disk. They hold the environment of every service, and the salts that nobody else has.

    home/manifests/<chain>/new-<version>.cbor     written before CreateDeployment is sent, so that a crash loses nothing
    home/manifests/<chain>/<deployment>.cbor      renamed when the chain has given the deployment its number
    home/manifests/<chain>/update-<deployment>-<version>.cbor
                                                  written before UpdateDeployment is sent; takes the place of the
                                                  deployment's own once the chain has that version

So at every moment each version that the chain has, or may yet come to have, is here. `<chain>` is the beginning of the
chain id: deployments of two networks have the same numbers. Files are 0600 in folders of 0700, replaced atomically, and
checked against their own hashes whenever they are read.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from photon_core.api import codec
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.ids import Hash
from photon_core.chain.files import sync_folder, write_atomically
from photon_core.exchange.messages import GROUPS_MAX

from .records import SECTION_BYTES_MAX
from .versions import Manifest, inconsistencies

FILE_BYTES_MAX = GROUPS_MAX * (SECTION_BYTES_MAX + 65_536)
CHAIN_CHARS = 16
UPDATES_MAX = 8
"""Of one deployment, kept before they were sent and never seen on chain: the newest. An update that was interrupted is
sent again when it is asked for again, so there is one, or a few by people who changed their minds.
"""
_NEW, _UPDATE = "new-", "update-"


class Vault:
    """Blocking: small files. One chain's manifests of one home."""

    def __init__(self, home: Path, chain_id: Hash) -> None:
        self._chain_id = chain_id
        self._folder = home / "manifests" / chain_id.hex()[:CHAIN_CHARS]

    @property
    def folder(self) -> Path:
        """Where they are; not there before the first is kept."""
        return self._folder

    def keep_new(self, manifest: Manifest) -> None:
        """Before the deployment has a number: found again by its version."""
        self._write(self._new_path(manifest.version), manifest)

    def assign(self, version: Hash, deployment: int) -> None:
        """The chain gave this number to what was kept as new. Nothing happens when that was done before."""
        try:
            self._new_path(version).replace(self._path(deployment))
        except FileNotFoundError:  # also when client and keeper do it at the same moment
            return
        sync_folder(self._folder)

    def keep_update(self, deployment: int, manifest: Manifest) -> None:
        """Beside the one that the deployment has: which of both counts is the chain's to say."""
        self._write(self._update_path(deployment, manifest.version), manifest)
        for path in self._update_paths(deployment)[:-UPDATES_MAX]:
            path.unlink(missing_ok=True)

    def updates(self, deployment: int) -> tuple[Manifest, ...]:
        """Those that were kept before they were sent and have not taken their place, the oldest first."""
        found = (self._read(path) for path in self._update_paths(deployment))
        return tuple(manifest for manifest in found if manifest is not None)

    def forget_update(self, deployment: int, version: Hash) -> None:
        """The chain refused it."""
        self._update_path(deployment, version).unlink(missing_ok=True)

    def at_version(self, deployment: int, version: Hash) -> Manifest | None:
        """The deployment's manifest of the version that the chain has; None when it is not kept here. An update with
        that version takes its place.
        """
        try:
            self._update_path(deployment, version).replace(self._path(deployment))
            sync_folder(self._folder)
        except FileNotFoundError:  # no update of this version, or client and keeper do it at the same moment
            pass
        manifest = self.get(deployment)
        return manifest if manifest is not None and manifest.version == version else None

    def put(self, deployment: int, manifest: Manifest) -> None:
        self._write(self._path(deployment), manifest)

    def get(self, deployment: int) -> Manifest | None:
        return self._read(self._path(deployment))

    def get_new(self, version: Hash) -> Manifest | None:
        return self._read(self._new_path(version))

    def deployments(self) -> tuple[int, ...]:
        """The numbers of those that are kept, in order."""
        stems = {path.stem for path in self._folder.glob("*.cbor")}
        stems |= {stem.removeprefix(_UPDATE).partition("-")[0] for stem in stems if stem.startswith(_UPDATE)}
        return tuple(sorted(int(stem) for stem in stems if stem.isdecimal()))

    def new_versions(self) -> tuple[Hash, ...]:
        """Of those that never got a number, or whose number was never heard of."""
        stems = (path.stem.removeprefix(_NEW) for path in self._folder.glob(f"{_NEW}*.cbor"))
        return tuple(sorted(bytes.fromhex(stem) for stem in stems))

    def forget(self, deployment: int) -> None:
        """Its secrets are gone from here; idempotent."""
        for path in (self._path(deployment), *self._update_paths(deployment)):
            path.unlink(missing_ok=True)

    def forget_new(self, version: Hash) -> None:
        self._new_path(version).unlink(missing_ok=True)

    def _path(self, deployment: int) -> Path:
        return self._folder / f"{deployment}.cbor"

    def _new_path(self, version: Hash) -> Path:
        return self._folder / f"{_NEW}{version.hex()}.cbor"

    def _update_path(self, deployment: int, version: Hash) -> Path:
        return self._folder / f"{_UPDATE}{deployment}-{version.hex()}.cbor"

    def _update_paths(self, deployment: int) -> list[Path]:
        """The oldest first."""
        aged = []
        for path in self._folder.glob(f"{_UPDATE}{deployment}-*.cbor"):
            with suppress(FileNotFoundError):  # it has taken its place meanwhile
                aged.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(aged)]

    def _write(self, path: Path, manifest: Manifest) -> None:
        if manifest.chain_id != self._chain_id:
            raise ValueError("a manifest of another chain")
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, codec.encode_record(manifest), 0o600)

    def _read(self, path: Path) -> Manifest | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        try:
            manifest = codec.decode_record(Manifest, data, FILE_BYTES_MAX)
        except CodecError as error:
            raise self._damaged(path, str(error)) from None
        problems = inconsistencies(manifest)
        if manifest.chain_id != self._chain_id:
            problems = (*problems, "it belongs to another chain")
        if problems:
            raise self._damaged(path, "; ".join(problems))
        return manifest

    def _damaged(self, path: Path, found: str) -> PhotonError:
        return PhotonError(
            code="damaged-manifest",
            where=str(path),
            what="a kept manifest cannot be used",
            found=found[:400],
            remedy="restore the file from a backup, or close the deployment and create it again from its file",
        )
