"""A site with a log-in form: portal.py ADDRESS PORT CERTIFICATE KEY, with the password in the environment."""

from __future__ import annotations

import os
import secrets
import ssl
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

FORM = (
    "<form method=post action=/session><input type=hidden name=token value={token}>"
    "<input name=username><input type=password name=password></form>"
)
TOKENS: set[str] = set()
SESSIONS: set[str] = set()


class Portal(BaseHTTPRequestHandler):
    """GET /login, POST /session, GET /app."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/app" and self._cookie("session") in SESSIONS:
            self._say(200, "Welcome, karaula")
        elif self.path == "/app":
            self._say(303, "", "Location", "/login")
        else:
            token = secrets.token_hex(8)
            TOKENS.add(token)
            self._say(200, FORM.format(token=token))

    def do_POST(self) -> None:
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        known = sent.get("token", [""])[0] in TOKENS
        if not known or sent.get("password") != [os.environ["PORTAL_PASSWORD"]]:
            self._say(403, "no")
            return
        session = secrets.token_hex(16)
        SESSIONS.add(session)
        self._say(303, "", "Location", "/app", "Set-Cookie", f"session={session}; Path=/; Secure; HttpOnly")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base has it
        """Say nothing."""

    def _cookie(self, name: str) -> str:
        found = SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return found.value if found else ""

    def _say(self, status: int, text: str, *headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for header, value in zip(headers[::2], headers[1::2], strict=True):
            self.send_header(header, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Each client's TLS in its own thread, so that one that hangs holds nobody up."""

    daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def finish_request(self, request: object, client_address: object) -> None:
        with self.tls.wrap_socket(request, server_side=True) as secure:  # type: ignore[arg-type]  # it is a socket
            self.RequestHandlerClass(secure, client_address, self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients come and go."""


if __name__ == "__main__":
    address, port, certificate, key = sys.argv[1:]
    Server.tls.load_cert_chain(certificate, key)
    Server((address, int(port)), Portal).serve_forever()
