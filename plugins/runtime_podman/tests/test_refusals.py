"""Podman's words, as it said them, and whose fault they are."""

from __future__ import annotations

import pytest

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import (
    CannotStart,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    PullDenied,
    RegistryUnreachable,
)
from photon_runtime_podman import refusals
from photon_runtime_podman.rest import Refused

RUNC = "runc: runc create failed: unable to start container process: "
NOT_FOUND = "executable file not found in $PATH: OCI runtime attempted to invoke a command that was not found"
RLIMIT = "error during container init: error setting rlimit type 6: operation not permitted: OCI permission denied"
UNAUTHORIZED = "unauthorized: access to the requested resource is not authorized"
START = [
    (f'{RUNC}exec: "no-such": {NOT_FOUND}', 127),
    (f'{RUNC}exec: "/etc/passwd": permission denied: OCI permission denied', 126),
    (f'{RUNC}exec: "/mnt/mount/rlimit": stat /mnt/mount/rlimit: no such file or directory', 127),
    ("crun: executable file `no-such` not found in $PATH: No such file or directory", 127),
    ("unable to find user nobodyhere: no matching entries in passwd file", 127),
    ('workdir "/bin/x" exists on container 1, but is not a directory', 127),
    ("no command or entrypoint provided, and no CMD or ENTRYPOINT from image", 127),
]


@pytest.mark.parametrize(("text", "code"), START)
def test_the_manifests_fault(text: str, code: int) -> None:
    error = refusals.of_start(Refused(500, "x", text))
    assert isinstance(error, CannotStart)
    assert error.exit_code == code
    assert "OCI" not in error.reason
    assert "runc create" not in error.reason


@pytest.mark.parametrize(
    "text",
    [
        RUNC + RLIMIT,
        "statfs /nonexist: no such file or directory",
        "OCI runtime error: crun: mount `/proc` to `/proc`: Permission denied",
        "something nobody has seen",
    ],
)
def test_the_machines_fault(text: str) -> None:
    assert isinstance(refusals.of_start(Refused(500, text, text)), RuntimeFailure)


def test_what_is_wrong_with_a_creation() -> None:
    def of(cause: str, text: str) -> Exception:
        return refusals.of_create(Refused(500, cause, text), "a:1")

    assert isinstance(of("that name is already in use", 'the container name "x" is already in use by 1'), NameTaken)
    assert isinstance(of("image not known", "a:1: image not known"), NoSuchImage)
    assert isinstance(of("no such container", "looking up container to share net namespace with"), NoSuchContainer)
    assert isinstance(of("no space left on device", "no space left on device"), RuntimeFailure)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("invalid reference format", NoSuchImage),
        ("initializing source docker://a:1: reading manifest 1 in docker.io/library/a: manifest unknown", NoSuchImage),
        (f"reading manifest 1 in quay.io/a: {UNAUTHORIZED}", PullDenied),
        ("requested access to the resource is denied", PullDenied),
        ('pinging container registry h:5000: Get "http://h:5000/v2/": dial tcp h:5000: connect: connection refused',
         RegistryUnreachable),
        ("dial tcp: lookup nope.invalid on 127.0.0.1:53: no such host: not found", RegistryUnreachable),
        ("unexpected EOF", RegistryUnreachable),
    ],
)  # fmt: skip
def test_why_no_image_came(text: str, kind: type[Exception]) -> None:
    error = refusals.of_pull(text, "a:1")
    assert type(error) is kind
    assert "a:1" in error.reason
