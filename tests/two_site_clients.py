"""Clients of a system that write all along, and their own record of what they were told is accepted.

A client sends a declaration until somebody acknowledges it, then the next one. It finds the system as any client does:
by its name, at whichever name server answers, with TLS verified for the name.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query

PATIENCE_S = 2.0
PAUSE_S = 0.12


@dataclass(frozen=True)
class Ack:
    """What one client was told; ``at`` is Unix time, ``moment`` monotonic."""

    id: str
    n: int
    site: str
    at: float
    moment: float


class Clients:
    """Threads that write, each in the namespace of the border, until ``close``."""

    def __init__(self, fqdn: str, port: int, servers: list[str], bundle: Path, count: int = 2) -> None:
        self.fqdn, self.port, self.servers, self.count = fqdn, port, servers, count
        self.context = ssl.create_default_context(cafile=str(bundle))
        self.acks: list[Ack] = []
        self.refusals: list[tuple[float, int, str]] = []  # Unix time, status and what was said
        self._newest = Ack("", 0, "", 0.0, 0.0)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(count)]

    def start(self, inside: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        with inside():  # a thread is born where its maker is
            for thread in self._threads:
                thread.start()

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(PATIENCE_S * 3)

    def receipts(self) -> dict[str, float]:
        """Return what the message gateway's page says."""
        with self._lock:
            newest = self._newest
            return {"acknowledged": len(self.acks), "newest_position": newest.n, "newest_at": newest.at}

    def seen(self) -> list[Ack]:
        with self._lock:
            return list(self.acks)

    def wait(self, count: int, site: str = "", limit_s: float = 60.0) -> None:
        """Wait until ``count`` more declarations are acknowledged, by ``site`` if one is named."""
        begin, end = len(self.seen()), time.monotonic() + limit_s
        while sum(site in ("", ack.site) for ack in self.seen()[begin:]) < count:
            assert time.monotonic() < end, f"{count} more acknowledgements by {site or 'anybody'}"
            time.sleep(0.02)

    def _write(self, number: int) -> None:
        count = 0
        while not self._end.is_set():
            if self._declare(f"{number}-{count}"):
                count += 1
            self._end.wait(PAUSE_S)

    def _declare(self, identity: str) -> bool:
        for server in self.servers:
            address = self._resolve(server)
            if address:
                break
        else:
            return False
        line = http.client.HTTPSConnection(self.fqdn, self.port, timeout=PATIENCE_S, context=self.context)
        try:
            plain = socket.create_connection((address, self.port), PATIENCE_S)
            line.sock = self.context.wrap_socket(plain, server_hostname=self.fqdn)
            line.request("POST", "/declare", json.dumps({"id": identity}), {"Content-Type": "application/json"})
            answer = line.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            line.close()
        if answer.status != http.client.OK:
            self.refusals.append((time.time(), answer.status, str(body)))
            return False
        with self._lock:
            ack = Ack(body["id"], body["n"], body["site"], time.time(), time.monotonic())
            self.acks.append(ack)
            if ack.site != self._newest.site or ack.n > self._newest.n:
                self._newest = ack
        return True

    def _resolve(self, server: str) -> str:
        try:
            answer = dns.query.udp(dns.message.make_query(self.fqdn, "A"), server, timeout=0.3)
        except (OSError, dns.exception.DNSException):
            return ""
        return next((item.address for rrset in answer.answer for item in rrset), "")
