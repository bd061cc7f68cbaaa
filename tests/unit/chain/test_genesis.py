"""Genesis: one id for one meaning, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.finality import block_hash
from photon_core.chain import keys
from photon_core.chain.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    Rule,
    RuleKind,
    chain_id,
    check_genesis,
    genesis_from_toml,
    genesis_header,
    genesis_to_toml,
    load_genesis,
    make_genesis,
    save_genesis,
)


def address(n: int) -> bytes:
    return bytes([n]) * 20


def node_key(n: int) -> bytes:
    return keys.from_seed(bytes([n]) * 31 + b"\xff", keys.KeyPurpose.NODE).public


def validator(n: int, power: int = 1) -> GenesisValidator:
    key = keys.from_seed(bytes([n]) * 32, keys.KeyPurpose.CONSENSUS)
    return GenesisValidator(key=key.public, node_key=node_key(n), power=power, payee=address(n))


def genesis(**changes: object) -> Genesis:
    parts: dict[str, object] = {
        "name": "test",
        "time_ms": 1_700_000_000_000,
        "parameters": (("max_gap_ms", 2000), ("bidding_window_ms", 500)),
        "rules": (
            Rule(kind=RuleKind.MARKET, from_height=0, name="auction", version=1),
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name="solo", version=1, config=(("fast", True), ("n", 3))),
        ),
        "validators": (validator(2), validator(1)),
        "accounts": tuple(GenesisAccount(address=address(n), balance_uptn=n) for n in (9, 3)),
        "allow": ("crash-only",),
    }
    return make_genesis(**(parts | changes))  # type: ignore[arg-type]


def test_the_file_gives_back_the_same_chain(tmp_path: Path) -> None:
    path = tmp_path / "genesis.toml"
    save_genesis(genesis(), path)
    assert load_genesis(path) == genesis()
    assert chain_id(load_genesis(path)) == chain_id(genesis())


def test_the_order_in_which_things_are_given_does_not_matter() -> None:
    assert chain_id(genesis(validators=(validator(1), validator(2)))) == chain_id(genesis())


def test_every_change_is_another_chain() -> None:
    others = [
        genesis(name="other"),
        genesis(time_ms=1),
        genesis(state_depth=20),
        genesis(allow=()),
        genesis(parameters=()),
        genesis(validators=(validator(1),)),
        genesis(accounts=genesis().accounts[:1]),
    ]
    assert len({chain_id(g) for g in [genesis(), *others]}) == len(others) + 1


def test_block_one_stands_on_a_header_that_names_the_chain() -> None:
    header = genesis_header(genesis())
    assert header.height == 0
    assert header.parent == chain_id(genesis())
    assert block_hash(header) != block_hash(genesis_header(genesis(name="other")))


def test_a_peer_is_known_as_a_validator_by_its_node_key() -> None:
    assert genesis().validator_by_node_key(node_key(2)) == validator(2).key
    assert genesis().validator_by_node_key(node_key(3)) is None
    assert genesis().validator_by_node_key(validator(2).key) is None


def test_a_rule_holds_from_its_height_on() -> None:
    later = Rule(kind=RuleKind.MARKET, from_height=100, name="sealed", version=2)
    g = genesis(rules=(*genesis().rules, later))
    assert g.rule_at(RuleKind.MARKET, 99).name == "auction"
    assert g.rule_at(RuleKind.MARKET, 100).name == "sealed"
    with pytest.raises(LookupError, match="no codec rule"):
        g.rule_at(RuleKind.CODEC, 5)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"state_depth": 17}, "state_depth"),
        ({"validators": (validator(1), validator(1))}, "validators"),
        (
            {"validators": (validator(1), attrs.evolve(validator(2), node_key=node_key(1)))},
            f"{node_key(1).hex()} twice",
        ),
        ({"validators": (attrs.evolve(validator(1), node_key=validator(1).key),)}, "a node key of its own"),
        ({"accounts": (GenesisAccount(address=address(1), balance_uptn=5),) * 2}, "found photon1.* twice"),
        ({"accounts": ()}, "none are made later, found 0"),
        ({"rules": (Rule(kind=RuleKind.MARKET, from_height=0, name="auction", version=1),)}, "consensus rule"),
        (
            {"accounts": tuple(GenesisAccount(address=address(n), balance_uptn=2**62) for n in (1, 2))},
            "uptn together",
        ),
    ],
)
def test_what_no_chain_can_begin_with_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(CodecError, match=complaint):
        genesis(**changes)


def test_people_may_list_accounts_in_any_order() -> None:
    head, *accounts = genesis_to_toml(genesis()).split("[[accounts]]\n")
    shuffled = head + "".join(f"[[accounts]]\n{account}\n" for account in reversed(accounts))
    assert chain_id(genesis_from_toml(shuffled)) == chain_id(genesis())


def test_a_record_out_of_order_is_refused() -> None:
    with pytest.raises(CodecError, match="ascending"):
        check_genesis(attrs.evolve(genesis(), validators=genesis().validators[::-1]))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda t: "name = [", "not TOML"),
        (lambda t: t.replace("time_ms = 1700000000000", "time_ms = -1"), "genesis.time_ms"),
        (lambda t: t.replace('name = "test"', 'nome = "test"'), "nome"),
        (lambda t: t.replace("max_gap_ms = 2000", "max_gap_ms = 2000.5"), "max_gap_ms"),
        (lambda t: t.replace("photon1", "photon2"), "an address"),
    ],
)
def test_a_wrong_file_is_refused_by_name(edit: object, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "genesis.toml"
    path.write_text(edit(genesis_to_toml(genesis())))  # type: ignore[operator]
    with pytest.raises(PhotonError, match=complaint) as caught:
        load_genesis(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy


def test_a_missing_or_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PhotonError, match="cannot be read"):
        load_genesis(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PhotonError, match="not a text file"):
        load_genesis(tmp_path / "binary")


def test_people_may_write_parameters_in_any_order() -> None:
    text = genesis_to_toml(genesis())
    turned = text.replace("bidding_window_ms = 500\nmax_gap_ms = 2000", "max_gap_ms = 2000\nbidding_window_ms = 500")
    assert turned != text
    assert chain_id(genesis_from_toml(turned)) == chain_id(genesis())
