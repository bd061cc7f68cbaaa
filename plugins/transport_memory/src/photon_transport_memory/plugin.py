"""Entry point of the plugin `transport_memory`."""
