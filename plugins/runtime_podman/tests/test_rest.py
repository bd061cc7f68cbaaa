"""What Podman answers is bounded, and its errors keep their reason."""

import json
from pathlib import Path

import pytest

from photon_runtime_containers.engine import EngineDown
from photon_runtime_podman.rest import REASON_CHARS_MAX, Rest, labels_filter, refusal, segment


def test_an_error_says_cause_and_message() -> None:
    error = refusal(500, b'{"cause":"image not known","message":"x:1: image not known","response":500}')
    assert (error.status, error.cause, str(error)) == (500, "image not known", "x:1: image not known")


@pytest.mark.parametrize("body", [b"", b"Not Found", b"[]", b'{"cause": {}}', b"\xff\xfe", b"{", b'{"message": null}'])
def test_an_error_in_another_form_is_an_error_too(body: bytes) -> None:
    assert refusal(404, body).status == 404
    assert str(refusal(404, body))


def test_a_reason_is_bounded() -> None:
    told = refusal(500, json.dumps({"cause": "x" * 10**6, "message": "y" * 10**6}).encode())
    assert len(told.cause) == len(str(told)) == REASON_CHARS_MAX


def test_each_label_is_asked_for_with_its_value() -> None:
    """A bare key, or a list where podman-py wants a string, matches no event and no container without a word."""
    asked = labels_filter({"b": "2", "a": "x=y"}, type=["container"])
    assert json.loads(asked) == {"label": ["a=x=y", "b=2"], "type": ["container"]}


def test_a_name_cannot_leave_its_place_in_a_path() -> None:
    assert segment("a/b:1@sha256:0") == "a/b:1@sha256:0"
    assert segment("x?y#z%2F ") == "x%3Fy%23z%252F%20"


def test_an_absent_socket_is_unreachable(tmp_path: Path) -> None:
    absent = Rest(tmp_path / "podman.sock")
    with pytest.raises(EngineDown, match=r"there is no .*podman.sock"):
        absent.ask("GET", "/_ping")
    absent.close()
