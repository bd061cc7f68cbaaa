"""Photon runtime plugin `runtime_process`: workloads as processes in namespaces of their own, for development."""
