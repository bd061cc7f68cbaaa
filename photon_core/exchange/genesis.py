"""Genesis, the state: what the exchange begins with, out of the file that `photon_core/chain/genesis.py` reads."""

from __future__ import annotations

from photon_core.api.codec import encode_record
from photon_core.api.errors import CodecError
from photon_core.api.fields import from_json, to_json
from photon_core.chain.genesis import Genesis
from photon_core.exchange import keys
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import Account, BlockTime, ChainStatus, ValidatorRecord

DEVELOPMENT = "development"
"""Genesis allows this by name where windows may be so short that a proposer's clock could close them on its own."""


def genesis_parameters(parameters: Parameters) -> tuple[tuple[str, int], ...]:
    """As genesis carries them: (name, value) in order of names."""
    return tuple(sorted(to_json(parameters).items()))


def parameters_of(genesis: Genesis) -> Parameters:
    """CodecError for a name that this version does not know, a value out of range, or a combination that is unsafe."""
    parameters = from_json(Parameters, dict(genesis.parameters), "Genesis.parameters")
    if problems := parameters.problems():
        raise CodecError("Genesis.parameters", "values that go together", "; ".join(problems))
    return parameters


def initial_changes(genesis: Genesis) -> tuple[tuple[bytes, bytes | None], ...]:
    """Every record of the state at height 0, in order of keys."""
    records: dict[bytes, object] = {
        keys.PARAMETERS_KEY: parameters_of(genesis),
        keys.STATUS_KEY: ChainStatus(block_time_ms=genesis.time_ms, supply_uptn=genesis.supply_uptn),
        keys.block_time_key(0): BlockTime(market_ms=0),
    }
    for account in genesis.accounts:
        records[keys.account_key(account.address)] = Account(balance_uptn=account.balance_uptn)
    for validator in genesis.validators:
        records[keys.validator_key(validator.key)] = ValidatorRecord(
            key=validator.key, node_key=validator.node_key, power=validator.power, payee=validator.payee
        )
    return tuple((key, encode_record(records[key])) for key in sorted(records))
