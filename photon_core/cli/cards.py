"""A validator's card: the public half of its folder, which its operator sends to whoever writes the genesis.

It holds nothing secret. What it says is bound together by the genesis that it goes into, so whoever receives a card has
to know that it comes from that operator; `photon genesis show` lets each of them check the outcome.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import tomli_w
from attrs import frozen

from photon_core.api import fields
from photon_core.api.errors import CodecError, UsageError
from photon_core.api.fields import from_json, to_json
from photon_core.api.ids import Address, ConsensusKey, Hash, NodeKey
from photon_core.chain.files import write_atomically
from photon_core.chain.genesis import GenesisValidator
from photon_core.node.config import parse_peer
from photon_core.plugins.config import read_table

CARD_FILE = "card.toml"
CARD_BYTES_MAX = 16 * 1024
"""Sixteen addresses and the keys fit many times over; anything larger is another file."""
ADDRESSES_MAX = 16
POWER_MAX = 2**53
"""As the field of genesis has it."""
PEERS_BYTES_MAX = 2**20
"""All validators that a chain can have, each with all its addresses, fit."""


@frozen(kw_only=True)
class ValidatorCard:
    """`addresses` are where peers can dial it; without any it dials, and nobody can dial it."""

    name: str = fields.text(64)
    consensus_key: ConsensusKey = fields.blob(32)
    node_key: NodeKey = fields.blob(32)
    payee: Address = fields.address()
    addresses: tuple[str, ...] = fields.listof(fields.text_form(256), ADDRESSES_MAX, 0, ())

    def in_genesis(self, power: int = 1) -> GenesisValidator:
        return GenesisValidator(key=self.consensus_key, node_key=self.node_key, power=power, payee=self.payee)


@frozen(kw_only=True)
class PeersFile:
    """`<node key in hex>@<address>`, as in a node's configuration."""

    peers: tuple[str, ...]


def card_to_toml(card: ValidatorCard) -> str:
    return f"# A validator's public card, for `photon genesis create --validator`.\n{tomli_w.dumps(to_json(card))}"


def write_card(card: ValidatorCard, file: Path) -> None:
    write_atomically(file, card_to_toml(card).encode(), mode=0o644)


def read_card(file: Path) -> ValidatorCard:
    """UsageError when it is no card."""
    try:
        with file.open("rb") as opened:
            body = opened.read(CARD_BYTES_MAX + 1)
        if len(body) > CARD_BYTES_MAX:
            raise _no_card(file, f"it has more than {CARD_BYTES_MAX} bytes")
        return from_json(ValidatorCard, tomllib.loads(body.decode()), "card")
    except OSError as error:
        raise _no_card(file, f"it cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, CodecError) as error:
        raise _no_card(file, str(error)) from None


def _no_card(file: Path, why: str) -> UsageError:
    return UsageError(
        code="bad-card",
        where=str(file),
        what=f"this is no validator's card: {why}",
        remedy="`photon validator init` writes one, HOME/card.toml; ask its operator for it.",
    )


def validators_of(cards: Sequence[ValidatorCard], powers: Sequence[str]) -> list[GenesisValidator]:
    """`powers` are `<name on a card>=<number>`; who is not in them has 1. UsageError for one that fits no card."""
    by_name = Counter(card.name for card in cards)
    power_of = dict.fromkeys(by_name, 1)
    for text in powers:
        name, _, number = text.rpartition("=")
        if by_name[name] != 1 or not number.isascii() or not number.isdigit() or not 0 < int(number) <= POWER_MAX:
            raise UsageError(
                code="bad-option",
                where="--power",
                what=f"{text!r} gives no validator a power",
                expected=f"NAME=NUMBER, a name that one card has, and 1 to {POWER_MAX}",
                found=f"cards of {', '.join(sorted(by_name.elements()))}",
            )
        power_of[name] = int(number)
    return [card.in_genesis(power_of[card.name]) for card in cards]


# --- where a chain's validators are reached --------------------------------------------------------------------------


def peers_file_of(genesis: Path) -> Path:
    """Beside the genesis, not in it: an address may change, the chain does not."""
    return genesis.with_name(f"{genesis.stem}.peers.toml")


def peers_to_toml(cards: Sequence[ValidatorCard], chain: Hash) -> str:
    peers = [f"{card.node_key.hex()}@{address}" for card in cards for address in card.addresses]
    return f"# Where the validators of chain {chain.hex()} are reached.\n{tomli_w.dumps({'peers': peers})}"


def write_peers(cards: Sequence[ValidatorCard], chain: Hash, file: Path) -> None:
    write_atomically(file, peers_to_toml(cards, chain).encode(), mode=0o644)


def read_peers(file: Path) -> tuple[str, ...]:
    """Lines for `[node] peers`. UsageError when it is no such file."""
    remedy = "`photon genesis create` writes this file beside the genesis."
    try:
        with file.open("rb") as opened:
            body = opened.read(PEERS_BYTES_MAX + 1)
        if len(body) > PEERS_BYTES_MAX:
            raise UsageError(
                code="bad-peers", where=str(file), what=f"it has more than {PEERS_BYTES_MAX} bytes", remedy=remedy
            )
        settings = read_table(PeersFile, tomllib.loads(body.decode()), str(file))
    except OSError as error:
        raise UsageError(
            code="bad-peers", where=str(file), what=f"it cannot be read: {error.strerror}", remedy=remedy
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(code="bad-peers", where=str(file), what=f"this is not TOML: {error}", remedy=remedy) from None
    for peer in settings.peers:
        parse_peer(peer)
    return settings.peers
