"""What the versions have in common: names, ports, commands, environment, and how they are drafted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from photon_core.api.resources import CPU_MILLI_MAX, MEMORY_BYTES_MAX, STORAGE_BYTES_MAX
from photon_core.manifest.names import is_environment_name, is_hostname, is_service_name
from photon_core.manifest.records import Protocol

from . import draft, quantities
from .problems import Report
from .schema import Field, Leaf, ListOf, MapOf, NotYet, Quantity, Record, Text

HTTP_PORT = 80
PRICE_MAX = 2**63
"""Of one instance, 10⁻⁶ uptn per hour: what the chain can hold."""
_PLACEMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_ATTRIBUTE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,127}")
MIB = 2**20

# --- forms of scalars ------------------------------------------------------------------------------------------------


def matching(accepts: Callable[[str], Any]) -> Callable[[str], str]:
    """A parser that takes a text as it is, or not at all."""

    def parse(text: str) -> str:
        if not accepts(text):
            raise ValueError(text)
        return text

    return parse


def between(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = quantities.whole(text)
        if not minimum <= number <= maximum:
            raise ValueError(text)
        return number

    return parse


def _hostname(text: str) -> str:
    if not is_hostname(text.lower()):
        raise ValueError(text)
    return text.lower()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not is_environment_name(key):
        raise ValueError(text)
    return key, value


service_name = matching(is_service_name)
SERVICE_NAME_EXPECTED = "lower-case letters, digits and `-`, a letter first, no `-` last, at most 63"
placement_name = matching(_PLACEMENT_NAME.fullmatch)
PLACEMENT_NAME_EXPECTED = "letters, digits and . _ / -, at most 63"

SERVICE_REFERENCE = Text(parse=service_name, expected="the name of a service", remedy="write a name from `services`")
PROFILE_REFERENCE = Text(expected="the name of a compute profile")
PORT = Text(parse=between(1, 65_535), expected="a port from 1 to 65535", remedy="write the number alone, such as 8080")
COUNT = Text(parse=between(1, 1000), expected="a whole number from 1 to 1000", remedy="write how many instances to run")
BOOLEAN = Text(parse=quantities.boolean, expected="true or false")
IMAGE = Text(
    parse=matching(lambda text: text and not re.search(r"\s", text)),
    expected="a full image reference",
    remedy="write one such as nginx:1.27",
    bytes_max=512,
)
WORDS = ListOf(
    item=Text(expected="a text"), maximum=256, remedy='write a list, such as ["python3", "-m", "http.server"]'
)
ARGS = ListOf(item=Text(expected="a text"), maximum=1024, remedy='write a list, such as ["--port", "8080"]')
ENV = ListOf(
    item=Text(
        parse=_pair, expected="KEY=value", remedy="write each as `- KEY=value`; keys are letters, digits, _ . and -"
    ),
    remedy="write a list of `- KEY=value`",
)
HOSTNAMES = ListOf(
    item=Text(
        parse=_hostname, expected="a DNS name", remedy="write a name such as www.example.org, without scheme or port"
    ),
    maximum=64,
)
ATTRIBUTES = MapOf(
    item=Text(expected="a text", bytes_max=128),
    maximum=64,
    name=matching(_ATTRIBUTE_KEY.fullmatch),
    name_expected="a letter, then letters, digits, _ . / -, at most 128",
)
INCLUDE = ListOf(item=Text(), maximum=32, remedy='write a list of files, such as ["base.yml"]')
CPU = Quantity(
    parse=quantities.cpu_milli,
    expected='cores such as 2, 0.5 or "500m"',
    unit="thousandths of a core",
    minimum=10,
    maximum=CPU_MILLI_MAX,
    limits="10m to 384 cores",
    remedy='write cores, such as 0.5 or "500m"',
)
MEMORY = Quantity(
    parse=quantities.size_bytes,
    expected="a size such as 512Mi or 2G",
    unit="bytes",
    minimum=MIB,
    maximum=MEMORY_BYTES_MAX,
    limits="1Mi to 2Ti",
    remedy="units are k M G T P E, or Ki Mi Gi Ti Pi Ei",
)
STORAGE = Quantity(
    parse=quantities.size_bytes,
    expected="a size such as 5Gi or 10G",
    unit="bytes",
    minimum=5 * MIB,
    maximum=STORAGE_BYTES_MAX,
    limits="5Mi to 32Ti",
    remedy="units are k M G T P E, or Ki Mi Gi Ti Pi Ei",
)

SERVICE_FIELDS = {
    "image": Field(IMAGE, missing="write `image:` with a full image reference, such as nginx:1.27"),
    "command": Field(WORDS),
    "args": Field(ARGS),
    "env": Field(ENV),
}
SERVICE_HINTS = {
    "ports": "write `expose:` with `- port: …`",
    "environment": "write `env:` with `- KEY=value`",
    "entrypoint": "write `command:`",
    "cmd": "write `args:`",
    "replicas": "write `count:` under `deployment`",
    "volumes": "volumes are not supported yet; keep data in the instance",
    "build": "build and push the image first, then name it in `image:`",
    "links": "write `expose: … to: [{service: …}]` at the service that is called",
}
UDP_NOT_YET = "use TCP, or run this service elsewhere until UDP is built"


def top_fields() -> dict[str, Field]:
    return {"version": Field(Text(), missing='write `version: "2.0"` first'), "include": Field(INCLUDE)}


def not_yet(what: str, remedy: str) -> Field:
    return Field(NotYet(what=what, remedy=remedy))


# --- drafting --------------------------------------------------------------------------------------------------------


def draft_env(service: Record, report: Report) -> tuple[tuple[str, str], ...]:
    first: dict[str, Leaf[tuple[str, str]]] = {}
    for leaf in service.items("env"):
        key = leaf.value[0]
        if key in first:
            report.problem(
                leaf.place,
                f"{key} is set twice",
                found=f"the first at line {first[key].place.line}",
                remedy="keep one of them",
            )
        first.setdefault(key, leaf)
    return tuple(leaf.value for leaf in first.values())


def words(service: Record, name: str) -> tuple[str, ...]:
    return tuple(leaf.value for leaf in service.items(name))


def named(name: str, record: Record) -> draft.Name:
    """A name of the tenant's choice, with its place."""
    return Leaf(name, record.keys[name])


