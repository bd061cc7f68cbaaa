"""Names of images are made whole, so that no engine takes one for something else."""

import pytest

from photon_runtime_containers.engine import NoSuchImage
from photon_runtime_containers.references import full_reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:7-alpine", "docker.io/library/redis:7-alpine"),
        ("team/app", "docker.io/team/app:latest"),
        ("ghcr.io/team/app:1.2", "ghcr.io/team/app:1.2"),
        ("localhost/app", "localhost/app:latest"),
        ("10.1.2.3:5000/a/b/c:x", "10.1.2.3:5000/a/b/c:x"),
        (f"redis@{DIGEST}", f"docker.io/library/redis@{DIGEST}"),
        (f"redis:7@{DIGEST}", f"docker.io/library/redis@{DIGEST}"),
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("bb8a57c584ea", "docker.io/library/bb8a57c584ea:latest"),
        ("ab" * 32, f"docker.io/library/{'ab' * 32}:latest"),
    ],
)
def test_names_are_made_whole(image: str, whole: str) -> None:
    assert full_reference(image) == whole
    assert full_reference(whole) == whole


@pytest.mark.parametrize(
    "image",
    ["", " ", "Redis", "redis:", "redis:a b", "../containers/json", "a//b", "/redis", "redis@sha256:12", DIGEST + ":x",
     "x" * 300, "redis\n", "a.b/../../c", "red\u0131s", "http://a/b", "a.b:port/c"],
)  # fmt: skip
def test_what_is_no_name_is_refused(image: str) -> None:
    with pytest.raises(NoSuchImage, match="no name of an image"):
        full_reference(image)
