"""Bad files: where the mistake is, and what to write instead. § in a case marks the place that must be named."""

from collections.abc import Callable

import pytest

from photon_core.sdl import SdlErrors

MARK = "§"

# (version, text that is replaced, by what, what is said, in the remedy)
CASES = [
    ("2.0", 'version: "2.0"\n', "", "version is missing", "version:"),
    ("2.0", 'version: "2.0"', 'version: §"3.0"', "this version is not known", "2.0"),
    ("2.0", "image: redis:7", "§imge: redis:7", "services.db.imge is not a field", "did you mean `image`"),
    ("2.0", "image: redis:7", 'image: §""', "services.db.image is not valid", "nginx:1.27"),
    ("2.0", "  db:\n    image", "  §Db:\n    image", "a name is not valid", "rename it"),
    ("2.0", "port: 6379", "port: §66000", "port is not valid", "8080"),
    ("2.0", "port: 6379", "port: §0637", "port is not valid", "8080"),
    ("2.0", "port: 6379", "port: §80:80", "port is not valid", "number alone"),
    ("2.0", "port: 6379", "port: §[6379]", "wrong type", "8080"),
    ("2.0", "- port: 6379\n        to", "- §to", "port is missing", "write the port"),
    ("2.0", "env: [A=1]", "env: [§A]", "env[0] is not valid", "KEY=value"),
    ("2.0", "env: [A=1]", "env: [A=1, §A=2]", "A is set twice", "keep one"),
    ("2.0", "env: [A=1]", "env: §{A: 1}", "wrong type", "- KEY=value"),
    ("2.0", "env: [A=1]", "command: §sh -c true", "wrong type", "write a list"),
    ("2.0", "env: [A=1]", 'args: [§"a\\0b"]', "NUL", "no process"),
    ("2.0", "env: [A=1]", "§ports: [80]", "ports is not a field", "expose:"),
    ("2.0", "env: [A=1]", "§depends-on: []", "depends-on is not a field", "dependencies:"),
    ("2.0", "[{service: db}]", "[{service: §bd}]", "no service 'bd'", "define it under `services`"),
    ("2.0", "[{service: web}]", "[{service: §wbe}]", "no service 'wbe'", "did you mean `web`"),
    ("2.0", "[{service: web}]", "[§{global: false}]", "nobody could connect", "global: true"),
    ("2.0", "[{service: web}]", "[§{}]", "nobody could connect", "global: true"),
    ("2.0", "[{service: web}]", "[{service: web, §global: true}]", "between providers", "remove `global`"),
    ("2.0", "[{service: web}]", "[{service: web, global: §maybe}]", "global is not valid", ""),
    ("2.0", "[{global: true}]", "[{global: true, ip: §front}]", "not supported yet", "remove `ip`"),
    ("2.0", "as: 80", "as: 80\n        proto: §udp", "UDP is not supported yet", "use TCP"),
    ("2.0", "as: 80", "as: 80\n        proto: §UDP", "UDP is not supported yet", "use TCP"),
    ("2.0", "as: 80", "as: 80\n        proto: §http", "proto is not valid", "write tcp"),
    ("2.0", "as: 80", "as: 80\n        http_options: §{max_body_size: 1}", "HTTP options", "remove `http_options`"),
    ("2.0", "www.example.org", "§http://x.org", "is not valid", "without scheme"),
    ("2.0", "www.example.org", "§10.0.0.1", "is not valid", "without scheme"),
    ("2.0", "www.example.org", "a.org, §A.org", "hostname a.org is given twice", "keep it at one"),
    ("2.0", "[{global: true}]", "[{service: db}]", "no service can be reached from outside", "global: true"),
    (
        "2.0",
        "env: [A=1]",
        "credentials: §{host: a, username: b, password: c}",
        "private images",
        "remove `credentials`",
    ),
    ("2.0", "env: [A=1]", "params: {storage: §{data: {mount: /d}}}", "mounted volumes", "remove `params.storage`"),
    ("2.0", "env: [A=1]", "params: {egress: §['a:1']}", "connections to the outside", "remove `params.egress`"),
    ("2.0", "env: [A=1]", "params: {tee: §cpu}", "(`tee`)", "remove `params.tee`"),
    ("2.0", "env: [A=1]", "params: {permissions: §{read: [logs]}}", "permissions", "remove `params.permissions`"),
    ("2.0", "cpu: {units: 1}", "cpu: {units: §0}", "cpu.units is out of range", "10m to 384"),
    ("2.0", "cpu: {units: 1}", "cpu: {units: §385}", "cpu.units is out of range", "10m to 384"),
    ("2.0", "cpu: {units: 1}", "cpu: {units: §-1}", "cpu.units is not valid", "0.5"),
    ("2.0", "cpu: {units: 1}, ", "", "resources.cpu is missing", "units:"),
    ("2.0", "cpu: {units: 1}", "gpu: §{units: 1, attributes: {vendor: {}}}, cpu: {units: 1}", "GPUs are", "units: 0"),
    ("2.0", "memory: {size: 1Gi}", "memory: {size: §1GB}", "memory.size is not valid", "Ki Mi Gi"),
    ("2.0", "memory: {size: 1Gi}", "memory: {size: §1Ki}", "memory.size is out of range", "1Mi to 2Ti"),
    ("2.0", "memory: {size: 1Gi}", "memory: {size: §9Ei}", "memory.size is out of range", "1Mi to 2Ti"),
    ("2.0", "storage: {size: 1Gi}", "storage: {size: 1Gi, attributes: {persistent: §true}}", "persistent", "remove"),
    ("2.0", "storage: {size: 1Gi}", "storage: {size: 1Gi, attributes: {persistent: §'true'}}", "persistent", "remove"),
    ("2.0", "storage: {size: 1Gi}", "storage: {size: 1Gi, attributes: {class: §beta2}}", "class of storage", "remove"),
    ("2.0", "storage: {size: 1Gi}", "storage: [{size: 1Gi}, §{size: 1Gi}]", "two volumes are named default", "its own"),
    ("2.0", "amount: 1000", "amount: §0", "the price is out of range", "per block"),
    ("2.0", "denom: uptn, amount: 1000", "denom: §usd, amount: 1000", "denom is not valid", "uptn"),
    ("2.0", "{denom: uptn, amount: 500}", "{denom: §uakt, amount: 500}", "two denoms", "in one denom"),
    (
        "2.0",
        "attributes: {region",
        "signedBy: {anyOf: []}\n      §colour: red\n      attributes: {region",
        "colour",
        "",
    ),
    ("2.0", "attributes: {region", "signedBy: §{anyOf: [akash1x]}\n      attributes: {region", "auditors", "signedBy"),
    ("2.0", "attributes: {region", "attributes: {§9: a, region", "a name is not valid", "rename"),
    ("2.0", "{profile: small,", "{profile: §smal,", "no compute profile 'smal'", "did you mean `small`"),
    ("2.0", "        small: {denom", "        smal: {denom", "has no price for profile 'small'", "write `small:`"),
    ("2.0", "db: {westcoast:", "db: {§eastcoast:", "no placement 'eastcoast'", "did you mean `westcoast`"),
    ("2.0", "  db: {westcoast", "  §bd: {westcoast", "no service 'bd'", "define it under `services`"),
    ("2.0", "count: 1}", "count: §0}", "count is not valid", "how many"),
    ("2.0", "count: 1}", "count: §1.5}", "count is not valid", "how many"),
    ("2.0", ", count: 1}", "}", "count is missing", "count: 1"),
    ("2.0", "deployment:\n", "endpoints: §{a: {kind: ip}}\ndeployment:\n", "endpoints", "remove `endpoints`"),
    ("2.0", "deployment:\n", "reclamation: §{min_window: 1h}\ndeployment:\n", "notice", "remove `reclamation`"),
    ("2.0", "deployment:\n", "§volumes: {}\ndeployment:\n", "volumes is not a field", "sdl.md"),
    ("2.0", "image: redis:7", "image: redis:7\n    §image: redis:8", "'image' is given twice", "remove one"),
    ("2.0", "image: redis:7", "image: §!!binary aGk=", "tag", "remove it"),
    ("2.0", "image: redis:7", "image: §*nothing", "names nothing", "anchor"),
    ("2.0", "image: redis:7", "image: &a [§*a]", "stands inside", "write out"),
    ("2.0", "image: redis:7", "<<: §redis\n    image: redis:7", "merges maps only", "&name"),
    ("2.0", "image: redis:7", "image: §%bad", "not YAML", ""),
    ("2.0", "image: redis:7", "image: a§: b", "not YAML", "quote"),
    ("2.0", "deployment:\n", "§---\ndeployment:\n", "second document", "one deployment"),
    ("2.0", "deployment:\n", "include: [§https://example.org/a.yml]\ndeployment:\n", "another machine", "download"),
    ("2.0", "deployment:\n", "include: [§/etc/passwd]\ndeployment:\n", "relative path", "from this file's folder"),
    ("2.0", "deployment:\n", "include: [§missing.yml]\ndeployment:\n", "cannot be read", "check the path"),
    ("2.0", "deployment:\n", "include: [§photon.yml]\ndeployment:\n", "includes itself", "remove one"),
    ("0.1", "[{service: db}]", "[{service: §web}]", "wait for each other", "remove one"),
    ("0.1", "[{service: web}]", "[{service: web, §port: 1}]", "port is not a field", "one level up"),
    ("0.1", "[{service: web}]", "§[]", "nobody or everyone", "remove `to`"),
    ("0.1", "as: 80", "as: 80, proto: §udp", "UDP is", "use TCP"),
    ("0.1", "as: 80", "as: 80, proto: §sctp", "proto is not valid", ""),
    ("0.1", "large: 0.6", "large: §0", "out of range", "above 0"),
    ("0.1", "large: 0.6", "large: §free", "not valid", "PTN per hour"),
    ("0.1", "large: 0.6", "large: {max-price: 1, collateral: §1w}", "collateral is not valid", ""),
    ("0.1", "attributes: {region: us-west}", "attributes: {region: a}\n      §region: b", "two regions", "keep"),
    ("0.1", "disk: 1Gi", "§storage: 1Gi, disk: 1Gi", "storage is not a field", "disk:"),
    ("older", "nodes: 2", "§count: 2, nodes: 2", "count is not a field", "nodes:"),
    ("older", ", pricing: {max-price: 0.6}", "", "pricing is missing", "max-price"),
]


