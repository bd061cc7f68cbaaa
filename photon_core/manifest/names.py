"""Names that workloads see: services, hostnames, environment variables. A stranger's section is held to them too."""

from __future__ import annotations

import re

HOSTNAME_BYTES_MAX = 253
"""RFC 1035, as text: 255 on the wire."""

_SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENVIRONMENT = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,254}")


def is_service_name(text: str) -> bool:
    """A DNS label that starts with a letter: it is a hostname inside, and part of one outside."""
    return _SERVICE.fullmatch(text) is not None


def is_hostname(text: str) -> bool:
    """A DNS name in lower case; no wildcard, no address with four numbers."""
    labels = text.split(".")
    return (
        len(text) <= HOSTNAME_BYTES_MAX
        and all(_HOST_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def is_environment_name(text: str) -> bool:
    """What engines accept, which is more than what shells can use: `discovery.type` is common."""
    return _ENVIRONMENT.fullmatch(text) is not None
