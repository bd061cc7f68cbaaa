"""What every version of the format says, in one form: the tables of a version are read into this, checks and
translation know nothing else.

A draft may have holes: what was invalid is None (and has been noted), so that one run finds every mistake. Translation
only ever sees drafts without.
"""

from __future__ import annotations

from attrs import frozen

from photon_core.api.resources import Resources
from photon_core.manifest.records import Protocol

from .problems import Place
from .schema import Leaf

Name = Leaf[str]


@frozen(kw_only=True)
class Target:
    """`service` None: everyone."""

    place: Place
    service: Name | None


@frozen(kw_only=True)
class Expose:
    """`ingress`: how it is served when everyone may connect."""

    place: Place
    port: int | None
    as_port: int | None
    ingress: Protocol
    hostnames: tuple[Name, ...]
    targets: tuple[Target, ...]

    @property
    def is_public(self) -> bool:
        return any(target.service is None for target in self.targets)


@frozen(kw_only=True)
class Service:
    name: Name
    image: str | None
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    exposes: tuple[Expose, ...]
    depends_on: tuple[Name, ...]


@frozen(kw_only=True)
class Wanted:
    """An attribute that a profile's hardware must have."""

    place: Place
    key: str
    value: str


@frozen(kw_only=True)
class Compute:
    place: Place
    resources: Resources | None
    wanted: tuple[Wanted, ...] = ()


@frozen(kw_only=True)
class Price:
    """Most per instance, 10⁻⁶ uptn per hour; `collateral_uptn` per instance, None: one hour of the price."""

    place: Place
    amount: int | None
    collateral_uptn: int | None = None


@frozen(kw_only=True)
class Placement:
    """`attributes` in order of their keys. `compute` are the profiles that can be used here."""

    name: Name
    attributes: tuple[tuple[str, str], ...]
    compute: dict[str, Compute]
    prices: dict[str, Price]


@frozen(kw_only=True)
class Use:
    """`count` instances of a service at a placement."""

    place: Place
    service: Name
    placement: Name
    profile: Name | None
    count: int | None


@frozen(kw_only=True)
class Draft:
    """`merge_units`: services that share a profile at a placement make one unit (2.1)."""

    place: Place
    version: str
    services: dict[str, Service]
    placements: dict[str, Placement]
    uses: tuple[Use, ...]
    merge_units: bool = False
    needs_ingress: bool = False
