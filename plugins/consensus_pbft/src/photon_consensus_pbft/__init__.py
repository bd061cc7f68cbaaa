"""Photon consensus plugin `consensus_pbft`: PBFT on a chain of blocks."""
