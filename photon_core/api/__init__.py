"""The contract: records that cross a seam, and one module for each kind of plugin.

Plugins import this package, `photon_core.hooks` and `photon_core.testing`, and nothing else of core. Nothing here does
IO, and nothing here imports the rest of core.
"""
