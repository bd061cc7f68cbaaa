"""Photon's core: the contract of its plugins, the chain, the market, and the programs of tenants and providers."""

__version__ = "0.1.0"
