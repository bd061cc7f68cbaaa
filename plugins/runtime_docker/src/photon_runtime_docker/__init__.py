"""Photon runtime plugin `runtime_docker`: workloads as containers of a Docker engine on this machine."""
