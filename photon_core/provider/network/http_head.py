"""The head of an HTTP/1 request, read strictly enough that proxy and workload cannot disagree on what it says.

The ingress serves one request per connection: it reads the head, picks the workload by host, tells it `Connection:
close` and passes bytes from then on. So a second request on the connection cannot exist: whatever a client sends after
the first goes to the workload that the first one named, which closes after its answer, and never to another tenant's. A
request to switch protocols (`Upgrade`) keeps its `Connection` header, and the connection then belongs to that workload.

What two readers could understand differently is refused, as RFC 9112 allows: bare CR or LF, folded lines, space before
a colon, several hosts, `Content-Length` together with `Transfer-Encoding` or twice.
"""

from __future__ import annotations

import re

from attrs import frozen

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,16384}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]{0,253}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
_DROPPED = frozenset(
    {b"keep-alive", b"proxy-connection", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
)
"""The first two belong to the connection; the others say what only this proxy knows, and nobody else may."""
HEADERS_MAX = 100
END = b"\r\n\r\n"


class BadRequest(Exception):
    """The answer to give: a status code and a reason for people."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status, self.why = status, why


@frozen(kw_only=True)
class RequestHead:
    """`host` without port, in lower case. `upgrade`: the client asks for another protocol on this connection."""

    method: bytes
    target: bytes
    minor_version: int
    headers: tuple[tuple[bytes, bytes], ...]
    host: str
    upgrade: bool


def parse_head(head: bytes) -> RequestHead:
    """`head` ends with the empty line. BadRequest for what is wrong or ambiguous."""
    lines = head.removesuffix(END).split(b"\r\n")
    if lines[0].startswith(b"PRI * HTTP/2"):
        raise BadRequest(505, "this port speaks HTTP/1.1")
    if not (matched := _REQUEST_LINE.fullmatch(lines[0])):
        raise BadRequest(400, "malformed request line")
    if len(lines) - 1 > HEADERS_MAX:
        raise BadRequest(431, f"more than {HEADERS_MAX} header lines")
    headers = tuple(_header(line) for line in lines[1:])
    method, target, minor = matched.groups()
    _check_framing(headers)
    connection = b",".join(_values(headers, b"connection")).lower()
    return RequestHead(
        method=method,
        target=target,
        minor_version=int(minor),
        headers=headers,
        host=_host(target, headers),
        upgrade=bool(_values(headers, b"upgrade")) and b"upgrade" in [t.strip() for t in connection.split(b",")],
    )


def forwarded(head: RequestHead, client_address: str) -> bytes:
    """The head as the workload gets it."""
    dropped = _DROPPED if head.upgrade else _DROPPED | {b"connection"}
    kept = [(name, value) for name, value in head.headers if name.lower() not in dropped]
    kept += [(b"X-Forwarded-For", client_address.encode()), (b"X-Forwarded-Proto", b"http")]
    if not head.upgrade:
        kept.append((b"Connection", b"close"))
    first = head.method + b" " + head.target + b" HTTP/1." + str(head.minor_version).encode()
    return b"\r\n".join([first, *(name + b": " + value for name, value in kept)]) + END


def answer(status: int, why: str) -> bytes:
    """A whole response of our own."""
    phrases = {
        400: "Bad Request",
        404: "Not Found",
        408: "Request Timeout",
        431: "Request Header Fields Too Large",
        502: "Bad Gateway",
        503: "Service Unavailable",
        505: "HTTP Version Not Supported",
    }
    body = f"{status} {phrases[status]}: {why}\n".encode()
    head = (
        f"HTTP/1.1 {status} {phrases[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _header(line: bytes) -> tuple[bytes, bytes]:
    if not (matched := _HEADER.fullmatch(line)):
        raise BadRequest(400, "malformed header line")
    return matched.group(1), matched.group(2)


def _values(headers: tuple[tuple[bytes, bytes], ...], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def _check_framing(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    lengths, codings = _values(headers, b"content-length"), _values(headers, b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings) or len(codings) > 1:
        raise BadRequest(400, "ambiguous length of the body")
    if lengths and not lengths[0].isdigit():
        raise BadRequest(400, "malformed Content-Length")


def _host(target: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> str:
    hosts = _values(headers, b"host")
    if len(hosts) != 1:
        raise BadRequest(400, "one Host header is needed")
    host = hosts[0].decode("ascii", "replace").lower()
    if target.lower().startswith((b"http://", b"https://")):  # RFC 9112, 3.2.2: it would count instead of Host
        authority = target.split(b"/")[2].decode("ascii").lower()
        if authority != host:
            raise BadRequest(400, "the target names another host than Host does")
    if not _HOST.fullmatch(host):
        raise BadRequest(400, "malformed Host")
    name = host if host.startswith("[") and host.endswith("]") else host.rpartition(":")[0] or host
    return name.rstrip(".")
