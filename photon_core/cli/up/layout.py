"""Who the members of a network are, and what its folder holds.

DIR/network.json        how to use it: written when it is ready, gone when it stops
DIR/genesis.toml        what the chain begins with
DIR/ports.json          which ports the members had last time; they are kept if they are still free
DIR/passphrase          of every key in here, made by chance, 0600
DIR/validator-1 …, node, provider-1, provider-2
the members' own folders, as `photon validator init` and so on make them
DIR/tenant              the home of a tenant with money, and of its keeper
DIR/logs/NAME.log       what a member says
DIR/lock                held while `photon up` runs here
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from attrs import field, frozen

TENANT_KEY = "tenant"


class Role(StrEnum):
    VALIDATOR = "validator"
    NODE = "node"
    PROVIDER = "provider"
    KEEPER = "keeper"


@frozen(kw_only=True)
class Member:
    """`prices` are of the plugin pricing_scale, uptn per hour."""

    name: str
    role: Role
    attributes: dict[str, str] = field(factory=dict)
    prices: dict[str, int] = field(factory=dict)


VALIDATORS_DEFAULT = 4
"""The fewest of which one may fail."""
VALIDATORS_MAX = 16
"""Each verifies every transaction, and all of them share this machine."""
_OTHERS = (
    Member(name="node", role=Role.NODE),
    Member(
        name="provider-1",
        role=Role.PROVIDER,
        attributes={"region": "us-west", "tier": "standard"},
        prices={"core_uptn": 500_000, "memory_gib_uptn": 200_000, "storage_gib_uptn": 5_000},
    ),
    Member(
        name="provider-2",
        role=Role.PROVIDER,
        attributes={"region": "eu-central", "tier": "premium"},
        prices={"core_uptn": 650_000, "memory_gib_uptn": 250_000, "storage_gib_uptn": 8_000},
    ),
    Member(name="keeper", role=Role.KEEPER),
)


def members_with(validators: int) -> tuple[Member, ...]:
    """Everybody in a network of so many validators, in the order in which they are started."""
    return (
        *(Member(name=f"validator-{number}", role=Role.VALIDATOR) for number in range(1, validators + 1)),
        *_OTHERS,
    )


@frozen
class NetworkFolder:
    """Paths below `path`, which is absolute."""

    path: Path

    @property
    def validators(self) -> int:
        """How many the network in this folder has; 0 before it was made."""
        return sum(1 for _ in self.path.glob("validator-*"))

    @property
    def members(self) -> tuple[Member, ...]:
        """Those of the network in this folder."""
        return members_with(self.validators)

    @property
    def genesis(self) -> Path:
        return self.path / "genesis.toml"

    @property
    def ports(self) -> Path:
        return self.path / "ports.json"

    @property
    def passphrase(self) -> Path:
        return self.path / "passphrase"

    @property
    def network_file(self) -> Path:
        return self.path / "network.json"

    @property
    def tenant(self) -> Path:
        return self.path / "tenant"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def home(self, member: Member) -> Path:
        """The keeper keeps what the tenant deployed, so it lives in the tenant's."""
        return self.tenant if member.role is Role.KEEPER else self.path / member.name

    def log(self, member: Member) -> Path:
        return self.logs / f"{member.name}.log"

    def command(self, member: Member, node_url: str) -> tuple[str, ...]:
        """How the member is started, by `up` and by anybody else: `photon`, then these."""
        common = ("--home", str(self.home(member)))
        unlock = ("--passphrase-file", str(self.passphrase))
        match member.role:
            case Role.VALIDATOR | Role.NODE:
                return (member.role.value, "start", *common, *unlock)
            case Role.PROVIDER:
                return ("provider", "start", *common, *unlock, "--stop-workloads")
            case Role.KEEPER:
                return ("serve", *common, "--node", node_url)
