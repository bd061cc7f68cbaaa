"""A workload that tells what it can reach; runs alone, as the argument of `python3 -c`.

TCP_PORTS: on each of these ports it takes lines such as `db:6379`, tries to connect, and answers `open` or why not; a
line may name a service on the way, `db:6379 other:7000`: then it asks there. HTTP_PORT: the same over HTTP, with the
line as the query. `resolve NAME` answers with an address.
"""

import http.server
import os
import socket
import socketserver
import threading
import urllib.parse

TIMEOUT_S = 3.0


def reach(line: str) -> str:
    try:
        if line.startswith("resolve "):
            return socket.gethostbyname(line.removeprefix("resolve "))
        target, _, rest = line.partition(" ")
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
            if not rest:
                return "open"
            connection.sendall(f"{rest}\n".encode())
            return connection.makefile().readline().strip()
    except OSError as error:
        return f"closed: {error}"


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(f"{reach(line.decode().strip())}\n".encode())


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = reach(urllib.parse.unquote(self.path.partition("?")[2])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


socketserver.ThreadingTCPServer.allow_reuse_address = True
servers: list[socketserver.BaseServer] = [
    socketserver.ThreadingTCPServer(("", int(port)), Lines) for port in os.environ.get("TCP_PORTS", "").split()
]
if "HTTP_PORT" in os.environ:
    servers.append(http.server.ThreadingHTTPServer(("", int(os.environ["HTTP_PORT"])), Page))
for server in servers:
    threading.Thread(target=server.serve_forever).start()
