"""A manifest section: what one provider runs for one group. Its bytes are the record's CBOR, its hash is salted."""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.resources import COUNT_MAX, Resources

SECTION_BYTES_MAX = 1_048_576
SERVICES_MAX = 64
NAME_BYTES_MAX = 63

_NAME = fields.text_form(NAME_BYTES_MAX)
_WORD = fields.text_form(65_536)
_PAIR = fields.list_form(_WORD, 2, 2)


class Protocol(IntEnum):
    TCP = 0
    HTTP = 1
    """Ingress shared by hostname on the provider's one HTTP port."""
    UDP = 2


@frozen(kw_only=True)
class Target:
    """Who may connect. `service` None: everyone (ingress). `everywhere`: that service also at other providers."""

    service: str | None = fields.optional(_NAME)
    everywhere: bool = fields.flag(False)


@frozen(kw_only=True)
class Expose:
    """`port` is where the service listens, `as_port` what the others connect to."""

    port: int = fields.uint(65_535, 1)
    as_port: int = fields.uint(65_535, 1)
    protocol: Protocol = fields.choice(Protocol, Protocol.TCP)
    hostnames: tuple[str, ...] = fields.listof(fields.text_form(255), 64, 0, ())
    targets: tuple[Target, ...] = fields.listof(fields.record_form(Target), 64, 0, ())


@frozen(kw_only=True)
class Service:
    """`env` is (key, value) pairs in the file's order; `depends_on` are services to be ready before it starts."""

    name: str = fields.text(NAME_BYTES_MAX)
    image: str = fields.text(512)
    command: tuple[str, ...] = fields.listof(_WORD, 256, 0, ())
    args: tuple[str, ...] = fields.listof(_WORD, 1024, 0, ())
    env: tuple[tuple[str, str], ...] = fields.listof(_PAIR, 1024, 0, ())
    count: int = fields.uint(COUNT_MAX, 1)
    resources: Resources = fields.record(Resources)
    expose: tuple[Expose, ...] = fields.listof(fields.record_form(Expose), 64, 0, ())
    depends_on: tuple[str, ...] = fields.listof(_NAME, SERVICES_MAX, 0, ())


@frozen(kw_only=True)
class Section:
    group: str = fields.text(NAME_BYTES_MAX)
    services: tuple[Service, ...] = fields.listof(fields.record_form(Service), SERVICES_MAX, 1)
