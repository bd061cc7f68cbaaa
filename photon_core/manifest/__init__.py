"""Sections of a manifest, their versions and sealing, and the tenant's vault of them; delivery is the tenant's."""
