"""A front end of one site as a process: HTTPS, its health page, and POST /declare, which commits in its own PostgreSQL.

    two_site_front.py SYSTEM SITE ADDRESS PORT CERTIFICATE KEY SOCKET_FOLDER DATABASE_PORT

A declaration has an identity of the client's: sent again, it gives the number it has. Numbers have no gaps.
"""

from __future__ import annotations

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

SYSTEM, SITE, ADDRESS, PORT, CERTIFICATE, KEY, SOCKETS, DATABASE = sys.argv[1:]
PLACE = f"host={SOCKETS} port={DATABASE} user=app dbname=postgres connect_timeout=2"
HEALTH = (
    "SELECT pg_is_in_recovery(), (SELECT coalesce(max(n), 0) FROM declaration),"
    " (SELECT coalesce(max(token), 0) FROM karaula.epoch)"
)
ACCEPT = (
    "INSERT INTO declaration (n, id, site) SELECT coalesce(max(n), 0) + 1, %(id)s, %(site)s FROM declaration"
    " WHERE NOT EXISTS (SELECT 1 FROM declaration WHERE id = %(id)s)"
)


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.request.settimeout(10)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        self.answer(self.health)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(lambda: self.accept(str(sent["id"])))

    def health(self) -> dict[str, object]:
        with psycopg.connect(PLACE, autocommit=True) as line:
            standby, position, epoch = line.execute(HEALTH).fetchone()
        role = "standby" if standby else "active"
        return {"system": SYSTEM, "site": SITE, "role": role, "position": position, "epoch": epoch}

    def accept(self, identity: str) -> dict[str, object]:
        with psycopg.connect(PLACE) as line:
            line.execute("SELECT pg_advisory_xact_lock(1)")
            line.execute(ACCEPT, {"id": identity, "site": SITE})
            (number,) = line.execute("SELECT n FROM declaration WHERE id = %s", (identity,)).fetchone()
            line.commit()
        return {"id": identity, "n": number, "site": SITE}

    def answer(self, work: object) -> None:
        try:
            status, body = 200, work()
        except psycopg.Error as error:
            status, body = 503, {"error": type(error).__name__}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, text: str, *values: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def main() -> None:
    server = Server((ADDRESS, int(PORT)), Front)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
