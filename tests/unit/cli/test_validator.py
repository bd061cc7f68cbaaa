"""`photon validator` and `photon genesis`: from each operator's `init` to a chain that all of them have joined."""

import json
import shutil
import tomllib
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from photon_core.api.bech32m import encode_address
from photon_core.chain.genesis import chain_id, load_genesis
from photon_core.cli import main

RICH = encode_address(b"\x07" * 20)


def photon_in(folder, *arguments, home="", code=0):
    """The document that a command prints; passphrase and homes are in `folder`."""
    environment = {"PHOTON_HOME": str(folder / home), "PHOTON_PASSPHRASE_FILE": str(folder / "passphrase")}
    result = CliRunner().invoke(main, [*map(str, arguments), "--output", "json"], env=environment)
    assert result.exit_code == code, result.output
    document = json.loads(result.stdout)
    return document["error"] if code else document


@pytest.fixture(autouse=True)
def without_settings(monkeypatch):
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_DEBUG", "PHOTON_NETWORK", "PHOTON_NODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def photon(tmp_path):
    (tmp_path / "passphrase").write_text("correct horse\n")
    return partial(photon_in, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Alice's and bob's folders, made once: their keys take time on purpose."""
    folder = tmp_path_factory.mktemp("operators")
    (folder / "passphrase").write_text("correct horse\n")
    options = ("--key-cost", "interactive", "--listen")
    facts = {
        name: photon_in(folder, "validator", "init", *options, f"/ip4/127.0.0.1/tcp/{port}", home=name)
        for name, port in (("alice", 4001), ("bob", 4002))
    }
    return folder, facts


@pytest.fixture
def operators(made, tmp_path):
    """What `init` told alice and bob, whose folders are this test's own."""
    folder, facts = made
    for name in facts:
        shutil.copytree(folder / name, tmp_path / name)
    return {name: {**told, "card": str(tmp_path / name / "card.toml")} for name, told in facts.items()}


@pytest.fixture
def genesis(photon, operators, tmp_path):
    cards = [part for facts in operators.values() for part in ("--validator", facts["card"])]
    photon("genesis", "create", tmp_path / "genesis.toml", "--account", f"{RICH}=5", *cards)
    return tmp_path / "genesis.toml"


def peers_of(home):
    return tomllib.loads((home / "config.toml").read_text())["node"]["peers"]


def test_the_card_is_all_that_others_may_know(operators):
    facts = operators["alice"]
    card = tomllib.loads(Path(facts["card"]).read_text())
    assert card == {
        "name": "alice",
        "consensus_key": facts["consensus_key"],
        "node_key": facts["node_key"],
        "payee": facts["payee"],
        "addresses": ["/ip4/127.0.0.1/tcp/4001"],
    }


def test_an_operator_says_its_name_its_payee_and_where_it_is_reached(photon):
    facts = photon(
        "validator", "init", "--key-cost", "interactive", "--name", "carol & co", "--payee", RICH,
        "--listen", "/ip4/0.0.0.0/tcp/4290", "--advertise", "/dns4/carol.example/tcp/4290", home="carol",
    )  # fmt: skip
    assert (facts["name"], facts["payee"], facts["reached_at"]) == (
        "carol & co",
        RICH,
        ["/dns4/carol.example/tcp/4290"],
    )
    assert "payee" not in [key["name"] for key in photon("key", "list", home="carol")["keys"]]


@pytest.mark.parametrize("listen", ["/ip4/0.0.0.0/tcp/4290", "/ip6/::/tcp/4290", "/ip4/127.0.0.1/tcp/0"])
def test_an_address_that_nobody_can_dial_is_not_on_the_card(photon, listen):
    assert photon("validator", "init", "--key-cost", "interactive", "--listen", listen, home="dave")["reached_at"] == []


@pytest.mark.parametrize(
    "given", [("--name", "two\nlines"), ("--name", ""), ("--payee", "photon1nobody"), ("--name", "n" * 65)]
)
def test_what_no_card_can_say_is_refused_before_anything_is_made(photon, tmp_path, given):
    assert photon("validator", "init", *given, home="dave", code=2)["where"] == given[0]
    assert not (tmp_path / "dave").exists()


def test_the_genesis_binds_each_consensus_key_to_its_node_key(operators, genesis):
    made = load_genesis(genesis)
    assert {v.key.hex(): v.node_key.hex() for v in made.validators} == {
        facts["consensus_key"]: facts["node_key"] for facts in operators.values()
    }


def test_votes_weigh_one_unless_it_is_said_otherwise(photon, operators, tmp_path):
    cards = [part for facts in operators.values() for part in ("--validator", facts["card"])]
    photon("genesis", "create", tmp_path / "g.toml", "--account", f"{RICH}=5", "--power", "bob=30", *cards)
    powers = {v.key.hex(): v.power for v in load_genesis(tmp_path / "g.toml").validators}
    assert powers == {operators["alice"]["consensus_key"]: 1, operators["bob"]["consensus_key"]: 30}


@pytest.mark.parametrize("power", ["bob", "bob=0", "bob=-1", "bob=x", "carol=2", f"bob={2**53 + 1}"])
def test_a_power_that_fits_no_card_is_refused(photon, operators, tmp_path, power):
    cards = [part for facts in operators.values() for part in ("--validator", facts["card"])]
    error = photon("genesis", "create", tmp_path / "g.toml", "--account", f"{RICH}=5", "--power", power, *cards, code=2)
    assert (error["where"], error["found"]) == ("--power", "cards of alice, bob")


def test_joining_brings_the_genesis_and_all_the_others(photon, operators, genesis, tmp_path):
    joined = photon("validator", "join", genesis, home="alice")
    assert joined["chain_id"] == chain_id(load_genesis(genesis)).hex()
    assert chain_id(load_genesis(tmp_path / "alice/genesis.toml")) == chain_id(load_genesis(genesis))
    assert peers_of(tmp_path / "alice") == [f"{operators['bob']['node_key']}@/ip4/127.0.0.1/tcp/4002"]
    photon("validator", "join", genesis, home="bob")
    assert peers_of(tmp_path / "bob") == [f"{operators['alice']['node_key']}@/ip4/127.0.0.1/tcp/4001"]


def test_joining_again_takes_new_addresses_and_keeps_the_rest_of_the_configuration(
    photon, operators, genesis, tmp_path
):
    config = tmp_path / "alice/config.toml"
    stranger = f"{'ee' * 32}@/ip4/10.0.0.9/tcp/4290"
    config.write_text(
        config.read_text().replace("peers = []", f'peers = ["{stranger}"]') + "\n[plugin.market_auction]\n"
    )
    photon("validator", "join", genesis, home="alice")
    moved = f"{operators['bob']['node_key']}@/ip4/10.0.0.2/tcp/4290"
    photon("validator", "join", genesis, "--peer", moved, home="alice")
    assert peers_of(tmp_path / "alice") == [stranger, f"{operators['bob']['node_key']}@/ip4/127.0.0.1/tcp/4002", moved]
    genesis.with_name("genesis.peers.toml").write_text(f'peers = ["{moved}"]')
    photon("validator", "join", genesis, home="alice")
    assert peers_of(tmp_path / "alice") == [stranger, moved]
    assert tomllib.loads(config.read_text())["plugin"] == {"market_auction": {}}


def test_without_the_others_addresses_nobody_joins(photon, genesis, tmp_path):
    genesis.with_name("genesis.peers.toml").unlink()
    assert photon("validator", "join", genesis, home="alice", code=2)["code"] == "no-peers"
    assert not (tmp_path / "alice/genesis.toml").exists(), "nothing half done"


def test_a_validator_that_the_genesis_does_not_name_cannot_join(photon, genesis):
    photon("validator", "init", "--key-cost", "interactive", home="mallory")
    assert photon("validator", "join", genesis, home="mallory", code=2)["code"] == "not-a-validator"


def test_a_node_key_that_is_not_the_cards_cannot_join(photon, operators, genesis, tmp_path):
    (tmp_path / "alice/keys/node.json").unlink()
    photon("key", "create", "node", "--purpose", "node", "--cost", "interactive", home="alice")
    error = photon("validator", "join", genesis, home="alice", code=2)
    assert (error["code"], error["expected"]) == ("wrong-node-key", operators["alice"]["node_key"])


def test_a_folder_stays_on_its_chain(photon, operators, genesis, tmp_path):
    photon("validator", "join", genesis, home="alice")
    other = tmp_path / "other.toml"
    cards = [part for facts in operators.values() for part in ("--validator", facts["card"])]
    photon("genesis", "create", other, "--name", "other", "--account", f"{RICH}=5", *cards)
    error = photon("validator", "join", other, home="alice", code=2)
    assert error["code"] == "wrong-chain"
    assert error["expected"] == f"chain photon, chain id {chain_id(load_genesis(genesis)).hex()}"
    assert error["found"] == f"chain other, chain id {chain_id(load_genesis(other)).hex()}"


@pytest.mark.parametrize("verb", ["start", "join"])
def test_a_full_nodes_folder_is_told_from_a_validators(photon, genesis, tmp_path, verb):
    photon("node", "init", "--key-cost", "interactive", "--genesis", genesis, home="node")
    error = photon("validator", verb, *([genesis] if verb == "join" else []), home="node", code=2)
    assert (error["code"], error["where"]) == ("no-validator", str(tmp_path / "node"))
    assert f"photon node start --home {tmp_path / 'node'}" in error["remedy"]
    assert "key create" not in error["remedy"]


def test_a_validator_without_its_consensus_key_is_not_told_to_make_another(photon, operators, tmp_path):
    (tmp_path / "alice/keys/consensus.json").unlink()
    error = photon("validator", "start", home="alice", code=2)
    assert error["code"] == "no-consensus-key"
    assert "backup" in error["remedy"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text.replace("node_key", "nodekey"), "bad-card"),
        (lambda text: text.replace("photon1", "proton1"), "bad-card"),
        (lambda text: text + "=", "bad-card"),
        (lambda text: text + "#" * 20_000, "bad-card"),
    ],
)
def test_a_damaged_card_is_refused_by_name(photon, operators, tmp_path, damage, code):
    card = tmp_path / "card.toml"
    card.write_text(damage(Path(operators["bob"]["card"]).read_text()))
    error = photon("genesis", "create", tmp_path / "g.toml", "--account", f"{RICH}=5", "--validator", card, code=2)
    assert (error["code"], error["where"]) == (code, str(card))


def test_several_validators_need_a_consensus_for_several(photon, operators, tmp_path):
    cards = [part for facts in operators.values() for part in ("--validator", facts["card"])]
    error = photon(
        "genesis", "create", tmp_path / "g.toml", "--account", f"{RICH}=5", "--consensus", "solo", *cards, code=2
    )
    assert (error["where"], error["found"]) == ("--consensus", "2 validators")


@pytest.mark.parametrize("verb", ["node", "validator"])
def test_what_was_not_made_cannot_be_started(photon, tmp_path, genesis, verb):
    given = ("--genesis", genesis) if verb == "node" else ()
    assert photon(verb, "start", *given, home="nobody", code=2)["code"] == "no-config"
    assert not (tmp_path / "nobody").exists()


def test_one_card_twice_makes_no_genesis(photon, operators, tmp_path):
    card = operators["bob"]["card"]
    error = photon(
        "genesis", "create", tmp_path / "g.toml", "--account", f"{RICH}=5", "--validator", card, "--validator", card,
        code=2,
    )  # fmt: skip
    assert "twice" in error["found"]
    assert not (tmp_path / "g.toml").exists()
