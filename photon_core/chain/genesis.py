"""Genesis, the file: people write and read TOML; the chain id is the hash of the record in it.

The file says the same in any order and layout, because what is hashed is the record's canonical bytes. Parameters are
(name, value) pairs here; the exchange knows what they mean and refuses those it does not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import tomli_w
from attrs import evolve, frozen

from photon_core.api import fields
from photon_core.api.bech32m import encode_address
from photon_core.api.chain import VALIDATORS_MAX, Header, Validator, ValidatorSet
from photon_core.api.codec import encode_record
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.fields import U64_MAX, Form, from_json, to_json
from photon_core.api.finality import validators_hash
from photon_core.api.hashing import ZERO_HASH, Domain, digest
from photon_core.api.ids import Address, ConsensusKey, Hash, NodeKey
from photon_core.chain.blocks import transactions_root
from photon_core.chain.files import write_atomically

T = TypeVar("T")

STATE_DEPTHS: Final = (16, 20)
"""Bits of a key's hash that choose its bucket: 2^16 buckets for up to a million records, 2^20 above."""
ACCOUNTS_MAX: Final = 100_000
RULES_MAX: Final = 256
PARAMETERS_MAX: Final = 256
SUPPLY_MAX: Final = 2**63 - 1
"""In uptn. No sum of balances can leave 64 bits later, since nothing is minted."""
GENESIS_FILE_BYTES_MAX: Final = 32 * 2**20
"""100 000 accounts as people write them."""
_REMEDY: Final = "Get the file again from whoever runs this network, and compare the chain id with what they say."


class RuleKind(IntEnum):
    CODEC = 0
    EXCHANGE = 1
    CONSENSUS = 2
    MARKET = 3


def _setting_form() -> Form:
    """A rule's setting: a boolean, an integer or a text."""
    whole, words = fields.uint_form(), fields.text_form(1024)

    def check(value: object, where: str) -> object:
        if type(value) is bool:
            return value
        return words.from_plain(value, where) if type(value) is str else whole.from_plain(value, where)

    return Form("bool|u64|text..1024", lambda value: value, check, lambda value: value, check)


def _pair_form(value: Form) -> Form:
    """(name, value), in JSON and TOML a list of the two; the file shows them as tables."""
    name = fields.text_form(64)

    def read(pair: object, where: str) -> tuple[object, object]:
        if type(pair) is not list or len(pair) != 2:
            raise CodecError(where, "[name, value]", repr(pair)[:80])
        return name.from_plain(pair[0], where), value.from_plain(pair[1], f"{where}.{pair[0]}")

    return Form(f"[text..64, {value.name}]", list, read, list, read)


@frozen(kw_only=True)
class GenesisAccount:
    address: Address = fields.address()
    balance_uptn: int = fields.uint(SUPPLY_MAX, 1)


@frozen(kw_only=True)
class GenesisValidator:
    """`payee` is the account that its fees go to.

    `node_key` is its transport identity: whoever has that key is let in as a validator, and nobody else is.
    """

    key: ConsensusKey = fields.blob(32)
    node_key: NodeKey = fields.blob(32)
    power: int = fields.uint(2**53, 1)
    payee: Address = fields.address()


@frozen(kw_only=True)
class Rule:
    """From `from_height` on, rules of this kind are those of `name` in `version`; `config` is the plugin's."""

    kind: RuleKind = fields.choice(RuleKind)
    from_height: int = fields.uint()
    name: str = fields.text(64)
    version: int = fields.uint(2**32, 1)
    config: tuple[tuple[str, bool | int | str], ...] = fields.listof(_pair_form(_setting_form()), 64, 0, ())


