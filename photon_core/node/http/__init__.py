"""A node's HTTP API: a file for each room, `app.py` for what they share. (Plugins' contract is `photon_core/api`.)"""
