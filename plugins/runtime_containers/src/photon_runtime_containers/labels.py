"""Whose a container is, in labels that cannot be made up.

Everybody who may talk to the engine may make containers with any labels, so labels alone prove nothing: a runtime that
believed them could be made to adopt, or to remove, what is not its own. Each of our containers has a `seal`: a keyed
hash over its name and all of its labels. The key never leaves the runtime's home. Engines give a name once, so a
container that copies another's labels has another name, and its seal does not hold. What has no true seal is not seen.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from attrs import frozen

from photon_core.api.fields import HASH_BYTES
from photon_core.api.ids import Hash, InstanceId, LeaseId
from photon_runtime_containers.folder import write_file

PREFIX = "photon."
CHAIN, AGENT, ROLE, LEASE, SERVICE, ORDINAL, SEAL = (
    PREFIX + name for name in ("chain", "agent", "role", "lease", "service", "ordinal", "seal")
)
VERSION, DIGEST, SANDBOX = PREFIX + "manifest-version", PREFIX + "spec-digest", PREFIX + "sandbox"
SEALED = (CHAIN, AGENT, ROLE, LEASE, SERVICE, ORDINAL, VERSION, DIGEST, SANDBOX)
"""Ours, all of them. An engine adds the image's labels to a container's, and an image may have what it likes."""
KEY_FILE = "labels.key"
KEY_BYTES = 32
SERVICE_IN_NAME_MAX = 40
"""Of a container's name, which is for people: who sees it knows what it is of. What is unique in it is at its end."""


class Role(Enum):
    SANDBOX = "sandbox"
    WORKLOAD = "workload"
    PROBE = "probe"
    """Made at start, to see whether all of it works; whatever there is of it later was left by a crash."""


@frozen(kw_only=True)
class Identity:
    """`spec_digest` and `manifest_version` are a workload's; a sandbox is made before there is one. `sandbox` is the id
    of the container whose network a workload joins: that is decided when it is made.
    """

    instance: InstanceId
    role: Role
    spec_digest: str = ""
    manifest_version: Hash = bytes(HASH_BYTES)
    sandbox: str = ""


@frozen(kw_only=True)
class Owner:
    """One agent of one chain; makes labels, and knows its own."""

    chain_id: Hash
    agent: str
    key: bytes

    @property
    def filter(self) -> dict[str, str]:
        """What all of ours have: to ask the engine for them."""
        return {CHAIN: self.chain_id.hex(), AGENT: self.agent}

    def name(self, identity: Identity) -> str:
        """A new one each time, that can be guessed neither before nor after."""
        of = identity.instance
        service = re.sub(r"[^a-zA-Z0-9_.-]", "-", of.service)[:SERVICE_IN_NAME_MAX]
        return f"photon-{of.lease.label}-{service}-{of.ordinal}-{identity.role.value}-{secrets.token_hex(6)}"

    def labels(self, name: str, identity: Identity) -> dict[str, str]:
        of = identity.instance
        plain = {
            **self.filter,
            ROLE: identity.role.value,
            LEASE: str(of.lease),
            SERVICE: of.service,
            ORDINAL: str(of.ordinal),
            VERSION: identity.manifest_version.hex(),
            DIGEST: identity.spec_digest,
            SANDBOX: identity.sandbox,
        }
        return {**plain, SEAL: self._seal(name, plain)}

    def recognise(self, name: str, labels: Mapping[str, str]) -> Identity | None:
        """None for whatever is not ours, or says that it is and is not."""
        ours = {key: labels[key] for key in SEALED if key in labels}
        if any(ours.get(key) != value for key, value in self.filter.items()):
            return None
        if not hmac.compare_digest(self._seal(name, ours).encode(), labels.get(SEAL, "").encode()):
            return None
        instance = instance_of(ours)
        if instance is None:
            return None
        return Identity(
            instance=instance,
            role=Role(ours[ROLE]),
            spec_digest=ours[DIGEST],
            manifest_version=bytes.fromhex(ours[VERSION]),
            sandbox=ours[SANDBOX],
        )

    def _seal(self, name: str, labels: Mapping[str, str]) -> str:
        said = repr((name, sorted(labels.items()))).encode()
        return hashlib.blake2b(said, key=self.key, digest_size=32, person=b"photon-labels").hexdigest()


def owner_of(home: Path, chain_id: Hash, agent: str) -> Owner:
    """With the home's key, which is made the first time. Without that key its containers are strangers."""
    path = home / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:  # none, or torn by a crash in the moment when it was made
        key = secrets.token_bytes(KEY_BYTES)
        write_file(path, key, synced=True)
    return Owner(chain_id=chain_id, agent=agent, key=key)


def instance_of(labels: Mapping[str, str]) -> InstanceId | None:
    """What they say, be it true or not; None where they say nothing that can be read."""
    try:
        return InstanceId(LeaseId.parse(labels[LEASE]), labels[SERVICE], int(labels[ORDINAL]))
    except (KeyError, ValueError):
        return None
