"""A provider's folder and its `config.toml`.

HOME/config.toml           [provider], plugins and their tables
HOME/keys/                 encrypted: payee (may be elsewhere), operator, node
HOME/provider/state.json   what the agent must remember
HOME/provider/manifests/   sections that tenants delivered, 0600
HOME/provider/runtime/     the runtime's own
HOME/provider/status.json  what the running agent last saw, for `photon provider status`
HOME/run.json              where the running agent answers; gone when it stops
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from photon_core.api.bech32m import decode_address
from photon_core.api.ids import Address
from photon_core.api.resources import Resources
from photon_core.exchange.records import UPTN_PER_PTN
from photon_core.node.config import CONFIG_FILE, read_config
from photon_core.plugins.config import read_table

from .network.fabric import IngressConfig
from .parts import AgentOptions

AGENT_FOLDER = "provider"
DEFAULT_LISTEN = "/ip4/127.0.0.1/tcp/4390"
_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
_UNBOUNDED = 2**63 - 1


def _check_address(_instance: object, _attribute: object, value: str) -> None:
    decode_address(value)


def _check_ports(_instance: object, _attribute: object, value: str) -> None:
    if value:
        parse_ports(value)


@frozen(kw_only=True)
class ProviderSettings:
    """The table `[provider]`.

    `provider` is the address that registered it (the payee's at first). `listen` is where tenants' links come in,
    `advertise` what they are told to dial (as listened on, if empty). `attributes` are what `register` puts on chain.
    `offer_*` cap what the runtime has. `ingress_tcp_ports` is `first-last`; empty: any that is free.
    """

    provider: str = field(validator=_check_address)
    node: str = "http://127.0.0.1:4280"
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    advertise: tuple[str, ...] = ()
    attributes: dict[str, str] = field(factory=dict)
    offer_cpu_milli: int | None = None
    offer_memory_bytes: int | None = None
    offer_storage_bytes: int | None = None
    max_collateral_uptn: int = 1_000 * UPTN_PER_PTN
    reserve_uptn: int = UPTN_PER_PTN
    ingress_address: str = "127.0.0.1"
    ingress_public_address: str = ""
    ingress_http_port: int = 0
    ingress_tcp_ports: str = field(default="", validator=_check_ports)
    withdraw_every_hours: int = 24

    @property
    def id(self) -> Address:
        return decode_address(self.provider)

    @property
    def sorted_attributes(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.attributes.items()))

    @property
    def offer(self) -> Resources | None:
        """The cap, if any part is capped."""
        parts = (self.offer_cpu_milli, self.offer_memory_bytes, self.offer_storage_bytes)
        if all(part is None for part in parts):
            return None
        cpu, memory, storage = (_UNBOUNDED if part is None else part for part in parts)
        return Resources(cpu_milli=cpu, memory_bytes=memory, storage_bytes=storage)

    def options(self) -> AgentOptions:
        return AgentOptions(
            max_collateral_uptn=self.max_collateral_uptn,
            reserve_uptn=self.reserve_uptn,
            withdraw_every_ms=self.withdraw_every_hours * 3_600_000,
            ingress=IngressConfig(
                address=self.ingress_address,
                public_address=self.ingress_public_address,
                http_port=self.ingress_http_port,
                tcp_ports=parse_ports(self.ingress_tcp_ports) if self.ingress_tcp_ports else None,
            ),
        )


@frozen(kw_only=True)
class ProviderConfig:
    home: Path
    settings: ProviderSettings

    @property
    def folder(self) -> Path:
        return self.home / AGENT_FOLDER


def parse_ports(text: str) -> tuple[int, int]:
    """`20000-20999`; ValueError otherwise."""
    matched = _PORTS.fullmatch(text)
    first, last = (int(matched.group(1)), int(matched.group(2))) if matched else (0, 0)
    if not 1 <= first <= last <= 65_535:
        raise ValueError(f"{text!r} is no range of ports; write it as 20000-20999")
    return first, last


def provider_settings(config: Mapping[str, Any], home: Path) -> ProviderSettings:
    return read_table(ProviderSettings, config.get("provider", {}), f"{home / CONFIG_FILE} [provider]")


def load_config(home: Path) -> ProviderConfig:
    """UsageError when there is none, or something is wrong with it."""
    return ProviderConfig(home=home, settings=provider_settings(read_config(home), home))
