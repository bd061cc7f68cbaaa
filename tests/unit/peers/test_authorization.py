"""A paper that does not fit in one thing is refused for that thing; so is every forged one."""

import pytest
from attrs import evolve

from photon_core.api import fields
from photon_core.chain.keys import KeyPurpose, generate
from photon_core.peers.authorization import (
    EVERY_DEPLOYMENT,
    EVERY_PROVIDER,
    Authorization,
    Demand,
    NotAuthorized,
    Scope,
    SignedAuthorization,
    check_authorization,
    sign_authorization,
)

CHAIN, OTHER_CHAIN = bytes(32), bytes([1]) * 32
OWNER, STRANGER = generate(KeyPurpose.ACCOUNT), generate(KeyPurpose.ACCOUNT)
CALLER, OTHER_CALLER = bytes([2]) * 32, bytes([3]) * 32
PROVIDER, OTHER_PROVIDER = bytes([4]) * 20, bytes([5]) * 20

PAPER = Authorization(
    chain_id=CHAIN,
    owner_key=OWNER.public,
    caller=CALLER,
    provider=PROVIDER,
    deployment=7,
    scopes=Scope.STATUS | Scope.LOGS,
    expires_ms=1000,
)
DEMAND = Demand(
    chain_id=CHAIN, caller=CALLER, provider=PROVIDER, deployment=7, owner=OWNER.address, scope=Scope.LOGS, now_ms=999
)


def test_fitting_paper_is_accepted_also_after_the_wire():
    signed = sign_authorization(OWNER, PAPER)
    check_authorization(signed, DEMAND)
    check_authorization(fields.from_plain(SignedAuthorization, fields.to_plain(signed)), DEMAND)


@pytest.mark.parametrize(
    "paper",
    [evolve(PAPER, deployment=EVERY_DEPLOYMENT), evolve(PAPER, provider=EVERY_PROVIDER)],
    ids=["all", "anywhere"],
)
def test_wider_papers_hold(paper):
    check_authorization(sign_authorization(OWNER, paper), DEMAND)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong-chain", {"chain_id": OTHER_CHAIN}),
        ("wrong-caller", {"caller": OTHER_CALLER}),
        ("wrong-provider", {"provider": OTHER_PROVIDER}),
        ("wrong-deployment", {"deployment": 8}),
        ("out-of-scope", {"scope": Scope.DELIVER}),
        ("not-your-lease", {"owner": STRANGER.address}),
        ("expired", {"now_ms": 1000}),
    ],
)
def test_refusal_names_what_does_not_fit(code, changes):
    with pytest.raises(NotAuthorized) as caught:
        check_authorization(sign_authorization(OWNER, PAPER), evolve(DEMAND, **changes))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "changes", [{"expires_ms": 10**9}, {"scopes": 15}, {"deployment": EVERY_DEPLOYMENT}, {"provider": EVERY_PROVIDER}]
)
def test_paper_that_was_changed_after_signing_is_worth_nothing(changes):
    signed = sign_authorization(OWNER, PAPER)
    with pytest.raises(NotAuthorized) as caught:
        check_authorization(evolve(signed, authorization=evolve(PAPER, **changes)), DEMAND)
    assert caught.value.code == "bad-signature"


def test_stranger_cannot_sign_in_the_owners_name():
    with pytest.raises(ValueError, match="owner"):
        sign_authorization(STRANGER, PAPER)
    forged = sign_authorization(STRANGER, evolve(PAPER, owner_key=STRANGER.public))
    with pytest.raises(NotAuthorized) as caught:
        check_authorization(evolve(forged, authorization=PAPER), DEMAND)
    assert caught.value.code == "bad-signature"
