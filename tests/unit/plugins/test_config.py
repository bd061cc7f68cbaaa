"""Tables into frozen classes."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen, validators

from photon_core.api.errors import PhotonError
from photon_core.plugins.config import read_table, unsupported
from photon_core.plugins.files import PluginSettings, plugin_settings, read_toml


class Colour(StrEnum):
    RED = "red"


@frozen(kw_only=True)
class Inner:
    port: int = field(default=1, validator=validators.in_(range(1, 10)))


@frozen(kw_only=True)
class Outer:
    number: int
    share: float = 0.5
    name: str = "x"
    on: bool = False
    place: Path = Path()
    colour: Colour = Colour.RED
    maybe: int | None = None
    several: tuple[int, ...] = ()
    table: dict[str, int] = field(factory=dict)
    inner: Inner = Inner()
    anything: Any = None


def test_every_type_is_read():
    read = read_table(
        Outer,
        {
            "number": 1,
            "share": 2,
            "name": "n",
            "on": True,
            "place": "/a",
            "colour": "red",
            "maybe": 3,
            "several": [1, 2],
            "table": {"a": 1},
            "inner": {"port": 2},
            "anything": {"b": []},
        },
        "here",
    )
    assert read == Outer(
        number=1,
        share=2.0,
        name="n",
        on=True,
        place=Path("/a"),
        maybe=3,
        several=(1, 2),
        table={"a": 1},
        inner=Inner(port=2),
        anything={"b": []},
    )


def test_what_is_left_out_has_its_default():
    assert read_table(Outer, {"number": 1}, "here") == Outer(number=1)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "number: missing; expected an integer"),
        ({"number": True}, "number: expected an integer, found True"),
        ({"number": 1.0}, "number: expected an integer, found 1.0"),
        ({"number": 1, "nmae": "x"}, "nmae: unknown key; did you mean name?"),
        ({"number": 1, "on": 1}, "on: expected true or false, found 1"),
        ({"number": 1, "colour": "blue"}, "colour: expected one of 'red', found 'blue'"),
        ({"number": 1, "several": [1, "2"]}, r"several\[1\]: expected an integer, found '2'"),
        ({"number": 1, "several": 3}, "several: expected a list of an integer, found 3"),
        ({"number": 1, "table": {"a": "b"}}, "table.a: expected an integer, found 'b'"),
        ({"number": 1, "inner": {"prot": 1}}, "inner.prot: unknown key; did you mean port"),
        ({"number": 1, "inner": 3}, "inner: expected a table, found 3"),
        ({"number": 1, "inner": {"port": 10}}, "inner: 'port' must be in range"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(table, says):
    with pytest.raises(PhotonError, match=says) as caught:
        read_table(Outer, table, "node.toml")
    assert caught.value.where == "node.toml"
    assert caught.value.exit_code == 2


def test_all_problems_are_told_at_once():
    with pytest.raises(PhotonError, match=r"3 problems\n.*nmae.*\n.*number: missing.*\n.*on:"):
        read_table(Outer, {"nmae": 1, "on": "yes"}, "here")


def test_a_class_that_no_file_can_fill_is_told():
    @frozen
    class Odd:
        when: complex

    assert unsupported(int) == ("int is not an attrs class",)
    assert len(unsupported(Odd)) == 1
    assert unsupported(Outer) == ()


def test_a_toml_file_that_is_none_is_told_with_its_line(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text("a = 1\nb = \n")
    with pytest.raises(PhotonError, match="line 2"):
        read_toml(path)
    with pytest.raises(PhotonError, match="No such file"):
        read_toml(tmp_path / "none")


def test_settings_of_plugins_stand_beside_other_keys():
    document = {"plugins": ["market_a"], "plugin": {"market_a": {"x": 1}}, "api": {"port": 0}}
    assert plugin_settings(document, "f") == PluginSettings(("market_a",), {"market_a": {"x": 1}})
    with pytest.raises(PhotonError, match="plugins: expected a list of text"):
        plugin_settings({"plugins": "market_a"}, "f")
