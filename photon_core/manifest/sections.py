"""A section as bytes, and whether a section is fit to be run for what was ordered.

A provider gets sections from strangers. `decode_section` holds every field to its form and bounds; `mismatches` says
what else is wrong: the forms cannot know that names are valid, that the services of a section name each other, or that
they use exactly what the group on chain ordered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from photon_core.api import codec
from photon_core.api.errors import CodecError
from photon_core.api.fields import from_plain, to_plain
from photon_core.api.resources import Resources, ResourceUnit

from .names import is_environment_name, is_hostname, is_service_name
from .records import SECTION_BYTES_MAX, Expose, Protocol, Section, Service

SHOWN_BYTES_MAX = 60


def encode_section(section: Section) -> bytes:
    """The section's bytes; CodecError when it does not keep its own bounds."""
    plain = to_plain(section)
    from_plain(Section, plain)  # a record can be made with anything in it; only this looks
    data = codec.encode(plain)
    if len(data) > SECTION_BYTES_MAX:
        raise CodecError("Section", f"at most {SECTION_BYTES_MAX} bytes", f"{len(data)} bytes")
    return data


def decode_section(data: bytes) -> Section:
    """CodecError when `data` is not the one encoding of a section."""
    return codec.decode_record(Section, data, SECTION_BYTES_MAX)


def mismatches(section: Section, units: tuple[ResourceUnit, ...]) -> tuple[str, ...]:
    """Why this section must not be run for a group that ordered `units`; empty when it may."""
    return (
        *_amounts(section, units),
        *_repeated((s.name for s in section.services), "service"),
        *_repeated(_hostnames(section), "hostname"),
        *(problem for service in section.services for problem in _service(service, section)),
        *_circle(section),
    )


def _hostnames(section: Section) -> Iterator[str]:
    return (name for service in section.services for expose in service.expose for name in expose.hostnames)


def _amounts(section: Section, units: tuple[ResourceUnit, ...]) -> Iterator[str]:
    """Services that share a profile may have been merged into one unit, so instances are counted by their resources."""
    ordered: Counter[Resources] = Counter()
    asked: Counter[Resources] = Counter()
    for unit in units:
        ordered[unit.resources] += unit.count
    for service in section.services:
        asked[service.resources] += service.count
    for resources in dict.fromkeys([*ordered, *asked]):
        if ordered[resources] != asked[resources]:
            yield (
                f"{asked[resources]} instances of {resources.cpu_milli}m cpu, {resources.memory_bytes} bytes memory, "
                f"{resources.storage_bytes} bytes storage, where {ordered[resources]} were ordered"
            )


def _service(service: Service, section: Section) -> Iterator[str]:
    where = f"service {_shown(service.name)}"
    names = {other.name for other in section.services}
    if not is_service_name(service.name):
        yield f"{where}: not a service's name"
    if not service.image or service.image != "".join(service.image.split()):
        yield f"{where}: {_shown(service.image)} is not an image reference"
    if any("\0" in word for word in (service.image, *service.command, *service.args, *(v for _, v in service.env))):
        yield f"{where}: a NUL in image, command, args or env"
    for key, _ in service.env:
        if not is_environment_name(key):
            yield f"{where}: {_shown(key)} is not the name of a variable"
    yield from _repeated((key for key, _ in service.env), f"{where}: variable")
    yield from _repeated((str(expose.as_port) for expose in service.expose), f"{where}: port")
    strangers = [name for name in service.depends_on if name not in names]
    yield from (f"{where}: waits for {_shown(name)}, which is not here" for name in strangers)
    for expose in service.expose:
        yield from (f"{where}: port {expose.as_port}: {problem}" for problem in _expose(expose, names))


def _expose(expose: Expose, names: set[str]) -> Iterator[str]:
    is_public = any(target.service is None for target in expose.targets)
    if expose.protocol is Protocol.UDP:
        yield "UDP is not supported yet"
    if expose.protocol is Protocol.HTTP and not is_public:
        yield "HTTP by hostname is for everyone, and nobody but services may connect"
    if expose.hostnames and expose.protocol is not Protocol.HTTP:
        yield "only HTTP has hostnames"
    yield from (f"{_shown(name)} is not a hostname" for name in expose.hostnames if not is_hostname(name))
    for target in expose.targets:
        if target.everywhere:
            yield "connections between providers are not supported yet"
        elif target.service is not None and target.service not in names:
            yield f"{_shown(target.service)} may connect, and is not here"
    yield from _repeated((target.service or "everyone" for target in expose.targets), "target")


def _circle(section: Section) -> Iterator[str]:
    """Takes away services that wait for nothing that is left, until none can be."""
    waits = {service.name: set(service.depends_on) for service in section.services}
    while ready := [name for name, needs in waits.items() if not needs & waits.keys()]:
        for name in ready:
            del waits[name]
    if waits:
        yield f"services wait for each other in a circle: {', '.join(_shown(name) for name in list(waits)[:8])}"


def _repeated(names: Iterable[str], what: str) -> Iterator[str]:
    yield from (f"{what} {_shown(name)} is there {count} times" for name, count in Counter(names).items() if count > 1)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_BYTES_MAX else text[:SHOWN_BYTES_MAX] + "…")
