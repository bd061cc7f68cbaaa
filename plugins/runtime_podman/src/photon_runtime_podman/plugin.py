"""Entry point of the plugin `runtime_podman`."""
