"""The authorizations that go with every request to a provider: signed on the spot, or signed before and kept.

    home/delegations/<chain>/<owner>.cbor    the owner's account key lets the keeper's node key deliver and ask

A delegation is for every deployment of its owner and every provider: it is signed before a deployment has a number and
before anybody knows who wins, so a crash in between leaves nothing that a keeper could not deliver. It is no secret:
it holds for calls over a link of that node key only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from photon_core.api import bech32m, codec
from photon_core.api.errors import CodecError, ExitCode, PhotonError
from photon_core.api.ids import Address, Hash, NodeKey
from photon_core.chain.files import write_atomically
from photon_core.chain.keys import SigningKey, address_of
from photon_core.manifest.vault import CHAIN_CHARS
from photon_core.peers.authorization import (
    EVERY_DEPLOYMENT,
    EVERY_PROVIDER,
    Authorization,
    Scope,
    SignedAuthorization,
    sign_authorization,
)

from .errors import not_yours

OWN_LIFETIME_MS = 3_600_000
"""Of a paper that is signed for one request: long enough for clocks that differ by minutes."""
DELEGATION_LIFETIME_MS = 90 * 24 * 3_600_000
"""Every `photon deploy` begins it anew once half is over."""
PAPER_BYTES_MAX = 4_096
KEEPER_SCOPES = Scope.DELIVER | Scope.STATUS

Clock = Callable[[], int]


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Papers(Protocol):
    """Who gives the authorization for one request."""

    def paper(self, *, owner: Address, provider: Address, deployment: int, scope: Scope) -> SignedAuthorization:
        """For one kind of request. PhotonError when there is none for this owner."""
        ...


class OwnPapers:
    """Of a tenant whose account key is unlocked: one paper per request, for this process's own node key."""

    def __init__(self, key: SigningKey, *, chain_id: Hash, caller: NodeKey, now_ms: Clock = unix_ms) -> None:
        self._key, self._chain_id, self._caller, self._now_ms = key, chain_id, caller, now_ms

    def paper(self, *, owner: Address, provider: Address, deployment: int, scope: Scope) -> SignedAuthorization:
        if owner != self._key.address:
            raise not_yours(deployment, owner=owner, account=self._key.address)
        return sign_authorization(
            self._key,
            Authorization(
                chain_id=self._chain_id,
                owner_key=self._key.public,
                caller=self._caller,
                provider=provider,
                deployment=deployment,
                scopes=int(scope),
                expires_ms=self._now_ms() + OWN_LIFETIME_MS,
            ),
        )


class KeptPapers:
    """The delegations of a home, for its keeper's node key. Read anew each time: files come and are replaced."""

    def __init__(self, home: Path, *, chain_id: Hash, caller: NodeKey, now_ms: Clock = unix_ms) -> None:
        self._folder = home / "delegations" / chain_id.hex()[:CHAIN_CHARS]
        self._chain_id, self._caller, self._now_ms = chain_id, caller, now_ms

    def paper(self, *, owner: Address, provider: Address, deployment: int, scope: Scope) -> SignedAuthorization:  # noqa: ARG002  # as Papers has it
        paper = self.find(owner)
        if paper is None:
            raise PhotonError(
                code="no-delegation",
                what=f"the owner of deployment {deployment} has not sent this keeper",
                where=str(self._path(owner)),
                remedy="run `photon serve grant` with the owner's key",
                exit_code=ExitCode.REFUSED,
            )
        return paper

    def find(self, owner: Address) -> SignedAuthorization | None:
        """The owner's delegation, if it is for this keeper and has not expired."""
        path = self._path(owner)
        try:
            paper = codec.decode_record(SignedAuthorization, path.read_bytes(), PAPER_BYTES_MAX)
        except FileNotFoundError:
            return None
        except CodecError as error:
            raise PhotonError(
                code="damaged-delegation",
                what="this is no delegation",
                where=str(path),
                found=str(error),
                remedy="delete the file and run `photon serve grant`",
            ) from None
        terms = paper.authorization
        fits = terms.caller == self._caller and terms.chain_id == self._chain_id
        return paper if fits and terms.expires_ms > self._now_ms() else None

    def owners(self) -> tuple[Address, ...]:
        """Who has ever sent this home's keeper."""
        return tuple(bech32m.decode_address(path.stem) for path in sorted(self._folder.glob("photon1*.cbor")))

    def grant(self, key: SigningKey, *, anew: bool = False) -> SignedAuthorization:
        """The owner's delegation, signed now unless there is one with more than half of its life left."""
        paper = self.find(key.address) if not anew else None
        if paper is None or paper.authorization.expires_ms < self._now_ms() + DELEGATION_LIFETIME_MS // 2:
            paper = sign_authorization(
                key,
                Authorization(
                    chain_id=self._chain_id,
                    owner_key=key.public,
                    caller=self._caller,
                    provider=EVERY_PROVIDER,
                    deployment=EVERY_DEPLOYMENT,
                    scopes=int(KEEPER_SCOPES),
                    expires_ms=self._now_ms() + DELEGATION_LIFETIME_MS,
                ),
            )
            self.put(paper)
        return paper

    def put(self, paper: SignedAuthorization) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = address_of(paper.authorization.owner_key)
        write_atomically(self._path(owner), codec.encode_record(paper))

    def _path(self, owner: Address) -> Path:
        return self._folder / f"{bech32m.encode_address(owner)}.cbor"
