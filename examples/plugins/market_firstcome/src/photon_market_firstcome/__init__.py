"""Photon market plugin `market_firstcome`: the first valid bid wins, whatever it costs up to the group's limit."""
