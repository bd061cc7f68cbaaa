"""Sections from strangers: their bytes, and what is wrong in them."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.errors import CodecError
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target
from photon_core.manifest.sections import decode_section, encode_section, mismatches

Change = Callable[[Service], Service]


def expose(**parts: object) -> Change:
    return lambda web: evolve(web, expose=(evolve(web.expose[0], **parts),))


def test_a_section_comes_back_from_its_bytes(group: GroupPlan) -> None:
    assert decode_section(encode_section(group.section)) == group.section


def test_a_section_beyond_its_bounds_is_not_encoded(group: GroupPlan) -> None:
    web = evolve(group.section.services[1], args=("x" * 65_537,))
    with pytest.raises(CodecError, match="args"):
        encode_section(Section(group="west", services=(web,)))


@given(st.binary(max_size=400))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_section(data)


def test_a_section_that_fits_its_order(group: GroupPlan) -> None:
    assert mismatches(group.section, group.units) == ()


def test_services_may_have_been_merged_into_one_unit(group: GroupPlan) -> None:
    merged = (evolve(group.units[0], count=3),)
    assert mismatches(group.section, merged) == ()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda web: evolve(web, count=3), "were ordered"),
        (lambda web: evolve(web, resources=evolve(web.resources, cpu_milli=200)), "were ordered"),
        (lambda web: evolve(web, name="../etc"), "not a service's name"),
        (lambda web: evolve(web, name="db"), "service 'db' is there 2 times"),
        (lambda web: evolve(web, image=""), "not an image reference"),
        (lambda web: evolve(web, image="a b"), "not an image reference"),
        (lambda web: evolve(web, args=("a\0",)), "a NUL"),
        (lambda web: evolve(web, env=(("A B", ""),)), "not the name of a variable"),
        (lambda web: evolve(web, env=(("A", ""), ("A", ""))), "variable 'A' is there 2 times"),
        (lambda web: evolve(web, depends_on=("cache",)), "waits for 'cache', which is not here"),
        (lambda web: evolve(web, depends_on=("web",)), "in a circle"),
        (lambda web: evolve(web, expose=web.expose * 2), "port '80' is there 2 times"),
        (expose(protocol=Protocol.UDP), "UDP is not supported"),
        (expose(targets=()), "nobody but services"),
        (expose(protocol=Protocol.TCP), "only HTTP has hostnames"),
        (expose(hostnames=("a_b",)), "not a hostname"),
        (expose(hostnames=("a.org", "a.org")), "hostname 'a.org' is there 2 times"),
        (expose(targets=(Target(), Target(service="cache"))), "'cache' may connect, and is not here"),
        (expose(targets=(Target(), Target(service="db", everywhere=True))), "between providers"),
        (expose(targets=(Target(), Target())), "target 'everyone' is there 2 times"),
    ],
)
def test_what_is_wrong_is_said(group: GroupPlan, change: Change, problem: str) -> None:
    db, web = group.section.services
    section = Section(group="west", services=(db, change(web)))
    assert any(problem in found for found in mismatches(section, group.units))


def test_a_port_that_opens_nothing_is_fine(group: GroupPlan) -> None:
    db, web = group.section.services
    section = Section(group="west", services=(evolve(db, expose=(Expose(port=1, as_port=1),)), web))
    assert mismatches(section, group.units) == ()
