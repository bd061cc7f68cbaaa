"""Good files: every version and layout of one deployment means the same."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from photon_core.api.resources import Resources, ResourceUnit
from photon_core.manifest.records import Protocol, Target
from photon_core.manifest.sections import mismatches
from photon_core.sdl import Plan, SdlErrors, load

Read = Callable[[str], Plan]
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("base", ["2.0", "2.1", "0.1", "older"])
def test_one_deployment_gives_the_same_groups_in_every_version(read: Read, bases: dict[str, str], base: str) -> None:
    assert read(bases[base]).groups == read(bases["2.0"]).groups


def test_the_two_tier_examples_are_one_deployment() -> None:
    plans = [load(EXAMPLES / f"two-tier-{version}.yml") for version in ("0.1", "2.0", "2.1")]
    assert [plan.version for plan in plans] == ["0.1", "2.0", "2.1"]
    assert plans[0].groups == plans[1].groups == plans[2].groups


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_examples_fit_what_they_order(path: Path) -> None:
    for group in load(path).groups:
        assert mismatches(group.section, group.units) == ()


def test_what_a_file_means(read: Read, bases: dict[str, str]) -> None:
    (group,) = read(bases["2.0"]).groups
    half = Resources(cpu_milli=500, memory_bytes=512 * 2**20, storage_bytes=512 * 2**20)
    full = Resources(cpu_milli=1000, memory_bytes=2**30, storage_bytes=2**30)

    assert group.name == "westcoast"
    assert group.attributes == (("region", "us-west"),)
    assert group.units == (
        ResourceUnit(resources=half, count=1, max_price=500 * 600 * 10**6),
        ResourceUnit(resources=full, count=2, max_price=1000 * 600 * 10**6),
    )
    assert group.collateral_uptn == (500 + 2 * 1000) * 600, "one hour of the price"
    db, web = group.section.services
    assert (web.name, web.count, web.env, web.depends_on) == ("web", 2, (("A", "1"),), ("db",))
    (ingress,) = web.expose
    assert (ingress.port, ingress.as_port, ingress.protocol) == (8080, 80, Protocol.HTTP)
    assert (ingress.hostnames, ingress.targets) == (("www.example.org",), (Target(),))
    (private,) = db.expose
    assert (private.port, private.as_port, private.protocol) == (6379, 6379, Protocol.TCP)
    assert private.targets == (Target(service="web"),)


def test_services_of_one_profile_are_one_unit_in_2_1_only(read: Read, bases: dict[str, str]) -> None:
    unmerged, merged = (read(bases[v].replace("profile: small", "profile: large")).groups[0] for v in ("2.0", "2.1"))

    assert [unit.count for unit in unmerged.units] == [1, 2]
    assert [unit.count for unit in merged.units] == [3]
    assert merged.max_price == unmerged.max_price
    assert merged.section == unmerged.section
    assert mismatches(merged.section, merged.units) == ()


def test_order_in_the_file_does_not_matter(read: Read, bases: dict[str, str]) -> None:
    lines = bases["2.0"].splitlines(keepends=True)
    assert lines[-2].startswith("  db: {westcoast")
    swapped = "".join([*lines[:-2], lines[-1], lines[-2]])
    assert read(swapped).groups == read(bases["2.0"]).groups


@pytest.mark.parametrize(
    ("stated", "uptn"), [("6h", 6 * 600_000), ("1d", 24 * 600_000), ("90m", 900_000), ("2.5", 2_500_000)]
)
def test_collateral_is_a_time_or_an_amount(read: Read, bases: dict[str, str], stated: str, uptn: int) -> None:
    text = bases["0.1"].replace("large: 0.6", f"large: {{max-price: 0.6, collateral: {stated}}}")
    assert read(text).groups[0].collateral_uptn == 2 * uptn + 300_000, "two of them, and an hour of the other's price"


@pytest.mark.parametrize(
    ("expose", "protocol"),
    [
        ("{port: 80}", Protocol.HTTP),
        ("{port: 443}", Protocol.HTTP),
        ("{port: 9000}", Protocol.TCP),
        ("{port: 9000, as: 80}", Protocol.HTTP),
        ("{port: 9000, proto: HTTP}", Protocol.HTTP),
        ("{port: 443, proto: tcp}", Protocol.TCP),
    ],
)
def test_protocol_goes_by_port_in_0_1(read: Read, bases: dict[str, str], expose: str, protocol: Protocol) -> None:
    text = bases["0.1"].replace("{port: 8080, as: 80, accept: [www.example.org], to: [{global: true}]}", expose)
    (only,) = read(text).groups[0].section.services[1].expose
    assert only.protocol is protocol
    assert only.targets == (Target(),), "no `to` at all in 0.1: everyone"


def test_a_port_without_to_opens_nothing_in_2_x_and_says_so(read: Read, bases: dict[str, str]) -> None:
    plan = read(bases["2.0"].replace("        to: [{service: web}]\n", ""))
    assert plan.groups[0].section.services[0].expose[0].targets == ()
    assert [w.place.line for w in plan.warnings if "opened to nobody" in w.what] == [6]


def test_entries_for_one_port_are_one(read: Read, bases: dict[str, str]) -> None:
    text = bases["0.1"].replace(
        "[{port: 6379, to: [{service: web}]}]",
        "[{port: 6379, to: [{service: web}]}, {port: 6379, to: [{global: true}]}]",
    )
    (only,) = read(text).groups[0].section.services[0].expose
    assert only.targets == (Target(), Target(service="web"))


def test_placements_are_groups_of_their_own(read: Read, bases: dict[str, str]) -> None:
    text = bases["0.1"].replace("westcoast:\n", "eastcoast: {pricing: {small: 0.3}}\n    westcoast:\n")
    plan = read(text.replace("db: {westcoast", "db: {eastcoast"))

    assert [group.name for group in plan.groups] == ["eastcoast", "westcoast"]
    east, west = plan.sections
    assert east.services[0].expose[0].targets == (), "web is not there"
    assert west.services[0].depends_on == ()
    assert sum("no effect" in warning.what for warning in plan.warnings) == 2


def test_hardware_attributes_become_requirements(read: Read, bases: dict[str, str]) -> None:
    plan = read(bases["2.0"].replace("cpu: {units: 1}", "cpu: {units: 1, attributes: {arch: amd64}}"))
    assert plan.groups[0].attributes == (("cpu/arch", "amd64"), ("region", "us-west"))


def test_other_denoms_are_read_by_the_table(tmp_path: Path, bases: dict[str, str], read: Read) -> None:
    path = tmp_path / "akash.yml"
    path.write_text(bases["2.0"].replace("uptn", "uakt"))
    assert load(path).groups == read(bases["2.0"]).groups
    assert any("uakt is read as uptn" in warning.what for warning in load(path).warnings)
    assert load(path, rates={"uakt": Fraction(3, 2)}).max_price * 2 == load(path).max_price * 3
    with pytest.raises(SdlErrors, match="denom is not valid"):
        load(path, rates={"uptn": Fraction(1)})


def test_what_real_files_have(read: Read, bases: dict[str, str]) -> None:
    text = bases["2.0"].replace('"2.0"', "2.0").replace("port: 6379", 'port: "6379"\n        proto: TCP')
    text = text.replace("    image: redis:7", "    image: redis:7\n    args:\n    command: null\n    params: {}")
    text = text.replace("env: [A=1]", "env: [A=1, discovery.type=x=y]")
    text = text.replace("attributes: {region", "signedBy: {anyOf: []}\n      attributes: {region")
    text = text.replace("cpu: {units: 1}", "gpu: {units: 0}, cpu: {units: '1'}")
    plan = read(text)
    assert plan.groups[0].units == read(bases["2.0"]).groups[0].units
    assert plan.groups[0].section.services[1].env[1] == ("discovery.type", "x=y")


def test_anchors_and_merge_keys(read: Read, bases: dict[str, str]) -> None:
    text = (
        bases["2.0"]
        .replace(
            "    small: {resources: {cpu: {units: 0.5}, memory: {size: 512Mi}, storage: {size: 512Mi}}}\n",
            "    small:\n      resources: {<<: *large, cpu: {units: 0.5}}\n",
        )
        .replace("large: {resources: {", "large: {resources: &large {")
    )
    small = read(text).groups[0].units[0].resources
    assert (small.cpu_milli, small.memory_bytes) == (500, 2**30), "what is written wins over what is merged"


def test_yaml_words_for_true_mean_true_and_texts_stay_texts(read: Read, bases: dict[str, str]) -> None:
    text = bases["2.0"].replace("global: true", "global: yes").replace("env: [A=1]", "args: [yes, 010, 1e3, 0.10]")
    web = read(text).groups[0].section.services[1]
    assert web.args == ("yes", "010", "1e3", "0.10")
    assert web.expose[0].targets == (Target(),)


def test_what_is_not_used_is_told(read: Read, bases: dict[str, str]) -> None:
    text = bases["2.0"].replace("  db:\n", "  idle: {image: a}\n  db:\n").replace("    small: {res", "    spare: {res")
    text = text.replace("    spare: {res", "    small: {res", 1)
    whats = [warning.what for warning in read(text).warnings]
    assert any("service idle is not deployed" in what for what in whats)
    assert any("cannot reach the internet" in what for what in whats)


def test_service_that_runs_only_where_images_run_is_told(read: Read, bases: dict[str, str]) -> None:
    def told(text: str) -> list[str]:
        return [warning.what for warning in read(text).warnings if "not as a process" in warning.what]

    assert "service web has neither command nor args" in told(bases["2.0"])[-1]
    assert not any("web" in what for what in told(bases["2.0"].replace("env: [A=1]", "args: [serve]")))


def test_finer_than_our_units_is_rounded_down_and_told(read: Read, bases: dict[str, str]) -> None:
    plan = read(bases["2.0"].replace("size: 1Gi", "size: 0.1Gi", 1).replace("units: 0.5", "units: 0.5004"))
    assert plan.groups[0].units[1].resources.memory_bytes == 107374182
    assert plan.groups[0].units[0].resources.cpu_milli == 500
    assert sum("rounded down" in warning.what for warning in plan.warnings) == 2
