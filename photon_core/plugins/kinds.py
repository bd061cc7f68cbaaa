"""The kinds of plugins in one table: the hook that offers each, what its factory must make, what its capabilities mean.

Types are named by their place (`module:name`) and looked up when a plugin of the kind is loaded: two of the kinds'
modules need trio, which `photon --help` and `photon plugin list` must not wait for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from attrs import frozen

from photon_core.api.plugin import KINDS


@frozen(kw_only=True)
class Capability:
    """`word` is the place of the constant; `protocol` that of the second Protocol it stands for, "" if it is a
    promise.
    """

    word: str
    protocol: str = ""


@frozen(kw_only=True)
class Kind:
    """`exclusive`: a process uses one plugin of the kind at a time, so two in one place are a mistake.

    `shared_rules`: all validators must run the same rules; genesis names them.
    """

    name: str
    hook: str
    protocol: str = ""
    capabilities: tuple[Capability, ...] = ()
    exclusive: bool = True
    shared_rules: bool = False

    @property
    def group(self) -> str:
        """The group of entry points in which plugins of this kind stand."""
        return f"photon.{self.name}"


_RUNTIME = "photon_core.api.runtime"

KIND: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="consensus",
            hook="photon_register_consensus",
            protocol="photon_core.api.consensus:Engine",
            capabilities=(Capability(word="photon_core.api.consensus:CRASH_ONLY"),),
            shared_rules=True,
        ),
        Kind(
            name="market",
            hook="photon_register_market",
            protocol="photon_core.api.market:Market",
            shared_rules=True,
        ),
        Kind(name="transport", hook="photon_register_transport", protocol="photon_core.api.transport:Transport"),
        Kind(
            name="runtime",
            hook="photon_register_runtime",
            protocol=f"{_RUNTIME}:Runtime",
            capabilities=(
                Capability(word=f"{_RUNTIME}:NETWORK_AGENT", protocol=f"{_RUNTIME}:SandboxNetworks"),
                Capability(word=f"{_RUNTIME}:NETWORK_SELF"),
                Capability(word=f"{_RUNTIME}:IMAGES_OPTIONAL"),
            ),
        ),
        Kind(name="pricing", hook="photon_register_pricing", protocol="photon_core.api.pricing:Pricing"),
        Kind(
            name="observers",
            hook="photon_register_observers",
            protocol="photon_core.api.observer:Observer",
            exclusive=False,
        ),
        Kind(name="commands", hook="photon_add_commands", exclusive=False),
    )
}
assert tuple(KIND) == KINDS


def look_up(place: str) -> Any:
    """The object at `module:name`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def capability_words(kind: Kind) -> dict[str, str]:
    """The words that a record of this kind may carry, each with the place of its second Protocol ("" for a promise)."""
    return {look_up(capability.word): capability.protocol for capability in kind.capabilities}
