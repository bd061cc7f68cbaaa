"""Entry point of the plugin `pricing_fixed`."""
