"""Entry point of the plugin `consensus_solo`."""
