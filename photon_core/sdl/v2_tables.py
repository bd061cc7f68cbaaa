"""The tables of versions 2.0 and 2.1: which fields there are, their forms, and what is not built yet."""

from __future__ import annotations

from collections.abc import Mapping as MappingLike
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
    PROFILE_REFERENCE,
    SERVICE_FIELDS,
    SERVICE_HINTS,
    SERVICE_NAME_EXPECTED,
    SERVICE_REFERENCE,
    STORAGE,
    UDP_NOT_YET,
    not_yet,
    placement_name,
    service_name,
    top_fields,
)
from .schema import Field, ListOf, MapOf, NotYet, Only, Table, Text, is_null
from .tree import Mapping, Node, Scalar, Sequence


def _asks_for_no_gpu(node: Node) -> bool:
    """`gpu: {units: 0}` is in many files."""
    if not isinstance(node, Mapping):
        return is_null(node)
    attributes, units = node.entries.get("attributes"), node.entries.get("units")
    none_wanted = units is None or (
        isinstance(units.value, Scalar) and (units.value.is_null or units.value.text == "0")
    )
    return (
        none_wanted
        and (attributes is None or is_null(attributes.value))
        and set(node.entries) <= {"units", "attributes"}
    )


def _names_no_auditor(node: Node) -> bool:
    if not isinstance(node, Mapping):
        return is_null(node)
    lists = [entry.value for entry in node.entries.values()]
    return set(node.entries) <= {"anyOf", "allOf"} and all(
        is_null(value) or (isinstance(value, Sequence) and not value.items) for value in lists
    )


def _is_empty(node: Node) -> bool:
    match node:
        case Scalar():
            return node.is_null
        case Sequence():
            return not node.items
        case Mapping():
            return not node.entries


def _empty_or_not_yet(what: str, remedy: str) -> Field:
    return Field(NotYet(what=what, remedy=remedy, harmless=_is_empty))


def _protocol(text: str) -> str:
    if text.lower() not in {"tcp", "udp"}:
        raise ValueError(text)
    return text.lower()


def _class(text: str) -> str:
    if text not in {"default", "beta1", "beta2", "beta3", "ram"}:
        raise ValueError(text)
    return text


_TO = Table(
    fields={
        "service": Field(SERVICE_REFERENCE),
        "global": Field(BOOLEAN),
        "ip": not_yet(
            "an address of its own (`ip`) is", "remove `ip`: the provider's address and port are in `photon status`"
        ),
    },
    hints={"port": "`port` belongs to the expose itself, one level up"},
)
_EXPOSE = Table(
    fields={
        "port": Field(PORT, missing="write the port that the service listens on, such as `port: 8080`"),
        "as": Field(PORT),
        "proto": Field(
            Only(
                shape=Text(
                    parse=_protocol, expected="tcp or udp", remedy="write tcp; external port 80 is HTTP by hostname"
                ),
                allowed=lambda v: v != "udp",
                what="UDP is",
                remedy=UDP_NOT_YET,
            )
        ),
        "accept": Field(HOSTNAMES),
        "to": Field(ListOf(item=_TO, maximum=64, remedy="write a list of `- global: true` or `- service: name`")),
        "http_options": _empty_or_not_yet("HTTP options are", "remove `http_options`: the provider's defaults hold"),
    },
    hints={"hostnames": "write `accept:`", "protocol": "write `proto:`", "global": "write `to: [{global: true}]`"},
)
_PARAMS = Table(
    fields={
        "storage": _empty_or_not_yet(
            "mounted volumes are", "remove `params.storage`: files are kept inside the instance"
        ),
        "permissions": _empty_or_not_yet("permissions of a service are", "remove `params.permissions`"),
        "egress": _empty_or_not_yet("connections to the outside are", "remove `params.egress`"),
        "tee": not_yet("trusted execution (`tee`) is", "remove `params.tee`"),
    }
)
_SERVICE = Table(
    fields=SERVICE_FIELDS
    | {
        "dependencies": Field(
            ListOf(
                item=Table(fields={"service": Field(SERVICE_REFERENCE, missing="write `service: name`")}),
                maximum=64,
                remedy="write a list of `- service: name`",
            )
        ),
        "expose": Field(ListOf(item=_EXPOSE, maximum=64, remedy="write a list of `- port: …`")),
        "params": Field(_PARAMS),
        "credentials": not_yet(
            "private images (`credentials`) are",
            "push the image to a registry that everyone can read, remove `credentials`",
        ),
    },
    hints=SERVICE_HINTS
    | dict.fromkeys(("depends-on", "depends_on", "dependsOn"), "versions 2.x write `dependencies:`"),
)
_VOLUME = Table(
    fields={
        "size": Field(STORAGE, missing="write `size:`, such as 1Gi"),
        "name": Field(Text(bytes_max=63)),
        "attributes": Field(
            Table(
                fields={
                    "persistent": Field(
                        Only(
                            shape=BOOLEAN,
                            allowed=lambda v: not v,
                            what="persistent storage is",
                            remedy="remove `attributes`: the volume then lives as long as the instance",
                        )
                    ),
                    "class": Field(
                        Only(
                            shape=Text(parse=_class, expected="default, beta1, beta2, beta3 or ram"),
                            allowed=lambda _: False,
                            what="a class of storage is",
                            remedy="remove `attributes`: the volume then lives as long as the instance",
                        )
                    ),
                }
            )
        ),
    }
)
_RESOURCES = Table(
    fields={
        "cpu": Field(
            Table(
                fields={
                    "units": Field(CPU, missing="write `units:` with cores, such as 0.5"),
                    "attributes": Field(ATTRIBUTES),
                }
            ),
            missing="write `cpu:` with `units:`",
        ),
        "memory": Field(
            Table(
                fields={
                    "size": Field(MEMORY, missing="write `size:`, such as 512Mi"),
                    "attributes": Field(ATTRIBUTES),
                }
            ),
            missing="write `memory:` with `size:`",
        ),
        "storage": Field(ListOf(item=_VOLUME, or_single=True, maximum=16), missing="write `storage:` with `size:`"),
        "gpu": Field(NotYet(what="GPUs are", remedy="remove `gpu`, or write `units: 0`", harmless=_asks_for_no_gpu)),
    },
    hints={"disk": "versions 2.x write `storage:`", "ram": "write `memory:`"},
)
_COMPUTE = Table(
    fields={"resources": Field(_RESOURCES, missing="write `resources:` with cpu, memory and storage")},
    hints=dict.fromkeys(("cpu", "memory", "storage", "gpu"), "it belongs under `resources:`"),
)