@frozen(kw_only=True)
class Genesis:
    """`allow` names weaknesses that this chain puts up with, such as an engine's `crash-only`."""

    name: str = fields.text(64)
    time_ms: int = fields.uint(2**53)
    state_depth: int = fields.uint(20, 16)
    allow: tuple[str, ...] = fields.listof(fields.text_form(64), 16, 0, ())
    parameters: tuple[tuple[str, int], ...] = fields.listof(_pair_form(fields.uint_form()), PARAMETERS_MAX, 0, ())
    rules: tuple[Rule, ...] = fields.listof(fields.record_form(Rule), RULES_MAX, 1)
    validators: tuple[GenesisValidator, ...] = fields.listof(fields.record_form(GenesisValidator), VALIDATORS_MAX, 1)
    accounts: tuple[GenesisAccount, ...] = fields.listof(fields.record_form(GenesisAccount), ACCOUNTS_MAX)

    @property
    def validator_set(self) -> ValidatorSet:
        return ValidatorSet(validators=tuple(Validator(key=v.key, power=v.power) for v in self.validators))

    @cached_property
    def _by_node_key(self) -> dict[NodeKey, ConsensusKey]:
        return {v.node_key: v.key for v in self.validators}

    def validator_by_node_key(self, node_key: NodeKey) -> ConsensusKey | None:
        """Which validator a peer is, by the key that its link proves. Looked up for every message."""
        return self._by_node_key.get(node_key)

    @property
    def supply_uptn(self) -> int:
        return sum(account.balance_uptn for account in self.accounts)

    def rule_at(self, kind: RuleKind, height: int) -> Rule:
        """The rule of this kind that blocks of `height` go by. LookupError when there is none."""
        valid = [r for r in self.rules if r.kind is kind and r.from_height <= height]
        if not valid:
            raise LookupError(f"genesis of {self.name} has no {kind.name.lower()} rule at height {height}")
        return max(valid, key=lambda r: r.from_height)


def make_genesis(
    *,
    name: str,
    time_ms: int,
    rules: tuple[Rule, ...],
    validators: tuple[GenesisValidator, ...],
    accounts: tuple[GenesisAccount, ...],
    parameters: tuple[tuple[str, int], ...] = (),
    allow: tuple[str, ...] = (),
    state_depth: int = 16,
) -> Genesis:
    """A genesis with everything in its canonical order, checked."""
    genesis = _in_order(
        Genesis(
            name=name,
            time_ms=time_ms,
            state_depth=state_depth,
            allow=allow,
            parameters=parameters,
            rules=rules,
            validators=validators,
            accounts=accounts,
        )
    )
    check_genesis(genesis)
    return genesis


def _in_order(genesis: Genesis) -> Genesis:
    """The same lists in the one order that they are hashed in."""
    return evolve(
        genesis,
        allow=tuple(sorted(genesis.allow)),
        parameters=tuple(sorted(genesis.parameters)),
        rules=tuple(sorted(genesis.rules, key=lambda r: (r.kind, r.from_height))),
        validators=tuple(sorted(genesis.validators, key=lambda v: v.key)),
        accounts=tuple(sorted(genesis.accounts, key=lambda a: a.address)),
    )


def check_genesis(genesis: Genesis) -> None:
    """CodecError for what no single field can see: order, duplicates, missing rules, a supply out of bounds."""
    if genesis.state_depth not in STATE_DEPTHS:
        raise CodecError("Genesis.state_depth", f"one of {STATE_DEPTHS}", str(genesis.state_depth))
    _check_unique("Genesis.allow", genesis.allow)
    _check_unique("Genesis.parameters", [name for name, _ in genesis.parameters])
    _check_unique("Genesis.rules", [(r.kind, r.from_height) for r in genesis.rules])
    _check_unique("Genesis.validators", [v.key.hex() for v in genesis.validators])
    _check_unique("Genesis.accounts", [a.address for a in genesis.accounts], encode_address)
    _check_keys(genesis.validators)
    for kind in (RuleKind.CONSENSUS, RuleKind.MARKET):
        if not any(r.kind is kind and r.from_height == 0 for r in genesis.rules):
            raise CodecError("Genesis.rules", f"a {kind.name.lower()} rule from height 0", "none")
    if not 0 < genesis.supply_uptn <= SUPPLY_MAX:
        raise CodecError(
            "Genesis.accounts", f"1 to {SUPPLY_MAX} uptn together, since none are made later", str(genesis.supply_uptn)
        )
    if sum(v.power for v in genesis.validators) > U64_MAX:
        raise CodecError("Genesis.validators", f"a power of at most {U64_MAX} together", "more")


