"""Photon consensus plugin `consensus_solo`: one validator that orders and commits alone, for development."""
