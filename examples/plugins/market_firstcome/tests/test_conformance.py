"""What every market rule promises, put to this one."""

from photon_conformance import conformance_of

test_conformance = conformance_of("market_firstcome")
