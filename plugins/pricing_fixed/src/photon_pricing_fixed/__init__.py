"""Photon pricing plugin `pricing_fixed`: one fixed price per instance."""
