"""What can be said against a plugin's record before its factory is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from photon_core.api.errors import PhotonError
from photon_core.api.plugin import API_VERSION, PluginRecord
from photon_core.plugins import config
from photon_core.plugins.discovery import InstalledPlugin, close_matches
from photon_core.plugins.kinds import Kind, capability_words

AnyRecord = PluginRecord[Any, Any]


def check_records(owner: InstalledPlugin, kind: Kind, records: Sequence[object]) -> tuple[AnyRecord, ...]:
    """The records of one plugin, oldest rules first, if nothing can be said against them; PhotonError otherwise.

    A plugin may offer several `rules_version`s of itself, to replay old blocks; all have the name that it is chosen by.
    """
    if not records:
        raise _fault(
            owner, "record", f"{kind.hook} offers nothing", f"a record named {owner.name!r}", "none", "Yield a record."
        )
    checked = tuple(_check(owner, kind, record) for record in records)
    versions = [record.rules_version for record in checked]
    if len(set(versions)) != len(versions):
        raise _fault(
            owner,
            "record",
            "two records have one rules version",
            "each once",
            str(sorted(versions)),
            "Give each set of rules a rules_version of its own.",
        )
    return tuple(sorted(checked, key=lambda record: record.rules_version))


def _check(owner: InstalledPlugin, kind: Kind, record: object) -> AnyRecord:
    if not isinstance(record, PluginRecord):
        raise _fault(
            owner,
            "record",
            f"{kind.hook} offers something that is no record",
            "PluginRecord",
            type(record).__name__,
            f"Yield {kind.name.title()}Provider(…) from photon_core.api",
        )
    if record.api_version != API_VERSION:
        newer = record.api_version > API_VERSION
        raise _fault(
            owner,
            "api-version",
            "it was made for another version of Photon's plugin API",
            str(API_VERSION),
            str(record.api_version),
            "Upgrade Photon: pip install --upgrade photon-core"
            if newer
            else f"Upgrade the plugin: pip install --upgrade {owner.distribution}",
        )
    if record.name != owner.name:
        raise _fault(
            owner,
            "name",
            "its record has another name than its entry point",
            repr(owner.name),
            repr(record.name),
            f"Name the entry point {kind.name}_{record.name}, or the record {owner.name!r}",
        )
    if not callable(record.factory):
        raise _fault(
            owner,
            "record",
            "its factory cannot be called",
            "a function of one argument, the context",
            type(record.factory).__name__,
            "Give the class, or a function that makes it.",
        )
    for problem in config.unsupported(record.config_type):
        what = f"its config_type cannot be read: {problem}"
        raise _fault(owner, "record", what, "", "", "See docs/plugins.md, Configuration")
    words = capability_words(kind)
    for word in sorted(record.capabilities - words.keys()):
        close = close_matches(word, words)
        raise _fault(
            owner,
            "record",
            f"capability {word!r} means nothing to the kind {kind.name}",
            ", ".join(words) or "none",
            repr(word),
            f"Did you mean {close[0]!r}?" if close else "Leave it out.",
        )
    return record


def _fault(owner: InstalledPlugin, code: str, what: str, expected: str, found: str, remedy: str) -> PhotonError:
    return PhotonError(
        code=f"plugin-{code}", where=str(owner), what=what, expected=expected, found=found, remedy=remedy
    )
