"""Entry point of the plugin `market_auction`."""
