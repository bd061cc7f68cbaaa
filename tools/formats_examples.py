"""The examples of docs/formats.md: name → (language, text), each made by the code that writes or sends it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import asdict

from photon_core.api import bech32m, codec
from photon_core.api.consensus import Claim
from photon_core.api.fields import to_json
from photon_core.api.finality import block_hash
from photon_core.chain.genesis import genesis_to_toml
from photon_core.cli.cards import card_to_toml, peers_to_toml
from photon_core.exchange.events import EVENT
from photon_core.exchange.messages import MESSAGE
from photon_core.node import config, consensus_frames, gossip, steps, views
from photon_core.node.evidence import evidence_line
from photon_core.node.signer import Signer, make_signer_store
from photon_core.node.signer.seen import SeenAnswer, SignedStatement
from photon_core.node.signer.store import IDENTITY_FILE
from photon_core.peers import wire
from photon_core.provider import state
from photon_core.provider.config import ProviderSettings
from photon_core.provider.network.claims import Claims
from tools import formats_values as values

Example = tuple[str, str]
LINE_CHARS = 116


def hexadecimal(data: bytes) -> Example:
    return "text", "\n".join(textwrap.wrap(data.hex(), LINE_CHARS))


def as_json(body: Any) -> Example:
    """On one line if it fits, for people's eyes; order and values are what the code gives."""
    line = json.dumps(body, ensure_ascii=False)
    return "json", line if len(line) <= LINE_CHARS else json.dumps(body, ensure_ascii=False, indent=2)


def diagnostic(plain: Any, indent: int = 0) -> str:
    """CBOR's diagnostic notation (RFC 8949, section 8), cut to the kinds that the chain uses."""
    match plain:
        case bool():
            return str(plain).lower()
        case None:
            return "null"
        case bytes():
            return f"h'{plain.hex()}'"
        case str():
            return json.dumps(plain, ensure_ascii=False)
        case list():
            parts = [diagnostic(item, indent + 2) for item in plain]
            if sum(map(len, parts)) + indent < LINE_CHARS - 20 and not any("\n" in part for part in parts):
                return f"[{', '.join(parts)}]"
            inner = f",\n{' ' * (indent + 2)}".join(parts)
            return f"[\n{' ' * (indent + 2)}{inner}\n{' ' * indent}]"
    return str(plain)


def all_examples() -> dict[str, Example]:
    found = dict([*_files(), *_chain(), *_exchange(), *_peers(), *_http()])
    assert all(text.strip() for _, text in found.values())
    return found


def _written(table: str, settings: Any, plugins: tuple[str, ...] = ()) -> str:
    with TemporaryDirectory() as folder:
        config.write_config(Path(folder), table, settings, plugins)
        return (Path(folder) / config.CONFIG_FILE).read_text().strip()


def _files() -> Iterator[tuple[str, Example]]:
    peer = f"{values.NODE.public.hex()}@/ip4/192.0.2.1/tcp/4290"
    yield "genesis", ("toml", genesis_to_toml(values.GENESIS).strip())
    yield "card", ("toml", card_to_toml(values.CARD).strip())
    yield "peers", ("toml", peers_to_toml([values.CARD], values.CHAIN).strip())
    yield "node-config", ("toml", _written("node", config.NodeSettings(peers=(peer,))))
    provider = ProviderSettings(
        provider=bech32m.encode_address(values.PAYEE.address),
        attributes={"region": "us-west"},
        advertise=("/ip4/192.0.2.7/tcp/4390",),
        ingress_tcp_ports="20000-20999",
    )
    yield "provider-config", ("toml", _written("provider", provider, ("runtime_process", "pricing_fixed")))
    info = config.RunInfo(
        pid=4242,
        api="http://127.0.0.1:4280",
        node_key=values.NODE.public.hex(),
        addresses=("/ip4/127.0.0.1/tcp/4290",),
    )
    with TemporaryDirectory() as folder:
        make_signer_store(Path(folder), values.CONSENSUS)
        Signer.open(values.CONSENSUS, Path(folder), values.CHAIN).close()
        yield "signer-identity", ("json", (Path(folder) / IDENTITY_FILE).read_text().strip())
    yield "run", as_json(asdict(info))
    claims = Claims(hostnames={"www.example.org": values.ORDER}, ports={(values.ORDER, "db", 6379): 20_000})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.json"
        state.save(path, state.State(chain_id=values.CHAIN, mark=120, claims=claims))
        yield "provider-state", ("json", path.read_text())
    lie = steps.NoteEvidence(first=_claim(b"one"), second=_claim(b"another"))
    yield "evidence", ("json", evidence_line(lie))


def _claim(message: bytes) -> Claim:
    return Claim(values.CONSENSUS.public, message, values.CONSENSUS.sign_message(message), (120, 0, 1))


def _chain() -> Iterator[tuple[str, Example]]:
    raw = values.RAW_TRANSACTION
    yield "transaction", hexadecimal(raw)
    body, signature = codec.decode(raw, max_bytes=len(raw))
    yield "transaction-diagnostic", ("text", diagnostic([body, signature]))
    yield "transaction-body-diagnostic", ("text", diagnostic(codec.decode(body, max_bytes=len(body))))
    yield "block", hexadecimal(codec.encode_record(values.BLOCK))
    yield "header", as_json(to_json(values.BLOCK.header))
    yield "receipt", as_json(to_json(values.RECEIPT))
    yield "finality-statement", hexadecimal(codec.encode_record(values.STATEMENT))
    yield "certificate", hexadecimal(codec.encode_record(values.CERTIFICATE))
    yield "certificate-json", as_json(to_json(values.CERTIFICATE))


