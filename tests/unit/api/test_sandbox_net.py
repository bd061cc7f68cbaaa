"""What goes into a sandbox's network. That the kernel obeys is shown by the runtimes' conformance checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from photon_core.api.sandbox_net import NO_RULES, TARGETS_MAX, redirect, refused_target, rules
from photon_core.testing.fakes.runtime import refusal

GRANTED = (("127.77.0.1", 6379), ("127.77.0.2", 80))


@pytest.mark.parametrize("tool", ["nft", "iptables-restore"])
def test_each_granted_target_has_a_rule_and_no_rules_mean_no_way_out(tool: str) -> None:
    text = rules(tool, 4000, GRANTED)
    for address, port in GRANTED:
        assert any(f" {address} " in line and f" {port} " in line and ":4000" in line for line in text.splitlines())
    assert ":4000" not in rules(tool, 4000, ())
    assert "127.64.0.0/10" in rules(tool, 4000, ()), "what is not granted is refused all the same"


@pytest.mark.parametrize("tool", ["nft", "iptables-restore"])
@pytest.mark.parametrize(
    ("port", "targets"),
    [
        (0, ()),
        (65_536, ()),
        (4000, (("127.77.0.1", 0),)),
        (4000, (("127.77.0.1 accept", 80),)),
        (4000, (("127.77.0.1", 80),) * (TARGETS_MAX + 1)),
    ],
)
def test_nothing_else_than_addresses_and_ports_gets_into_rules(
    tool: str, port: int, targets: tuple[tuple[str, int], ...]
) -> None:
    with pytest.raises((ValueError, OSError)):
        rules(tool, port, targets)


def test_a_reset_names_the_target() -> None:
    assert refused_target(refusal("10.1.2.3", 443)) == ("10.1.2.3", 443)


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x45" + bytes(30), b"\x0f" + bytes(63), b"\x4f" + bytes(70)])
def test_what_is_too_short_to_be_one_names_nothing(packet: bytes) -> None:
    assert refused_target(packet) is None


def test_rules_that_are_refused_in_part_are_taken_back_and_the_next_tool_is_tried(tmp_path: Path) -> None:
    for tool in ("nft", "iptables-restore"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    given: list[tuple[str, str]] = []

    def run(command: tuple[str, ...], text: str) -> str:
        given.append((Path(command[0]).name, text))
        return "" if text in NO_RULES.values() else "no such target: REJECT"

    assert redirect(4000, GRANTED, str(tmp_path), run) == "no such target: REJECT"
    assert [(tool, text in NO_RULES.values()) for tool, text in given] == [
        ("nft", False),
        ("nft", True),
        ("iptables-restore", False),
        ("iptables-restore", True),
    ]
    assert redirect(4000, GRANTED, str(tmp_path / "nowhere"), run).startswith("neither nft")
