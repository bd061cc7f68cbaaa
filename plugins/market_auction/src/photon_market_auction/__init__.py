"""Photon market plugin `market_auction`: open bids, the lowest price wins when the window ends."""
