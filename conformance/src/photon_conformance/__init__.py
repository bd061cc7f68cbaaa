"""The pytest layer over `photon_core.testing`, for plugins of Photon and of third parties."""
