from attrs import evolve

from photon_core.api.bech32m import encode_address
from photon_core.provider.agent import funding_problem
from photon_core.provider.chain import read_chain
from photon_core.provider.config import ProviderSettings


async def test_operator_without_money_is_told_whom_to_pay(make_parts, chain):
    parts = make_parts()
    view = await read_chain(chain, parts.provider, parts.sender.address, parts.chain_id)
    settings = ProviderSettings(provider=encode_address(parts.provider), reserve_uptn=1_000)
    assert funding_problem(evolve(view, balance_uptn=1_001), settings) == ""
    told = funding_problem(evolve(view, balance_uptn=1_000), settings)
    assert "1000 uptn" in told
    assert f"photon tx transfer {encode_address(parts.sender.address)}" in told
