"""Whom a node lets in, and as what."""

from __future__ import annotations

from photon_core.api.transport import Standing
from photon_core.node.service import _admit
from photon_core.peers.requests import no_strangers

NAMED, OTHER = b"\x01" * 32, b"\x02" * 32


def test_only_who_is_named_takes_the_places_that_are_kept() -> None:
    configured = frozenset({NAMED})
    assert _admit(configured, NAMED) is Standing.PEER
    assert _admit(configured, OTHER) is Standing.FOLLOWER


def test_followers_are_served_blocks_as_peers_are() -> None:
    assert Standing.FOLLOWER.channels == Standing.PEER.channels
    assert no_strangers(OTHER, Standing.FOLLOWER)
    assert not no_strangers(OTHER, Standing.STRANGER)
