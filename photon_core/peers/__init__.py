"""Requests and streams between nodes, over a transport's links.

`streams` is the wire format and the state of every request on one channel of one link, without IO; `requests` puts it
on trio and a `Transport`; `limits` says how much a peer may ask for.
"""

from .errors import CallTimeout, LinkLost, PeersError, Refusal, RemoteError
from .limits import PeersLimits
from .requests import Items, Peers

__all__ = ["CallTimeout", "Items", "LinkLost", "Peers", "PeersError", "PeersLimits", "Refusal", "RemoteError"]
