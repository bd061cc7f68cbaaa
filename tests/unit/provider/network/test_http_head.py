from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.provider.network.http_head import BadRequest, forwarded, parse_head


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_host_is_read_without_port_in_lower_case():
    assert parse_head(head("GET /a?b HTTP/1.1", "Host: Shop.Example:8080")).host == "shop.example"


def test_workload_is_told_to_close_and_who_asked():
    request = parse_head(
        head("GET / HTTP/1.1", "Host: a.org", "Connection: keep-alive", "X-Forwarded-For: 9.9.9.9", "Accept: */*")
    )

    assert forwarded(request, "10.0.0.1") == head(
        "GET / HTTP/1.1",
        "Host: a.org",
        "Accept: */*",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: http",
        "Connection: close",
    )


def test_upgrade_keeps_its_connection_header():
    request = parse_head(head("GET / HTTP/1.1", "Host: a.org", "Connection: keep-alive, Upgrade", "Upgrade: websocket"))

    assert request.upgrade
    assert b"Connection: keep-alive, Upgrade\r\n" in forwarded(request, "10.0.0.1")
    assert b"close" not in forwarded(request, "10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET / HTTP/1.1",), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Host: b.org"), 400),
        (("GET / HTTP/1.1", "Host: a.org, b.org"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Content-Length: 3", "Content-Length: 3"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Content-Length: +3"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "Transfer-Encoding : chunked"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "X: a", " folded"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "X: a\nHost: b.org"), 400),
        (("GET / HTTP/1.1", "Host: a.org", "X: a\rb"), 400),
        (("GET http://b.org/ HTTP/1.1", "Host: a.org"), 400),
        (("GET  / HTTP/1.1", "Host: a.org"), 400),
        (("GET / HTTP/2.0", "Host: a.org"), 400),
        (("PRI * HTTP/2.0",), 505),
        (("GET / HTTP/1.1", "Host: a.org", *["X: y"] * 100), 431),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(lines, status):
    with pytest.raises(BadRequest) as caught:
        parse_head(head(*lines))
    assert caught.value.status == status


def test_absolute_target_with_the_same_host_is_fine():
    assert parse_head(head("GET http://a.org/x HTTP/1.1", "Host: a.org")).host == "a.org"


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_bad_request(data):
    with suppress(BadRequest):
        parse_head(data + b"\r\n\r\n")
