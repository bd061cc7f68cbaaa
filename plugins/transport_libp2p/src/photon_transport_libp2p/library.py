"""The parts of libp2p that this plugin is built of, and names for keys in libp2p's terms.

`import libp2p` runs its front page, which loads QUIC, WebRTC, DHT, relays, DNS and mDNS: 2.2 s of CPU (measured,
0.8.1). The parts that a TCP + Noise + Yamux link needs take 1.0 s, so they are imported behind a front page that
loads only when somebody asks it for a name.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from typing import Any


def _put_off_front_page() -> None:
    """Lets `libp2p.x.y` be imported without executing `libp2p/__init__.py`; any name of the front page still works."""
    spec = importlib.util.find_spec("libp2p")
    if "libp2p" in sys.modules or spec is None or spec.loader is None:
        return
    front, loader = importlib.util.module_from_spec(spec), spec.loader

    def load(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        del front.__dict__["__getattr__"]
        loader.exec_module(front)
        return getattr(front, name)

    front.__dict__["__getattr__"] = load
    sys.modules["libp2p"] = front


def _silence() -> None:
    """The library reports whatever peers do to it as errors and warnings, in dozens of lines each; links say it in
    one.
    """
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)


_put_off_front_page()
_silence()
importlib.import_module("libp2p.transport")  # first: libp2p.abc and libp2p.transport import each other

# ruff: noqa: E402
from libp2p.abc import IMuxedConn, IMuxedStream
from libp2p.crypto.ed25519 import create_new_key_pair as key_pair_of_seed
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID as PeerId  # noqa: N811  # an alias, not a constant
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.security_multistream import SecurityMultistream
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from photon_core.api.ids import NodeKey

_ED25519_ID_PREFIX = bytes.fromhex("002408011220")
"""An Ed25519 peer id is the key itself: identity multihash of 36 bytes, protobuf of key type Ed25519 and 32 bytes."""


def peer_id_of(key: NodeKey) -> PeerId:
    return PeerId(_ED25519_ID_PREFIX + key)


def node_key_of(peer_id: PeerId) -> NodeKey | None:
    """None for a peer whose key is not Ed25519: some libp2p peer, but no Photon node."""
    data: bytes = peer_id.to_bytes()
    if len(data) != len(_ED25519_ID_PREFIX) + 32 or not data.startswith(_ED25519_ID_PREFIX):
        return None
    return data[len(_ED25519_ID_PREFIX) :]


__all__ = [
    "NOISE",
    "YAMUX",
    "IMuxedConn",
    "IMuxedStream",
    "Multiselect",
    "MultiselectClient",
    "MultiselectCommunicator",
    "MuxerMultistream",
    "NoiseTransport",
    "PeerId",
    "RawConnection",
    "SecurityMultistream",
    "TProtocol",
    "TrioTCPStream",
    "Yamux",
    "YamuxStream",
    "key_pair_of_seed",
    "new_noise_key_pair",
    "node_key_of",
    "peer_id_of",
]
