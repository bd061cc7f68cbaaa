"""Whom a node lets in, and as what."""

from __future__ import annotations

from photon_core.api.transport import Channel, Standing
from photon_core.node.reach import admit
from photon_core.peers.requests import no_strangers
from photon_core.testing.node import VALIDATOR_NODE, node_genesis

NAMED, OTHER = b"\x0a" * 32, b"\x0b" * 32
GENESIS = node_genesis()


def test_only_who_is_named_takes_the_places_that_are_kept() -> None:
    assert admit(GENESIS, {NAMED}, NAMED) is Standing.PEER
    assert admit(GENESIS, {NAMED}, OTHER) is Standing.FOLLOWER


def test_a_validator_is_known_by_its_node_key_named_or_not() -> None:
    assert admit(GENESIS, (), VALIDATOR_NODE) is Standing.VALIDATOR
    assert admit(GENESIS, {VALIDATOR_NODE}, VALIDATOR_NODE) is Standing.VALIDATOR
    assert Channel.CONSENSUS not in Standing.PEER.channels | Standing.FOLLOWER.channels


def test_followers_are_served_blocks_as_peers_are() -> None:
    assert Standing.FOLLOWER.channels == Standing.PEER.channels
    assert no_strangers(OTHER, Standing.FOLLOWER)
    assert not no_strangers(OTHER, Standing.STRANGER)