@pytest.mark.parametrize(("base", "old", "new", "what", "remedy"), CASES, ids=[f"{c[0]}:{c[2]!r}" for c in CASES])
def test_a_mistake_is_named_with_place_and_remedy(
    bases: dict[str, str], refused: Callable[[str], SdlErrors], base: str, old: str, new: str, what: str, remedy: str
) -> None:
    assert old in bases[base]
    marked = bases[base].replace(old, new, 1)
    before, mark, after = marked.partition(MARK)
    errors = refused(before + after)

    told = [p for p in errors.problems if what in p.what and remedy in p.remedy]
    assert told, str(errors)
    if mark:
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        assert place in [(p.place.line, p.place.column) for p in told], str(errors)
    assert errors.exit_code == 2


def test_everything_is_told_at_once(bases: dict[str, str], refused: Callable[[str], SdlErrors]) -> None:
    text = bases["0.1"].replace("redis:7", "[]").replace("cpu: 1,", "cpu: x, colour: red,")
    text = text.replace("profile: small", "profile: gone").replace("image: nginx", "imag: nginx")
    text = text.replace("to: [{service: web}]", "to: [{service: nobody}]")
    text = text.replace("  db:\n", "  db:\n    depends-on: [{service: web}]\n")

    whats = "\n".join(problem.what for problem in refused(text).problems)

    for part in (
        "image has the wrong type",
        "colour is not a field",
        "cpu is not valid",
        "imag is not a field",
        "services.web.image is missing",
        "no compute profile 'gone'",
        "no service 'nobody'",
        "in a circle",
    ):
        assert part in whats


def test_problems_stand_in_order_and_are_bounded(refused: Callable[[str], SdlErrors]) -> None:
    keys = "\n".join(f"unknown{i}: 1" for i in range(500))
    errors = refused(f'version: "2.0"\n{keys}\n')

    assert list(errors.problems) == sorted(errors.problems, key=lambda p: p.place)
    assert len(errors.problems) == 100
    assert f"and {errors.left_out} more" in str(errors)


def test_the_text_of_an_error_is_clickable(refused: Callable[[str], SdlErrors], bases: dict[str, str]) -> None:
    text = str(refused(bases["2.0"].replace("image: redis:7", "imge: redis:7")))
    assert "photon.yml:4:5: services.db.imge is not a field" in text
    assert "\n  did you mean `image`?" in text
    assert "nothing was sent" in text
