"""What a file may be: size, encoding, depth, aliases, includes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from photon_core.sdl import Plan, SdlErrors, load


def refusal(path: Path) -> SdlErrors:
    with pytest.raises(SdlErrors) as raised:
        load(path)
    return raised.value


@pytest.mark.parametrize(
    ("data", "what", "line"),
    [
        (b"", "the file is empty", 0),
        (b"# nothing\n", "the file is empty", 0),
        (b"---\n", "the file is empty", 0),
        (b"- a\n", "not a deployment file", 1),
        (b"\xff\xfe\x00\x01", "not UTF-8", 1),
        (b"a: b\nc: \xe9\n", "not UTF-8", 2),
        (b"a: \x00\n", "a character that no YAML file may hold", 1),
        (b"\x7fELF\x02\x01\x01\x00", "a character that no YAML file may hold", 1),
        (b"a:\n\t- b\n", "not YAML", 2),
        (b"x" * (2**20 + 1), "too large", 0),
        (b"[" * 1000, "nested too deeply", 1),
        (b"- " * 1000, "nested too deeply", 1),
        (b"[" + b"a," * 60_000 + b"a]", "too many values", 1),
    ],
)
def test_what_is_no_deployment_file(tmp_path: Path, data: bytes, what: str, line: int) -> None:
    path = tmp_path / "bad.yml"
    path.write_bytes(data)
    (problem,) = refusal(path).problems
    assert what in problem.what
    assert problem.place.line == line
    assert problem.remedy


def test_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yml"
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    path.write_text("\n".join(["a0: &a0 [lol]", *levels]))
    started = time.monotonic()
    assert "too many values, with aliases expanded" in str(refusal(path))
    assert time.monotonic() - started < 5


def test_a_merge_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yml"
    keys = "\n".join(f"  k{i}: 1" for i in range(2000))
    path.write_text(f"a: &a\n{keys}\nb:\n  <<: [{', '.join(['*a'] * 2000)}]\n")
    assert "too many values" in str(refusal(path))


def test_a_byte_order_mark_is_allowed(tmp_path: Path, bases: dict[str, str]) -> None:
    path = tmp_path / "bom.yml"
    path.write_bytes(b"\xef\xbb\xbf" + bases["2.0"].encode())
    assert load(path).version == "2.0"


def test_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    for path in (tmp_path / "pipe.yml", tmp_path, tmp_path / "none.yml", Path("/dev/zero")):
        assert "cannot be read" in str(refusal(path)) or "not a regular file" in str(refusal(path))


def test_includes_merge_deeply_and_later_wins(
    tmp_path: Path, bases: dict[str, str], read: Callable[[str], Plan]
) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/base.yml").write_text(bases["0.1"].replace("count: 2", "count: 7").replace("nginx:1.27", "old"))
    (tmp_path / "common/images.yml").write_text('version: "0.1"\nservices: {web: {image: newer}}\n')
    plan = read(
        'version: "0.1"\ninclude: [common/base.yml, common/images.yml]\n'
        "deployment: {web: {westcoast: {count: 2}}}\nservices: {web: {env: [A=1, B=2]}}\n"
    )
    web = plan.sections[0].services[1]
    assert (web.image, web.count, web.env) == ("newer", 2, (("A", "1"), ("B", "2")))
    assert plan.groups[0].units == read(bases["0.1"]).groups[0].units


def test_a_mistake_in_an_included_file_names_that_file(tmp_path: Path, bases: dict[str, str]) -> None:
    (tmp_path / "base.yml").write_text(bases["0.1"].replace("image: redis:7", "imge: redis:7"))
    path = tmp_path / "main.yml"
    path.write_text('version: "0.1"\ninclude: [base.yml]\n')
    assert f"{tmp_path / 'base.yml'}:4:5: services.db.imge is not a field" in str(refusal(path))


@pytest.mark.parametrize("stated", ['version: "2.0"\n', ""])
def test_an_included_file_has_the_same_version(tmp_path: Path, bases: dict[str, str], stated: str) -> None:
    (tmp_path / "base.yml").write_text(f"{stated}services: {{}}\n")
    path = tmp_path / "main.yml"
    path.write_text(bases["0.1"] + "include: [base.yml]\n")
    assert "must have the version of the file that includes it" in str(refusal(path))


def test_a_circle_of_includes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text('version: "0.1"\ninclude: [b.yml]\n')
    (tmp_path / "b.yml").write_text('version: "0.1"\ninclude: [a.yml]\n')
    (problem,) = refusal(tmp_path / "a.yml").problems
    assert problem.found == "a.yml -> b.yml -> a.yml"
    assert (problem.place.file, problem.place.line) == (str(tmp_path / "b.yml"), 2)


def test_includes_that_multiply_are_bounded(tmp_path: Path) -> None:
    for i in range(8):
        names = ", ".join([f"f{i + 1}.yml"] * 8)
        (tmp_path / f"f{i}.yml").write_text(f'version: "0.1"\ninclude: [{names}]\n')
    (tmp_path / "f8.yml").write_text('version: "0.1"\n')
    assert "too many files are included" in str(refusal(tmp_path / "f0.yml"))
