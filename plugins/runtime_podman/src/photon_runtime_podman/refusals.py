"""Podman's words for what it would not do, as the errors that the runtime knows.

Its status is 500 for most of them, so that the words are all there is; they are its libraries' and the OCI runtime's
(runc and crun say the same things differently).
"""

from __future__ import annotations

import re

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import (
    CannotStart,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    PullDenied,
    PullFailure,
    RegistryUnreachable,
)
from photon_runtime_podman.rest import Refused

NO_COMMAND = 127
NOT_EXECUTABLE = 126
SHELLS_CODES = (NO_COMMAND, NOT_EXECUTABLE)

_CANNOT_START = re.compile(
    r"executable file .*not found|executable file not found|command that was not found|no such file or directory"
    r"|permission denied|exec format error|is a directory|not a directory"
    r"|unable to find (?:user|group)|no matching entries in|no users found"
    r"|work(?:ing )?dir(?:ectory)? |chdir to cwd|no command or entrypoint|no CMD or ENTRYPOINT",
    re.IGNORECASE,
)
_OURS = re.compile(r"rlimit|cgroup|statfs|mount|netns|network namespace|storage", re.IGNORECASE)
"""A refusal about these is about the machine, whatever else it says."""
_QUOTED = re.compile(r'"[^"]*"')
"""What the manifest or the image said, and no word of Podman's."""
_NOT_EXECUTABLE = re.compile(r"permission denied|exec format error|is a directory", re.IGNORECASE)
_PREFIX = re.compile(r"^.*(?:unable to start container process|runc create failed|crun): ", re.DOTALL)
_SUFFIX = re.compile(r": OCI (?:runtime attempted to invoke a command that was not found|permission denied)$")

_GONE = re.compile(r"no such container|container not known|has (?:already )?been removed", re.IGNORECASE)
"""The last two: it went while Podman was at it."""

_ABSENT = re.compile(r"manifest unknown|name unknown|not found|does not exist|no such image|404", re.IGNORECASE)
_DENIED = re.compile(r"unauthorized|authentication required|denied|forbidden|401|403", re.IGNORECASE)
_NO_NAME = re.compile(r"invalid reference format|parsing reference|must be lowercase", re.IGNORECASE)
_FAR = re.compile(r"dial tcp|lookup |connection re|timeout|no route|pinging container registry", re.IGNORECASE)


def of_create(refused: Refused, image: str) -> Exception:
    text = str(refused)
    if "is already in use" in text:
        return NameTaken(text)
    if "image not known" in refused.cause or "image not known" in text:
        return NoSuchImage(f"the image {image} is not here")
    return of_start(refused)


def of_start(refused: Refused) -> Exception:
    return of_container(refused) or _of_start(refused)


def of_container(refused: Refused) -> NoSuchContainer | None:
    gone = refused.status == 404 or _GONE.search(f"{refused.cause} {refused}")
    return NoSuchContainer(str(refused)) if gone else None


def otherwise(refused: Refused) -> RuntimeFailure:
    return RuntimeFailure(f"Podman refused: {refused}", "podman's own log says more: journalctl -u podman")


def of_pull(text: str, image: str) -> PullFailure:
    """`text` is what Podman said. A registry that is not reached may also have said something that sounds like no."""
    reason = f"the image {image} could not be fetched: {text}"
    if _NO_NAME.search(text):
        return NoSuchImage(reason)
    if _FAR.search(text) and not _DENIED.search(text):
        return RegistryUnreachable(reason)
    if _DENIED.search(text):
        return PullDenied(reason)
    return NoSuchImage(reason) if _ABSENT.search(text) else RegistryUnreachable(reason)


def _of_start(refused: Refused) -> Exception:
    text = str(refused)
    ours = _OURS.search(_QUOTED.sub("", text)) and 'exec: "' not in text
    if ours or not _CANNOT_START.search(text):
        return otherwise(refused)
    reason = plain(text)
    return CannotStart(reason, NOT_EXECUTABLE if _NOT_EXECUTABLE.search(reason) else NO_COMMAND)


def plain(text: str) -> str:
    """What is wrong, without the names of the programs that found it out."""
    return _SUFFIX.sub("", _PREFIX.sub("", text))
