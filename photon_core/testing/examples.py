"""The examples in the hooks' docstrings as what they are examples of: plugins."""

from __future__ import annotations

import inspect
import re
import textwrap
from types import ModuleType

from photon_core import hooks

EXAMPLE = re.compile(r"^Example:\n(?P<body>.*)", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"::\n\n(?P<code>(?:        .*\n|\n)+)")


def example_source(hook: str) -> str:
    """The first block of code under `Example:` in the hook's docstring; "" if there is none."""
    example = EXAMPLE.search(inspect.getdoc(getattr(hooks, hook)) or "")
    code = CODE.search(example["body"] + "\n") if example else None
    return textwrap.dedent(code["code"]).strip() + "\n" if code else ""


def example_of(hook: str) -> ModuleType:
    """The example run as a module: a plugin that implements the hook."""
    module = ModuleType(f"example_of_{hook}")
    code = compile(example_source(hook), f"<example of {hook}>", "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102  # the source is our own docstring
    return module
