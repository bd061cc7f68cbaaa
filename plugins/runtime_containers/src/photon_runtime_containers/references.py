"""Names of images, as `docker pull` reads them.

They are made whole before an engine sees them: engines also take parts of ids for names, and a tenant could else run
images that others pulled, by guessing.
"""

from __future__ import annotations

import re

from photon_runtime_containers.engine import NoSuchImage

DEFAULT_REGISTRY, DEFAULT_FOLDER, DEFAULT_TAG = "docker.io", "library", "latest"
NAME_CHARS_MAX = 255
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?", re.ASCII
)
_REGISTRY = re.compile(r"[a-zA-Z0-9]+(?:[.-][a-zA-Z0-9]+)*(?::[0-9]{1,5})?|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?")


def full_reference(image: str) -> str:
    """`redis` is `docker.io/library/redis:latest`, `a/b:1` is `docker.io/a/b:1`, `host.name:5000/b@sha256:…` stays as
    it is; with a digest the tag counts for nothing and goes. NoSuchImage for what is no name.
    """
    registry, slash, rest = image.partition("/")
    if not slash or not _is_registry(registry):
        registry, rest = DEFAULT_REGISTRY, image
    match = _REFERENCE.fullmatch(rest)
    if match is None or not _REGISTRY.fullmatch(registry) or len(registry) + len(match["path"]) > NAME_CHARS_MAX:
        shown = image if len(image) <= NAME_CHARS_MAX else image[:NAME_CHARS_MAX] + "…"
        raise NoSuchImage(f"{shown!r} is no name of an image; they look like redis:7 or registry.example/team/app:1.2")
    path = match["path"]
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"{DEFAULT_FOLDER}/{path}"
    version = f"@{match['digest']}" if match["digest"] else f":{match['tag'] or DEFAULT_TAG}"
    return f"{registry}/{path}{version}"


def _is_registry(first: str) -> bool:
    """What comes before the first slash is a registry when it cannot be a folder of the default one."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()