def _price(rates: MappingLike[str, Fraction]) -> Table:
    def denom(text: str) -> str:
        if text not in rates:
            raise ValueError(text)
        return text

    missing = "write the most that one instance may cost per block of 6 seconds, such as `amount: 10`"
    amount = Text(parse=quantities.decimal, expected="a decimal number above 0", bytes_max=100, remedy=missing)
    return Table(
        fields={
            "denom": Field(
                Text(parse=denom, expected=f"one of {', '.join(rates)}", remedy="write `denom: uptn`"),
                missing="write `denom: uptn`",
            ),
            "amount": Field(amount, missing=missing),
        }
    )


def top(rates: MappingLike[str, Fraction]) -> Table:
    placement = Table(
        fields={
            "attributes": Field(ATTRIBUTES),
            "signedBy": Field(
                NotYet(
                    what="attributes signed by auditors are",
                    remedy="remove `signedBy`: providers state their attributes themselves",
                    harmless=_names_no_auditor,
                )
            ),
            "pricing": Field(MapOf(item=_price(rates)), missing="write `pricing:` with denom and amount per profile"),
        }
    )
    profiles = Table(
        fields={
            "compute": Field(MapOf(item=_COMPUTE), missing="write `compute:` with resources per profile"),
            "placement": Field(
                MapOf(item=placement, name=placement_name, name_expected=PLACEMENT_NAME_EXPECTED),
                missing="write `placement:` with pricing per placement",
            ),
        },
        hints={"infrastructure": "versions 2.x write `placement:`"},
    )
    use = Table(
        fields={
            "profile": Field(PROFILE_REFERENCE, missing="write `profile:` with the name of a compute profile"),
            "count": Field(COUNT, missing="write `count: 1`"),
        },
        hints={"nodes": "write `count:`"},
    )
    return Table(
        fields=top_fields()
        | {
            "services": Field(
                MapOf(item=_SERVICE, name=service_name, name_expected=SERVICE_NAME_EXPECTED, maximum=64),
                missing="write `services:` with one entry per service",
            ),
            "profiles": Field(profiles, missing="write `profiles:` with `compute:` and `placement:`"),
            "deployment": Field(
                MapOf(item=MapOf(item=use)),
                missing="write `deployment:` with a placement, profile and count per service",
            ),
            "endpoints": _empty_or_not_yet(
                "addresses of their own (`endpoints`) are", "remove `endpoints` and every `ip`"
            ),
            "reclamation": not_yet("a promised notice (`reclamation`) is", "remove `reclamation`"),
        }
    )
