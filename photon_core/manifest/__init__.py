"""Sections of a manifest, their versions, sealing and delivery."""
