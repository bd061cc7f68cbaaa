"""Photon market plugin `market_posted`: the first valid bid at or under the posted price wins."""
