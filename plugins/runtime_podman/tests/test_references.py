"""Images are asked for by their full names: what a short one means is not left to what happens to be stored."""

import pytest

from photon_runtime_podman.references import REFERENCE_CHARS_MAX, full_reference

DIGEST = "@sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("b11d", "docker.io/library/b11d:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/me/app", "docker.io/me/app:latest"),
        ("photon.test/python:1", "photon.test/python:1"),
        ("localhost/app", "localhost/app:latest"),
        ("host:5000/a/b/c:v1.0-rc", "host:5000/a/b/c:v1.0-rc"),
        ("10.0.0.1:5000/app", "10.0.0.1:5000/app:latest"),
        ("nginx" + DIGEST, "docker.io/library/nginx" + DIGEST),
        ("nginx:1" + DIGEST, "docker.io/library/nginx" + DIGEST),
    ],
)
def test_a_short_name_means_what_it_means_to_docker(image: str, full: str) -> None:
    assert full_reference(image) == full
    assert full_reference(full) == full


@pytest.mark.parametrize(
    "image", ["", "a b", "-x", "nginx:", "x@sha256:12", "../../etc", "a\nb", "x?y=1", "a" * (REFERENCE_CHARS_MAX + 1)]
)
def test_what_names_no_image_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match="does not name an image"):
        full_reference(image)
