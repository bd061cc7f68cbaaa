"""Every clause of the contract of runtime plugins, put to this one."""

from photon_conformance import conformance_of

test_conformance = conformance_of("runtime_process")
