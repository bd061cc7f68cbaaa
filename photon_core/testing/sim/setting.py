"""Keys and genesis of simulated networks: the same for every seed, so that they are made once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from attrs import frozen

from photon_core.api.ids import Hash, NodeKey
from photon_core.chain.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    Rule,
    RuleKind,
    chain_id,
    make_genesis,
)
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.exchange import genesis as exchange_genesis
from photon_core.exchange.records import UPTN_PER_PTN
from photon_core.testing.exchange import FEE_FREE, GENESIS_TIME_MS

CLIENTS_MAX: Final = 8


@frozen(kw_only=True)
class Setting:
    """Who takes part. Validators are in the set's order, so that their index is the host's."""

    genesis: Genesis
    chain_id: Hash
    keys: tuple[SigningKey, ...]
    node_keys: tuple[NodeKey, ...]
    powers: tuple[int, ...]
    clients: tuple[SigningKey, ...]


@lru_cache
def setting(powers: tuple[int, ...], engine: str) -> Setting:
    """One validator for each power, all clients with 1 000 PTN."""
    made = [from_seed(bytes([0xA0 + i]) * 32, KeyPurpose.CONSENSUS) for i in range(len(powers))]
    keys = tuple(sorted(made, key=lambda key: key.public))
    node_keys = tuple(bytes([i + 1]) * 32 for i in range(len(powers)))
    clients = tuple(from_seed(bytes([0x10 + i]) * 32, KeyPurpose.ACCOUNT) for i in range(CLIENTS_MAX))
    genesis = make_genesis(
        name="simulated",
        time_ms=GENESIS_TIME_MS,
        rules=(
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name=engine, version=1),
            Rule(kind=RuleKind.MARKET, from_height=0, name="lowest", version=1),
        ),
        validators=tuple(
            GenesisValidator(key=key.public, node_key=node_key, power=power, payee=clients[0].address)
            for key, node_key, power in zip(keys, node_keys, powers, strict=True)
        ),
        accounts=tuple(GenesisAccount(address=client.address, balance_uptn=1_000 * UPTN_PER_PTN) for client in clients),
        parameters=exchange_genesis.genesis_parameters(FEE_FREE),
    )
    return Setting(
        genesis=genesis,
        chain_id=chain_id(genesis),
        keys=keys,
        node_keys=node_keys,
        powers=powers,
        clients=clients,
    )
