"""A node's HTTP API: one file for each room of it, `app.py` for what they share. (Plugins' contract is `photon_core.api`.)"""
