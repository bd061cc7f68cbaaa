"""Whether an object has the methods of a Protocol, told method by method.

`isinstance` with a runtime-checkable Protocol only asks for names. A plugin that was written for another version of
the contract fails here, when it is made, and not in the middle of a block: each method must be there, be sync or
async as the contract has it, and take the contract's arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def methods(protocol: type) -> dict[str, Callable[..., Any]]:
    """The public methods of a Protocol class, in its order."""
    return {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}


def faults(protocol: type, made: object) -> tuple[str, ...]:
    """Why `made` is not a `protocol`; empty when it is."""
    found = []
    for name, wanted in methods(protocol).items():
        given = getattr(made, name, None)
        if given is None:
            found.append(f"{name} is missing")
        elif not callable(given):
            found.append(f"{name} is not a method")
        elif inspect.iscoroutinefunction(wanted) != inspect.iscoroutinefunction(given):
            word = "async def" if inspect.iscoroutinefunction(wanted) else "a plain def"
            found.append(f"{name} must be {word}")
        elif problem := _signature_fault(wanted, given):
            found.append(f"{name} {problem}")
    return tuple(found)


def _signature_fault(wanted: Callable[..., Any], given: Callable[..., Any]) -> str:
    """Why `given`, a bound method, cannot be called as the contract calls `wanted`; "" when it can."""
    parameters = list(inspect.signature(wanted).parameters.values())[1:]  # without self
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return ""  # written in C: nothing to look at
    required = [p for p in parameters if p.default is p.empty]
    for call in (parameters, required):
        positional = [p.name for p in call if p.kind is not p.KEYWORD_ONLY]
        named = {p.name: p.name for p in call if p.kind is p.KEYWORD_ONLY}
        try:
            signature.bind(*positional, **named)
        except TypeError as error:
            return f"takes {signature}, and is called as ({', '.join(p.name for p in call)}): {error}"
    return ""
