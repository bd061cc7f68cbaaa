"""Photon transport plugin `transport_memory`: links inside one process, with seeded latency, loss, reordering and
partitions.
"""
