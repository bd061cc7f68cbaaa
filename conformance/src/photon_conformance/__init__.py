"""The pytest layer over `photon_core.testing`, for plugins of Photon and of third parties.

A plugin's whole conformance test, one test for each clause of its kind's contract:

    from photon_conformance import conformance_of

    test_conformance = conformance_of("market_prompt")
"""

from photon_conformance.tests import conformance_of

__all__ = ["conformance_of"]
