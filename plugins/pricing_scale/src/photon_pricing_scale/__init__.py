"""Photon pricing plugin `pricing_scale`: price by what a group asks for: so much per CPU, memory and disk."""