def _check_keys(validators: Sequence[GenesisValidator]) -> None:
    """One key, one purpose, one validator: who holds a node key speaks for exactly one consensus key."""
    keys = [key.hex() for v in validators for key in (v.key, v.node_key)]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise CodecError(
            "Genesis.validators", "a consensus key and a node key of its own for each", f"{twice[0]} twice"
        )


def _check_unique(where: str, keys: Sequence[T], name: Callable[[T], str] = str) -> None:
    for before, after in pairwise(keys):
        if before == after:
            raise CodecError(where, "each entry once", f"{name(after)} twice")
        if before > after:  # type: ignore[operator]  # bytes, texts, or tuples of a kind and a height
            raise CodecError(where, "entries in ascending order", f"{name(after)} after {name(before)}")


def chain_id(genesis: Genesis) -> Hash:
    return digest(Domain.GENESIS, encode_record(genesis))


def genesis_header(genesis: Genesis) -> Header:
    """The parent of block 1: height 0, no transactions, no proposer. Its parent is the chain id."""
    return Header(
        height=0,
        time_ms=genesis.time_ms,
        parent=chain_id(genesis),
        transactions_root=transactions_root([]),
        validators_hash=validators_hash(genesis.validator_set),
        proposer=ZERO_HASH,
    )


# --- the file --------------------------------------------------------------------------------------------------------


def genesis_to_toml(genesis: Genesis) -> str:
    body = to_json(genesis)
    body["parameters"] = dict(body["parameters"])
    for rule in body["rules"]:
        rule["config"] = dict(rule["config"])
    return tomli_w.dumps(body)


def genesis_from_toml(text: str, where: str = "genesis") -> Genesis:
    """The genesis in `text`, checked. PhotonError says where it is wrong; lists are put in their canonical order."""
    try:
        body: dict[str, Any] = tomllib.loads(text)
        _tables_to_pairs(body)
        genesis = _in_order(from_json(Genesis, body, "genesis"))
        check_genesis(genesis)
    except tomllib.TOMLDecodeError as error:
        raise PhotonError(code="bad-genesis", what=f"not TOML: {error}", where=where, remedy=_REMEDY) from None
    except CodecError as error:
        raise PhotonError(
            code="bad-genesis",
            what=error.where,
            where=where,
            expected=error.expected,
            found=error.found,
            remedy=_REMEDY,
        ) from None
    return genesis


def load_genesis(path: Path) -> Genesis:
    """PhotonError when the file is missing, too large, or no genesis."""
    try:
        size = path.stat().st_size
        if size > GENESIS_FILE_BYTES_MAX:
            raise PhotonError(
                code="bad-genesis",
                what="not a genesis file",
                where=str(path),
                expected=f"at most {GENESIS_FILE_BYTES_MAX} bytes",
                found=f"{size} bytes",
                remedy=_REMEDY,
            )
        text = path.read_text("utf-8")
    except OSError as error:
        raise PhotonError(
            code="bad-genesis",
            what=f"cannot be read: {error.strerror}",
            where=str(path),
            remedy=_REMEDY,
        ) from None
    except UnicodeDecodeError:
        raise PhotonError(code="bad-genesis", what="not a text file", where=str(path), remedy=_REMEDY) from None
    return genesis_from_toml(text, str(path))


def save_genesis(genesis: Genesis, path: Path) -> None:
    write_atomically(path, genesis_to_toml(genesis).encode(), mode=0o644)


def _tables_to_pairs(body: dict[str, Any]) -> None:
    """Sorted here, so that no one has to keep an order by hand. Wrong types are left for `from_json` to name."""
    _sort_table(body, "parameters")
    rules = body.get("rules")
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, dict):
            _sort_table(rule, "config")


def _sort_table(body: dict[str, Any], key: str) -> None:
    if isinstance(table := body.get(key), dict):
        body[key] = [list(pair) for pair in sorted(table.items())]
