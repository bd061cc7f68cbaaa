"""consensus_pbft keeps the contract of its kind."""

from photon_conformance import conformance_of

test_conformance = conformance_of("consensus_pbft")