def _exchange() -> Iterator[tuple[str, Example]]:
    for message in values.MESSAGES:
        name = type(message).__name__
        yield f"message/{name}", as_json(MESSAGE.to_json(message))
        yield f"message-bytes/{name}", hexadecimal(codec.encode(MESSAGE.to_plain(message)))
    for event in values.EVENTS:
        yield f"event/{type(event).__name__}", as_json(EVENT.to_json(event))
    for record in values.STATE:
        yield f"state/{type(record).__name__}", as_json(to_json(record))
    yield "section", hexadecimal(values.SEALED.raw)
    yield "section-json", as_json(to_json(values.SECTION))
    yield "manifest", hexadecimal(codec.encode_record(values.MANIFEST))


def _peers() -> Iterator[tuple[str, Example]]:
    yield "authorization", hexadecimal(codec.encode_record(values.AUTHORIZATION))
    yield "authorization-json", as_json(to_json(values.AUTHORIZATION))
    for call in values.CALLS:
        yield f"call/{type(call).__name__}", as_json(to_json(call))
    yield "gossip/head", hexadecimal(gossip.head_frame(120))
    yield "gossip/transactions", hexadecimal(next(gossip.transaction_frames([values.TRANSACTION])))
    (said,) = values.CERTIFICATE.signatures
    yield "consensus/statement", hexadecimal(consensus_frames.statement_frame(values.STATEMENT, said))
    yield "content-answer", hexadecimal(codec.encode([values.RAW_TRANSACTION]))
    params = codec.encode([119, 2])
    frames: tuple[wire.Message, ...] = (
        wire.Open(
            number=3, method="chain.blocks", item_bytes_max=8 * 2**20, window=1_048_576, size=len(params), part=params
        ),
        wire.Params(3, b"more of the parameters"),
        wire.Item(3, 1, codec.encode([])),
        wire.Part(3, b"more of the item"),
        wire.End(3),
        wire.Error(3, "unknown-lease", "there is no lease 17/0/9"),
        wire.Cancel(3),
        wire.Window(3, 65_536),
    )
    for frame in frames:
        yield f"frame/{type(frame).__name__}", hexadecimal(wire.to_frame(frame))
    pair = [codec.encode_record(values.BLOCK), codec.encode_record(values.CERTIFICATE)]
    yield "blocks-answer", hexadecimal(codec.encode([pair]))
    signed = SignedStatement(values.STATEMENT, values.CERTIFICATE.signatures[0].signature)
    seen = SeenAnswer(certificate=None, statements=(signed,), messages=(b"an engine's message",))
    yield "seen-answer", hexadecimal(codec.encode_record(seen))


def _http() -> Iterator[tuple[str, Example]]:
    header = values.BLOCK.header
    account, provider, deployment, group, order, bid, lease, status, *_ = values.STATE
    order_detail = views.OrderDetail(order=order, group=group, bids=(bid,), lease=lease)
    answers: dict[str, Any] = {
        "status": views.NodeStatus(
            version="0.1.0",
            chain_id=values.CHAIN,
            chain_name="example",
            height=120,
            block_hash=block_hash(header),
            block_time_ms=status.block_time_ms,
            market_ms=status.market_ms,
            state_root=values.STATEMENT.state_root,
            best_height=120,
            node_key=values.NODE.public,
            addresses=("/ip4/127.0.0.1/tcp/4290",),
            peers=4,
            validator=True,
            consensus=views.ConsensusStatus(
                state="view 0, height 121",
                signer="signing",
                in_flight=1,
                ignored=(views.Count(what="old height", count=3),),
                lost=(),
                evidence=0,
            ),
        ),
        "block": views.BlockDetail(
            header=header,
            block_hash=block_hash(header),
            transaction_ids=(values.TRANSACTION.id,),
            certificate=values.CERTIFICATE,
        ),
        "account": account,
        "provider": provider,
        "deployment": views.DeploymentDetail(
            deployment=deployment,
            groups=(views.GroupDetail(group=group, order=order_detail),),
            earned_uptn=312,
            held_uptn=14 * values.PTN,
        ),
        "order": order_detail,
        "lease": views.LeaseDetail(
            lease=lease,
            group=group,
            deployment=deployment,
            earned_uptn=312,
            confirmed_ms=95_000,
        ),
    }
    for name, record in answers.items():
        yield f"http/{name}", as_json(to_json(record))
    yield "http/submit", hexadecimal(codec.encode([values.RAW_TRANSACTION]))
    committed = views.Submitted(id=values.TRANSACTION.id, status="committed", height=1, receipt=values.RECEIPT)
    yield "http/submitted", as_json(views.page((committed,), None))
    line = views.BlockEvents(
        height=1,
        block_hash=block_hash(header),
        time_ms=header.time_ms,
        market_ms=1_000,
        events=(values.EVENTS[0],),
    )
    yield "http/events", ("json", json.dumps(to_json(line), separators=(",", ":")))
    yield "http/error", as_json({"error": {"code": "not-found", "what": "there is no deployment 99"}})
