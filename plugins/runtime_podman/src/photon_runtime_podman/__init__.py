"""Photon runtime plugin `runtime_podman`: workloads as containers of a rootful Podman on this machine."""
