"""Who says which plugins are used."""

import pytest

from photon_core.api.errors import PhotonError
from photon_core.plugins import Source, choose


def test_strength_is_flag_then_config_then_environment_then_default():
    everywhere = {
        "flag": ["runtime_flag"],
        "config": ["runtime_config"],
        "environment": {"PHOTON_PLUGINS": "runtime_env"},
        "defaults": ["runtime_default"],
    }
    order = []
    for source in ("flag", "config", "environment", "defaults"):
        order.append(choose(**{"environment": {}, **everywhere}).one("runtime").full_name)
        del everywhere[source]
    assert order == ["runtime_flag", "runtime_config", "runtime_env", "runtime_default"]


def test_strength_works_kind_by_kind():
    choice = choose(
        flag=["runtime_podman"], config=["runtime_process", "market_posted"], environment={}, defaults=["pricing_scale"]
    )
    assert choice.names == ("market_posted", "runtime_podman", "pricing_scale")
    assert [chosen.source for chosen in choice.chosen] == [Source.CONFIG, Source.FLAG, Source.DEFAULT]


@pytest.mark.parametrize("text", ["market_a,runtime_b", "market_a runtime_b", " market_a,\n runtime_b,, "])
def test_the_environment_is_a_list_by_commas_or_blanks(text):
    assert choose(environment={"PHOTON_PLUGINS": text}).names == ("market_a", "runtime_b")


def test_two_of_an_exclusive_kind_in_one_place_are_refused():
    with pytest.raises(PhotonError, match=r"--plugin: two plugins of the kind runtime.*runtime_a and runtime_b"):
        choose(flag=["runtime_a", "runtime_b"], environment={})


def test_the_same_name_twice_is_no_conflict():
    assert choose(flag=["runtime_a", "runtime_a"], environment={}).names == ("runtime_a",)


def test_any_number_of_observers_can_be_chosen():
    assert choose(flag=["observers_b", "observers_a"], environment={}).names == ("observers_b", "observers_a")


@pytest.mark.parametrize("name", ["auction", "weather_sunny", "market_", ""])
def test_what_is_not_a_kind_and_a_name_is_refused_or_empty(name):
    if not name:
        assert choose(flag=[name], environment={}).names == ()
        return
    with pytest.raises(PhotonError, match="is not the name of a plugin"):
        choose(flag=[name], environment={})


def test_a_kind_that_nobody_chose_is_asked_for():
    with pytest.raises(PhotonError, match=r"no runtime plugin is chosen.*\n.*--plugin runtime_<name>"):
        choose(environment={}).one("runtime")
