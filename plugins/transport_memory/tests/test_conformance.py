"""The plugin keeps every promise of its kind."""

from photon_conformance import conformance_of

test_conformance = conformance_of("transport_memory")
