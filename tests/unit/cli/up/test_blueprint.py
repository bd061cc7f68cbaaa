from pathlib import Path

import pytest

from photon_core.api.errors import UsageError
from photon_core.chain.genesis import chain_id, load_genesis
from photon_core.cli.up.blueprint import open_blueprint, read_blueprint
from photon_core.cli.up.layout import NetworkFolder, Role
from photon_core.plugins.selection import Choice, choose

CHOICE: Choice = choose(flag=("consensus_pbft", "market_auction"), environment={})


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path)


async def test_each_validator_has_keys_of_its_own_and_its_place_in_the_genesis(folder: NetworkFolder) -> None:
    blueprint = await open_blueprint(folder, 3, CHOICE, ())
    validators = [member.name for member in blueprint.members if member.role is Role.VALIDATOR]
    assert validators == ["validator-1", "validator-2", "validator-3"]
    assert {(v.key, v.node_key, v.payee) for v in blueprint.genesis.validators} == {
        (
            blueprint.keys[name, "consensus"].public,
            blueprint.keys[name, "node"].public,
            blueprint.keys[name, "payee"].address,
        )
        for name in validators
    }
    for name in (*validators, "node"):
        assert chain_id(load_genesis(folder.path / name / "genesis.toml")) == chain_id(blueprint.genesis)


async def test_the_next_start_finds_what_the_first_made(folder: NetworkFolder) -> None:
    made = await open_blueprint(folder, 2, CHOICE, ())
    assert await open_blueprint(folder, 2, CHOICE, ()) == made == read_blueprint(folder)
    with pytest.raises(UsageError, match="parameters are set when it begins"):
        await open_blueprint(folder, 2, CHOICE, ("heartbeat_ms=900",))


async def test_what_was_left_half_made_is_made_anew(folder: NetworkFolder) -> None:
    await open_blueprint(folder, 4, CHOICE, ())
    folder.genesis.unlink()
    blueprint = await open_blueprint(folder, 1, CHOICE, ())
    assert len(blueprint.genesis.validators) == 1
    assert folder.validators == 1
