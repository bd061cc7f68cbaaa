"""A node: it keeps the chain, follows or makes blocks, talks to peers, and answers over HTTP.

`core.py` decides and does no IO; `driver.py` gives it time, disk and links; `api/` answers over HTTP; `client.py` asks.
"""
