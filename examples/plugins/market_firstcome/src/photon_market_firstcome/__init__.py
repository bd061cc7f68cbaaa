"""Photon market plugin `market_firstcome`: the first bid within the posted price wins, at the posted price."""