def draft_depends_on(service: Record, field_name: str) -> tuple[draft.Name, ...]:
    references = (entry.get("service") for entry in service.items(field_name))
    return tuple(reference for reference in references if reference is not None)


def draft_service(
    name: draft.Name,
    record: Record,
    exposes: tuple[draft.Expose, ...],
    depends_on: tuple[draft.Name, ...],
    report: Report,
) -> draft.Service:
    return draft.Service(
        name=name,
        image=record.value("image"),
        command=words(record, "command"),
        args=words(record, "args"),
        env=draft_env(record, report),
        exposes=exposes,
        depends_on=depends_on,
    )


def draft_expose(record: Record, ingress: Protocol, targets: tuple[draft.Target, ...]) -> draft.Expose:
    port = record.value("port")
    return draft.Expose(
        place=record.place,
        port=port,
        as_port=record.value("as", port),
        ingress=ingress,
        hostnames=record.items("accept"),
        targets=targets,
    )


def draft_targets(record: Record, report: Report) -> tuple[draft.Target, ...]:
    """The table "who may connect"; entries that are refused are left out."""
    targets = []
    for entry in record.items("to"):
        everywhere = entry.value("global", default=False)
        service = entry.get("service")
        if entry.has("ip") or everywhere is None:
            continue
        if not entry.has("service"):
            if everywhere:
                targets.append(draft.Target(place=entry.place, service=None))
            else:
                report.problem(
                    entry.place,
                    "nobody could connect: neither a service nor everyone is named",
                    remedy="write `service: name`, or `global: true` for everyone",
                )
        elif everywhere:
            report.problem(
                entry.place_of("global"),
                "`service` with `global: true` (connections between providers) is not supported yet",
                remedy="remove `global`, and deploy both services at one placement",
            )
        elif service is not None:
            targets.append(draft.Target(place=service.place, service=service))
    return tuple(targets)


def draft_uses(deployment: Record, count_name: str = "count") -> tuple[draft.Use, ...]:
    uses = []
    for service, placements in deployment.fields.items():
        for placement, use in placements.fields.items():
            uses.append(
                draft.Use(
                    place=placements.keys[placement],
                    service=named(service, deployment),
                    placement=named(placement, placements),
                    profile=use.get("profile"),
                    count=use.value(count_name),
                )
            )
    return tuple(uses)
