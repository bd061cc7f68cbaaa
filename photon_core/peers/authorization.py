"""Who may ask a provider about a lease: a paper that the tenant's account signed for one caller.

Theory of operation
-------------------
A link proves the caller's node key and nothing else. What makes a caller the tenant, or somebody whom the tenant sent,
is a `SignedAuthorization`: the owner's account key says that this node key may do these things at this provider with
this deployment (0: with all of mine) until then; or at every provider. A tenant signs one for the key of its own
process; a keeper holds one that was signed for its node key. Nothing in it is secret: it is worth nothing to anybody
else, since the caller must come over a link of that node key.

Checked against four things that the caller cannot choose: the link's peer, the provider's own name, the owner of the
deployment on chain, and the provider's clock. `check_authorization` names the first that does not fit.
"""

from __future__ import annotations

from enum import IntFlag

from attrs import evolve, frozen

from photon_core.api import fields
from photon_core.api.bech32m import encode_address
from photon_core.api.codec import encode_record
from photon_core.api.errors import PhotonError
from photon_core.api.fields import ADDRESS_BYTES
from photon_core.api.hashing import Domain
from photon_core.api.ids import Address, Hash, NodeKey
from photon_core.chain.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, address_of, verify

EVERY_DEPLOYMENT = 0
"""In place of a deployment's number, which begin at 1."""
EVERY_PROVIDER: Address = bytes(ADDRESS_BYTES)
"""In place of a provider's address: a keeper does not know who will win. The paper still holds for its caller only."""


class Scope(IntFlag):
    """What the caller may do; a paper may carry several."""

    DELIVER = 1
    STATUS = 2
    LOGS = 4
    EXEC = 8


EVERYTHING = Scope.DELIVER | Scope.STATUS | Scope.LOGS | Scope.EXEC
_SCOPES = evolve(fields.uint_form(int(EVERYTHING)), to_plain=int, to_json=int)
"""A number on the wire, also when it was made of `Scope`s."""


@frozen(kw_only=True)
class Authorization:
    """`expires_ms` is Unix time. `scopes` is a sum of `Scope`."""

    chain_id: Hash = fields.hash32()
    owner_key: bytes = fields.blob(PUBLIC_KEY_BYTES)
    caller: NodeKey = fields.blob(PUBLIC_KEY_BYTES)
    provider: Address = fields.address()
    deployment: int = fields.uint()
    scopes: int = fields.of(_SCOPES)
    expires_ms: int = fields.uint()


@frozen(kw_only=True)
class SignedAuthorization:
    authorization: Authorization = fields.record(Authorization)
    signature: bytes = fields.blob(SIGNATURE_BYTES)


class NotAuthorized(PhotonError):
    """The caller may not do it; `code` says which of the checks failed."""


def sign_authorization(key: SigningKey, authorization: Authorization) -> SignedAuthorization:
    """`key` is the owner's account key; ValueError when it is another one than the authorization names."""
    if key.public != authorization.owner_key:
        raise ValueError("an authorization is signed with the key of the owner that it names")
    signature = key.sign(Domain.DELEGATION, authorization.chain_id, encode_record(authorization))
    return SignedAuthorization(authorization=authorization, signature=signature)


@frozen(kw_only=True)
class Demand:
    """What a request needs, as the provider sees it: `owner` is the deployment's on chain, `caller` the link's peer."""

    chain_id: Hash
    caller: NodeKey
    provider: Address
    deployment: int
    owner: Address
    scope: Scope
    now_ms: int


def check_authorization(signed: SignedAuthorization, demand: Demand) -> None:
    """NotAuthorized unless the paper covers the demand. The signature is checked last: the rest costs nothing."""
    paper = signed.authorization
    if paper.chain_id != demand.chain_id:
        raise _refusal(
            "wrong-chain", "the authorization is for another chain", demand.chain_id.hex(), paper.chain_id.hex()
        )
    if paper.caller != demand.caller:
        raise _refusal(
            "wrong-caller", "the authorization is for another caller", paper.caller.hex(), demand.caller.hex()
        )
    if paper.provider not in (EVERY_PROVIDER, demand.provider):
        raise _refusal(
            "wrong-provider",
            "the authorization is for another provider",
            encode_address(demand.provider),
            encode_address(paper.provider),
        )
    if (owner := address_of(paper.owner_key)) != demand.owner:
        raise _refusal(
            "not-your-lease",
            f"deployment {demand.deployment} belongs to another account",
            f"an authorization of {encode_address(demand.owner)}",
            f"one of {encode_address(owner)}",
        )
    if paper.deployment not in (EVERY_DEPLOYMENT, demand.deployment):
        raise _refusal(
            "wrong-deployment",
            "the authorization is for another deployment",
            str(demand.deployment),
            str(paper.deployment),
        )
    if not paper.scopes & demand.scope:
        raise _refusal(
            "out-of-scope",
            "the authorization does not cover this",
            str(demand.scope.name).lower(),
            ", ".join(str(scope.name).lower() for scope in Scope if scope & paper.scopes) or "nothing",
        )
    if demand.now_ms >= paper.expires_ms:
        raise _refusal(
            "expired",
            "the authorization has expired",
            f"one that lasts beyond {demand.now_ms} (Unix ms)",
            f"one until {paper.expires_ms}",
        )
    if not verify(paper.owner_key, Domain.DELEGATION, paper.chain_id, encode_record(paper), signed.signature):
        raise _refusal("bad-signature", "the authorization's signature is not the owner's")


def _refusal(code: str, what: str, expected: str = "", found: str = "") -> NotAuthorized:
    return NotAuthorized(
        code=code,
        what=what,
        expected=expected,
        found=found,
        exit_code=4,
        remedy="the deployment's owner signs an authorization for the caller's node key, this provider and this chain",
    )
