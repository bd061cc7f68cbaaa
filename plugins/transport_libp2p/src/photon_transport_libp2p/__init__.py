"""Photon transport plugin `transport_libp2p`: links over libp2p: TCP, Noise and Yamux."""
