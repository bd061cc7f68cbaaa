"""docs/formats.md says what the code does: its examples decode and encode to the same bytes; nothing is left out."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from photon_core.api import codec
from photon_core.api.chain import Certificate, FinalityStatement, Header
from photon_core.api.fields import Form, from_json, record_form, to_json
from photon_core.api.finality import block_hash
from photon_core.chain import blocks, transactions
from photon_core.chain.certificates import verify_certificate
from photon_core.chain.genesis import chain_id, genesis_from_toml, genesis_to_toml
from photon_core.chain.keys import KeyPurpose, verify_message
from photon_core.chain.keystore import Keystore
from photon_core.cli import cards
from photon_core.exchange import records
from photon_core.exchange.events import EVENT, EVENTS, Receipt
from photon_core.exchange.messages import MESSAGE, MESSAGES
from photon_core.manifest.sections import decode_section, encode_section, mismatches
from photon_core.manifest.versions import Manifest, inconsistencies
from photon_core.node import blocksync, config, consensus_frames, gossip, views
from photon_core.node.http.app import ROUTES
from photon_core.node.signer.seen import SeenAnswer
from photon_core.node.signer.store import IDENTITY_FILE, Identity, read_identity
from photon_core.peers import authorization, methods, wire
from photon_core.provider import state
from photon_core.provider.config import ProviderSettings, provider_settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/formats.md").read_text()
EXAMPLES: dict[str, str] = dict(re.findall(r"<!-- example: (\S+) -->\n+```\w+\n(.*?)\n```", PAGE, re.DOTALL))
FRAME_MAX = 2**20
GENESIS = genesis_from_toml(EXAMPLES["genesis"])
CHAIN = chain_id(GENESIS)


def raw(name: str) -> bytes:
    return bytes.fromhex("".join(EXAMPLES[name].split()))


def records_of(module: Any) -> list[type[Any]]:
    classes = [thing for thing in vars(module).values() if isinstance(thing, type) and attrs.has(thing)]
    return [cls for cls in classes if cls.__module__ == module.__name__]


# --- examples as bytes: each is decoded, and encoded again to the same ones -------------------------------------------


def again(cls: type[Any]) -> Callable[[bytes], bytes]:
    return lambda data: codec.encode_record(codec.decode_record(cls, data, FRAME_MAX))


def gossip_again(data: bytes) -> bytes:
    match gossip.decode_frame(data):
        case gossip.HeadMessage(height):
            return gossip.head_frame(height)
        case gossip.TransactionsMessage(found):
            return next(gossip.transaction_frames(gossip.decode_transactions(found, CHAIN)))


def consensus_again(data: bytes) -> bytes:
    found = consensus_frames.decode_frame(data)
    assert isinstance(found, consensus_frames.SignedStatement)
    return consensus_frames.statement_frame(found.statement, found.signature)


def blocks_answer_again(data: bytes) -> bytes:
    pairs = codec.decode(data, max_bytes=blocksync.ANSWER_BYTES_MAX)
    return codec.encode(
        [
            [blocks.encode_block(blocks.decode_block(block)), again(Certificate)(certificate)]
            for block, certificate in pairs
        ]
    )


def submission_again(data: bytes) -> bytes:
    sent = codec.decode(data, max_bytes=FRAME_MAX)
    return codec.encode([transactions.decode_transaction(each, CHAIN).raw for each in sent])


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "transaction": lambda data: transactions.decode_transaction(data, CHAIN).raw,
    "block": lambda data: blocks.encode_block(blocks.decode_block(data)),
    "finality-statement": again(FinalityStatement),
    "certificate": again(Certificate),
    "section": lambda data: encode_section(decode_section(data)),
    "manifest": again(Manifest),
    "authorization": again(authorization.SignedAuthorization),
    "gossip/head": gossip_again,
    "gossip/transactions": gossip_again,
    "consensus/statement": consensus_again,
    "content-answer": submission_again,
    "blocks-answer": blocks_answer_again,
    "seen-answer": again(SeenAnswer),
    "http/submit": submission_again,
    **{f"frame/{cls.__name__}": lambda data: wire.to_frame(wire.from_frame(data)) for cls in wire._CLASSES.values()},
    **{
        f"message-bytes/{cls.__name__}": lambda data: codec.encode(
            MESSAGE.to_plain(MESSAGE.from_plain(codec.decode(data, max_bytes=FRAME_MAX), "example"))
        )
        for cls in MESSAGES.values()
    },
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_decode_and_encode_to_themselves(name: str) -> None:
    assert BYTES[name](raw(name)).hex() == raw(name).hex()


# --- examples as JSON -------------------------------------------------------------------------------------------------


JSON: dict[str, Form] = {
    "header": record_form(Header),
    "receipt": record_form(Receipt),
    "certificate-json": record_form(Certificate),
    "authorization-json": record_form(authorization.SignedAuthorization),
    "section-json": record_form(type(decode_section(raw("section")))),
    "http/status": record_form(views.NodeStatus),
    "http/block": record_form(views.BlockDetail),
    "http/account": record_form(records.Account),
    "http/provider": record_form(records.Provider),
    "http/deployment": record_form(views.DeploymentDetail),
    "http/order": record_form(views.OrderDetail),
    "http/lease": record_form(views.LeaseDetail),
    "http/events": record_form(views.BlockEvents),
    **{f"message/{cls.__name__}": MESSAGE for cls in MESSAGES.values()},
    **{f"event/{cls.__name__}": EVENT for cls in EVENTS.values()},
}
for _room, _module in (("state", records), ("call", methods)):
    _named = {f"{_room}/{cls.__name__}": record_form(cls) for cls in records_of(_module)}
    JSON |= {name: form for name, form in _named.items() if name in EXAMPLES}

OWN_TEST = {
    "genesis",
    "card",
    "peers",
    "node-config",
    "provider-config",
    "keystore",
    "signer-identity",
    "run",
    "provider-state",
    "evidence",
    "transaction-diagnostic",
    "transaction-body-diagnostic",
    "http/submitted",
    "http/error",
}
"""In this file."""
READ_BY_HAND = {"network", "demo"}
"""In tests/e2e/test_by_hand.py, against a network that runs."""


@pytest.mark.parametrize("name", JSON)
def test_json_reads_as_the_record_and_writes_as_itself(name: str) -> None:
    body = json.loads(EXAMPLES[name])
    assert JSON[name].to_json(JSON[name].from_json(body, name)) == body


@pytest.mark.parametrize("cls", MESSAGES.values(), ids=lambda cls: cls.__name__)
def test_a_messages_json_and_bytes_are_one_message(cls: type[Any]) -> None:
    from_text = MESSAGE.from_json(json.loads(EXAMPLES[f"message/{cls.__name__}"]), "example")
    assert codec.encode(MESSAGE.to_plain(from_text)) == raw(f"message-bytes/{cls.__name__}")


def test_answers_with_a_form_of_their_own() -> None:
    submitted = json.loads(EXAMPLES["http/submitted"])
    (entry,) = submitted["items"]
    assert views.page((from_json(views.Submitted, entry),), submitted["after"]) == submitted
    assert set(json.loads(EXAMPLES["http/error"])["error"]) == {"code", "what"}


def test_evidence_is_proof() -> None:
    lie = json.loads(EXAMPLES["evidence"])
    key = bytes.fromhex(lie["validator"])
    for claim in (lie["first"], lie["second"]):
        assert verify_message(key, bytes.fromhex(claim["message"]), bytes.fromhex(claim["signature"]))
    assert lie["first"]["slot"] == lie["second"]["slot"]
    assert lie["first"]["message"] != lie["second"]["message"]


# --- files ------------------------------------------------------------------------------------------------------------


def test_genesis_is_written_as_it_is_read() -> None:
    assert genesis_to_toml(GENESIS).strip() == EXAMPLES["genesis"]


def test_a_card_and_the_peers_are_written_as_they_are_read(tmp_path: Path) -> None:
    for name in ("card", "peers"):
        (tmp_path / name).write_text(EXAMPLES[name])
    card = cards.read_card(tmp_path / "card")
    assert cards.card_to_toml(card).strip() == EXAMPLES["card"]
    assert card.in_genesis() in GENESIS.validators
    assert cards.read_peers(tmp_path / "peers") == (f"{card.node_key.hex()}@{card.addresses[0]}",)
    assert cards.peers_to_toml([card], CHAIN).strip() == EXAMPLES["peers"]


@pytest.mark.parametrize(
    ("name", "table", "read"),
    [("node-config", "node", config.node_settings), ("provider-config", "provider", provider_settings)],
)
def test_a_config_is_written_as_it_is_read(
    name: str, table: str, read: Callable[..., config.NodeSettings | ProviderSettings], tmp_path: Path
) -> None:
    path = tmp_path / config.CONFIG_FILE
    path.write_text(EXAMPLES[name])
    document = config.read_config(tmp_path)
    config.write_config(tmp_path, table, read(document, tmp_path), tuple(document.get("plugins", ())))
    assert path.read_text().strip() == EXAMPLES[name]


def test_the_keystores_key_opens_with_the_passphrase_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "alice.json"
    path.write_text(EXAMPLES["keystore"])
    path.chmod(0o600)
    passphrase = re.findall(r"opens with `([^`]+)`", PAGE)[0]
    key = Keystore(tmp_path).unlock("alice", passphrase)
    assert (key.purpose, key.seed) == (KeyPurpose.ACCOUNT, bytes([1]) * 32)
    assert json.dumps(json.loads(EXAMPLES["keystore"]), indent=2) == EXAMPLES["keystore"]


def test_run_info_is_what_the_node_writes(tmp_path: Path) -> None:
    body = json.loads(EXAMPLES["run"])
    config.write_run_info(tmp_path, config.RunInfo(**{**body, "addresses": tuple(body["addresses"])}))
    assert json.loads((tmp_path / config.RUN_FILE).read_text()) == body


def test_the_agents_state_is_written_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(EXAMPLES["provider-state"])
    state.save(path, state.load(path, CHAIN))
    assert path.read_text() == EXAMPLES["provider-state"]


def test_the_signers_identity_opens(tmp_path: Path) -> None:
    (tmp_path / IDENTITY_FILE).write_text(EXAMPLES["signer-identity"])
    assert read_identity(tmp_path) == Identity(key=GENESIS.validators[0].key, chain_id=CHAIN)


# --- what the examples say together -----------------------------------------------------------------------------------


def test_the_chain_of_the_page_is_one_chain() -> None:
    transaction = transactions.decode_transaction(raw("transaction"), CHAIN)
    block, certificate = (
        blocks.decode_block(raw("block")),
        codec.decode_record(Certificate, raw("certificate"), FRAME_MAX),
    )
    assert block.transactions == (transaction.raw,)
    assert block.header.transactions_root == blocks.transactions_root([transaction.id])
    assert to_json(block.header) == json.loads(EXAMPLES["header"])
    assert certificate.statement.block_hash == block_hash(block.header)
    verify_certificate(certificate, GENESIS.validator_set, CHAIN)


def test_the_manifest_of_the_page_fits_what_was_ordered() -> None:
    manifest = codec.decode_record(Manifest, raw("manifest"), FRAME_MAX)
    assert inconsistencies(manifest) == ()
    assert manifest.sections[0].raw == raw("section")
    assert mismatches(manifest.sections[0].section, manifest.groups[0].units) == ()
    created = json.loads(EXAMPLES["message/CreateDeployment"])
    assert created["version"] == manifest.version.hex()


# --- nothing is missing -----------------------------------------------------------------------------------------------


def test_every_example_is_read_by_a_test() -> None:
    assert set(EXAMPLES) == {*BYTES, *JSON, *OWN_TEST, *READ_BY_HAND}


def test_every_record_of_the_exchange_has_a_table() -> None:
    named = [*MESSAGES.values(), *EVENTS.values()]
    missing = [cls.__name__ for cls in named if f"### {cls.__name__} (" not in PAGE]
    missing += [cls.__name__ for cls in records_of(records) if f"### {cls.__name__}\n" not in PAGE]
    assert not missing


def test_every_method_and_route_is_described() -> None:
    missing = [method.value for method in methods.Method if f"### `{method.value}`" not in PAGE]
    missing += [route.path for route in ROUTES if f"{re.sub(r':[a-z]+}', '}', route.path)}`" not in PAGE]
    assert not missing


def test_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, "-m", "tools.formats", "--check"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
