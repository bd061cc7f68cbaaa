"""Docker's refusals, sorted by who can do something about them. It says most things in prose only."""

from __future__ import annotations

import json
import re

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import (
    CannotStart,
    NoSuchImage,
    PullDenied,
    PullFailure,
    RegistryUnreachable,
)

BAD_REQUEST, NOT_THERE, CONFLICT = 400, 404, 409
NOT_FOUND, NOT_EXECUTABLE = 127, 126
MESSAGE_CHARS_MAX = 300

_MACHINES_OWN = ("no space left", "cgroup", "resource temporarily unavailable", "too many open files", "read-only file")
"""In a refusal to start: the machine's trouble, whatever else the message says."""
_TENANTS = (
    *("executable file not found", "no such file or directory", "permission denied", "exec format error"),
    *("is a directory", "not a directory", "no command specified", "argument list too long", "invalid argument"),
    *("unable to find user", "unable to find group", "no matching entries in", "no users found", "no groups found"),
    *("chdir to cwd", "mkdir", "working directory", "invalid environment", "starting container process caused"),
)
_WRAPPINGS = re.compile(r".*(?:unable to start container process|starting container process caused)[^:]*: ", re.DOTALL)


def start_refused(message: str) -> CannotStart | RuntimeFailure:
    lower = message.lower()
    if any(words in lower for words in _MACHINES_OWN) or not any(words in lower for words in _TENANTS):
        return RuntimeFailure(f"the container could not be started: {shortened(message)}", "see the engine's log")
    denied = "permission denied" in lower or "is a directory" in lower or "exec format error" in lower
    return CannotStart(shortened(message), NOT_EXECUTABLE if denied else NOT_FOUND)


def shortened(message: str) -> str:
    """Without the names of the programs that handed it on."""
    said = _WRAPPINGS.sub("", message.strip()).removesuffix(": unknown")
    return said if len(said) <= MESSAGE_CHARS_MAX else f"{said[:MESSAGE_CHARS_MAX]}…"


def pull_refused(image: str, message: str) -> PullFailure | RuntimeFailure:
    lower = message.lower()
    if "no space left" in lower:
        return RuntimeFailure(f"no room for the image {image}", "make room on the engine's disk: docker image prune")
    if "no matching manifest" in lower or "does not match the specified platform" in lower:
        return NoSuchImage(f"{image}: there is none for this machine's architecture")
    if "pull access denied" in lower or "repository does not exist" in lower:
        return PullDenied(f"{image}: its registry has no such image, or wants credentials that this provider has not")
    if any(
        words in lower for words in ("unauthorized", "authentication required", "denied", "no basic auth", "forbidden")
    ):
        return PullDenied(f"{image}: its registry wants credentials that this provider has not, or others")
    if any(words in lower for words in ("manifest unknown", "not found", "name unknown", "invalid reference")):
        return NoSuchImage(f"{image}: its registry has no such image")
    return RegistryUnreachable(f"{image}: its registry could not be used: {shortened(message)}")


def message_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:500]
