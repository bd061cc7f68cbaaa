"""The names of images, as Docker reads them.

Podman answers for short names by its own rules: `nginx` means any stored image whose last part is `nginx`, whichever
registry it came from, and `b11d` the image whose id begins so. On a provider's machine that would hand one tenant's
image to another who asks for something that sounds alike. So Podman is only ever asked for full names.
"""

from __future__ import annotations

import re

REFERENCE_CHARS_MAX = 512
"""Longer than any registry allows (255 for the name, 128 for the tag, 71 for the digest)."""
_PART = r"[a-z0-9]+(?:[._\-]+[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?P<name>(?:[A-Za-z0-9][A-Za-z0-9.\-]*(?::[0-9]{1,5})?/)?"
    rf"{_PART}(?:/{_PART})*)"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def full_reference(image: str) -> str:
    """`nginx` is `docker.io/library/nginx:latest`, `a/b:1` is `docker.io/a/b:1`, `host.name/b:1` stays as it is.

    Raises ValueError for what cannot name an image.
    """
    found = _REFERENCE.fullmatch(image) if len(image) <= REFERENCE_CHARS_MAX else None
    if found is None:
        raise ValueError(f"{image[:80]!r} does not name an image; write it like host.name/path/name:tag")
    name, tag, digest = found["name"], found["tag"] or "", found["digest"] or ""
    head, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not _is_registry(head):
        name = f"docker.io/{name}"
    elif head == "docker.io" and name.count("/") == 1:
        name = name.replace("/", "/library/", 1)
    return name + digest if digest else name + (tag or ":latest")


def _is_registry(head: str) -> bool:
    return head == "localhost" or "." in head or ":" in head
