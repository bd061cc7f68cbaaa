"""The tables of version 0.1, in both of its layouts."""

from __future__ import annotations

from fractions import Fraction

from . import quantities
from .common import (
    ATTRIBUTES,
    BOOLEAN,
    COUNT,
    CPU,
    HOSTNAMES,
    MEMORY,
    PLACEMENT_NAME_EXPECTED,
    PORT,
    PRICE_MAX,
    PROFILE_REFERENCE,
    SERVICE_FIELDS,
    SERVICE_HINTS,
    SERVICE_NAME_EXPECTED,
    SERVICE_REFERENCE,
    STORAGE,
    UDP_NOT_YET,
    placement_name,
    service_name,
    top_fields,
)
from .problems import Report
from .schema import Field, Leaf, ListOf, MapOf, Only, Quantity, Record, Table, Text
from .tree import Node, Scalar


class _Collateral:
    """A time, which is so many hours of the price, or an amount in PTN."""

    EXPECTED = "a time such as 6h or 1d, or an amount in PTN"

    def read(self, node: Node, report: Report, where: str) -> Leaf[tuple[str, Fraction]] | None:
        return Text(parse=self._parse, expected=self.EXPECTED, bytes_max=100).read(node, report, where)

    @staticmethod
    def _parse(text: str) -> tuple[str, Fraction]:
        if text[-1:] in tuple("smhd"):
            return "hours", quantities.duration_hours(text)
        return "uptn", quantities.uptn_of_ptn(text)


class _Pricing:
    """One profile's price: the amount alone, or a map with its collateral."""

    AMOUNT = Quantity(
        parse=quantities.price_of_ptn,
        expected="PTN per hour, such as 8 or 0.05",
        unit="millionths of a uptn per hour",
        minimum=1,
        maximum=PRICE_MAX,
        limits="a price above 0",
        remedy="write the most that one instance may cost, in PTN per hour",
    )
    TABLE = Table(
        fields={
            "max-price": Field(AMOUNT, missing="write the most that one instance may cost, in PTN per hour"),
            "collateral": Field(_Collateral()),
        }
    )

    def read(self, node: Node, report: Report, where: str) -> Record | None:
        if not isinstance(node, Scalar):
            return self.TABLE.read(node, report, where)
        amount = self.AMOUNT.read(node, report, where)
        return Record(node.place, {"max-price": amount} if amount else {}, {"max-price": node.place})


PROTOCOLS = ("tcp", "http", "https", "udp")


def _protocol(text: str) -> str:
    if text.lower() not in PROTOCOLS:
        raise ValueError(text)
    return text.lower()


_TO = Table(
    fields={"service": Field(SERVICE_REFERENCE), "global": Field(BOOLEAN)},
    hints={"port": "`port` belongs to the expose itself, one level up"},
)
_EXPOSE = Table(
    fields={
        "port": Field(PORT, missing="write the port that the service listens on, such as `port: 8080`"),
        "as": Field(PORT),
        "proto": Field(
            Only(
                shape=Text(parse=_protocol, expected="tcp, http or https"),
                allowed=lambda v: v != "udp",
                what="UDP is",
                remedy=UDP_NOT_YET,
            )
        ),
        "accept": Field(HOSTNAMES),
        "to": Field(ListOf(item=_TO, or_single=True, maximum=64)),
    },
    hints={"hostnames": "write `accept:`", "protocol": "write `proto:`", "global": "write `to: [{global: true}]`"},
)
_DEPENDS_ON = Table(fields={"service": Field(SERVICE_REFERENCE, missing="write `service: name`")})
_SERVICE = Table(
    fields=SERVICE_FIELDS
    | {
        "depends-on": Field(
            ListOf(
                item=_DEPENDS_ON,
                or_single=True,
                maximum=64,
                remedy="write a list of `- service: name`",
            )
        ),
        "expose": Field(ListOf(item=_EXPOSE, or_single=True, maximum=64)),
    },
    hints=SERVICE_HINTS | {"dependencies": "version 0.1 writes `depends-on:`", "depends_on": "write `depends-on:`"},
)
_COMPUTE = Table(
    fields={
        "cpu": Field(CPU, missing="write `cpu:` with cores, such as 0.5"),
        "memory": Field(MEMORY, missing="write `memory:` with a size, such as 512Mi"),
        "disk": Field(STORAGE, missing="write `disk:` with a size, such as 1Gi"),
    },
    hints={
        "storage": "version 0.1 writes `disk:`",
        "ram": "write `memory:`",
        "resources": "version 0.1 has cpu, memory, disk here",
    },
)
_INFRASTRUCTURE = MapOf(
    item=Table(
        fields={
            "attributes": Field(ATTRIBUTES),
            "region": Field(Text(bytes_max=128)),
            "pricing": Field(MapOf(item=_Pricing())),
        }
    ),
    name=placement_name,
    name_expected=PLACEMENT_NAME_EXPECTED,
)
_SERVICES = MapOf(item=_SERVICE, name=service_name, name_expected=SERVICE_NAME_EXPECTED, maximum=64)


def _uses(count_name: str) -> MapOf:
    use = Table(
        fields={
            "profile": Field(PROFILE_REFERENCE, missing="write `profile:` with the name of a compute profile"),
            count_name: Field(COUNT, missing=f"write `{count_name}: 1`"),
        },
        hints={"nodes": "write `count:`", "count": "the layout with datacenters writes `nodes:`"},
    )
    return MapOf(item=MapOf(item=use))


TODAY = Table(
    fields=top_fields()
    | {
        "services": Field(_SERVICES, missing="write `services:` with one entry per service"),
        "profiles": Field(
            Table(
                fields={
                    "compute": Field(
                        MapOf(item=_COMPUTE), missing="write `compute:` with cpu, memory and disk per profile"
                    ),
                    "infrastructure": Field(_INFRASTRUCTURE),
                    "placement": Field(_INFRASTRUCTURE),
                }
            ),
            missing="write `profiles:` with `compute:` and `infrastructure:`",
        ),
        "deployment": Field(
            _uses("count"), missing="write `deployment:` with a placement, profile and count per service"
        ),
    }
)

_DATACENTER = Table(
    fields={
        "region": Field(Text(bytes_max=128)),
        "attributes": Field(ATTRIBUTES),
        "profiles": Field(
            MapOf(
                item=Table(
                    fields={
                        "compute": Field(_COMPUTE, missing="write `compute:` with cpu, memory and disk"),
                        "pricing": Field(_Pricing(), missing="write `pricing:` with `max-price:`"),
                    }
                )
            ),
            missing="write `profiles:` with compute and pricing for each",
        ),
    }
)
OLDER = Table(
    fields=top_fields()
    | {
        "services": Field(_SERVICES, missing="write `services:` with one entry per service"),
        "deployment": Field(
            Table(
                fields={
                    "datacenters": Field(
                        MapOf(item=_DATACENTER, name=placement_name, name_expected=PLACEMENT_NAME_EXPECTED),
                        missing="write `datacenters:` with the profiles of each",
                    ),
                    "services": Field(
                        _uses("nodes"), missing="write `services:` with a datacenter, profile and nodes for each"
                    ),
                }
            ),
            missing="write `deployment:` with `datacenters:` and `services:`",
        ),
    }
)
