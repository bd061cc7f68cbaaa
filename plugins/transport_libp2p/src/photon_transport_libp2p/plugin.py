"""Entry point of the plugin `transport_libp2p`."""
