from photon_core.api.ids import LeaseId
from photon_core.provider.network.claims import Claims, claim_hostnames, from_json, keep_port, retain, to_json, without

FIRST, SECOND = LeaseId(1, 0, 0), LeaseId(2, 0, 0)


def test_hostname_belongs_to_the_first_until_it_is_over():
    claims, refused = claim_hostnames(Claims(), FIRST, ["a.org"])
    assert refused == ()

    claims, refused = claim_hostnames(claims, SECOND, ["a.org", "b.org"])
    assert claims.hostnames == {"a.org": FIRST, "b.org": SECOND}
    assert len(refused) == 1
    assert "a.org" in refused[0]

    claims, refused = claim_hostnames(without(claims, FIRST), SECOND, ["a.org", "b.org"])
    assert claims.hostnames == {"a.org": SECOND, "b.org": SECOND}
    assert refused == ()


def test_what_a_lease_asks_no_longer_is_free():
    claims, _ = claim_hostnames(Claims(), FIRST, ["a.org"])
    claims, _ = claim_hostnames(claims, FIRST, ["b.org"])
    assert claims.hostnames == {"b.org": FIRST}


def test_internal_names_of_others_cannot_be_claimed():
    name = "web.1-0-0.photon.internal"
    claims, refused = claim_hostnames(Claims(), SECOND, [name])
    assert claims.hostnames == {}
    assert len(refused) == 1
    assert claim_hostnames(Claims(), FIRST, [name])[1] == ()


def test_claims_survive_being_written_down():
    claims, _ = claim_hostnames(Claims(), FIRST, ["a.org"])
    claims = keep_port(claims, (FIRST, "web", 9000), 20_001)
    assert from_json(to_json(claims)) == claims
    assert retain(claims, [SECOND]) == Claims()
