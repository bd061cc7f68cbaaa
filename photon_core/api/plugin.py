"""What every plugin yields when asked: a frozen record that says what it is and how to make it.

Design, section 3. A registration hook imports nothing heavy and makes nothing; the record's `factory` does, once the
manager has checked the record. `config_type` is an attrs class: the table `[plugin.<kind>_<name>]` of the TOML
config is read into it, unknown or missing keys being one clear error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import frozen

API_VERSION = 1
"""Raised when a change of `photon_core.api` breaks plugins. A record with another number is refused."""

KINDS = ("consensus", "market", "transport", "runtime", "pricing", "observers", "commands")
SEAMS = ("consensus", "market", "transport", "runtime", "pricing")

Made_co = TypeVar("Made_co", covariant=True)
Context_contra = TypeVar("Context_contra", contravariant=True)


@frozen
class NoConfig:
    """The config type of a plugin that has nothing to configure."""


@frozen(kw_only=True)
class PluginRecord(Generic[Context_contra, Made_co]):
    """`name` is without the kind: `auction`, chosen as `market_auction`. `summary` is one line for `photon plugin
    list`.

    `rules_version` counts only for kinds whose rules all validators must share (consensus, market): genesis names it.
    `capabilities` are words that the kind's module defines; each stands for a second Protocol or a promise.
    """

    name: str
    summary: str
    factory: Callable[[Context_contra], Made_co]
    api_version: int = API_VERSION
    config_type: type = NoConfig
    capabilities: frozenset[str] = frozenset()
    rules_version: int = 1
