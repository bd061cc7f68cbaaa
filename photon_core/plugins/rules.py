"""Rules that all validators share: what genesis demands against what a node has and what somebody chose."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from photon_core.api.errors import PhotonError, UsageError
from photon_core.plugins.discovery import InstalledPlugin
from photon_core.plugins.selection import Choice


@frozen(kw_only=True)
class Rule:
    """From this height on the chain runs these rules of this plugin. `name` is without the kind."""

    from_height: int
    name: str
    rules_version: int


def check_choice(kind: str, rules: Sequence[Rule], choice: Choice) -> None:
    """UsageError if somebody named a plugin of this kind that genesis does not."""
    names = list(dict.fromkeys(rule.name for rule in rules))
    for chosen in choice.of(kind):
        if chosen.explicit and chosen.name not in names:
            raise UsageError(
                code="plugin-rules",
                where=chosen.source.value,
                what=f"this chain has another {kind} than the one that was chosen; genesis names it for all validators",
                expected=", ".join(
                    f"{kind}_{rule.name} (rules version {rule.rules_version}) from height {rule.from_height}"
                    for rule in rules
                ),
                found=chosen.full_name,
                remedy=f"Leave {chosen.full_name} out; a chain with other rules needs a genesis of its own.",
            )


def refuse_version(installed: InstalledPlugin, has: Sequence[int], needed: int) -> PhotonError:
    """The error of a plugin that does not have the rules version that genesis demands."""
    return PhotonError(
        code="plugin-rules",
        where=str(installed),
        what="it does not have the rules version that this chain's genesis names",
        expected=f"rules version {needed} of {installed.full_name}",
        found=f"rules version {', '.join(map(str, has))}",
        remedy=f"Install a version of {installed.distribution} that has it: without it this node cannot check a block.",
    )
