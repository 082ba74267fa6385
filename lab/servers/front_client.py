"""A client of the systems as a trader has it: ask the DNS for the service's name, send the declaration there by HTTPS.

DNS servers are asked one after the other (dr first), by real queries over UDP; nothing is cached.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

from lab.identity import Identity
from lab.plan import DeploymentPlan, SystemPlan
from lab.scenario import Estate
from lab.uplink import CLIENTS

DNS_TIMEOUT_S = 0.5
HTTP_TIMEOUT_S = 2.0


class NotAcceptedError(Exception):
    """The declaration was not acknowledged; whether it was accepted is not known."""


class FrontClient:
    """Sends declarations."""

    def __init__(self, estate: Estate, identity: Identity) -> None:
        self._estate = estate
        self._tls = identity.client_tls()

    async def declare(self, system: str, declaration: str) -> tuple[str, int]:
        """Send a declaration; return the site that took it and its position. Raises NotAcceptedError."""
        plan = self._estate.plan.systems[system]
        deployment = await self._resolve(plan)
        try:
            async with asyncio.timeout(HTTP_TIMEOUT_S):
                return deployment.site, await self._post(deployment, declaration)
        except (OSError, EOFError, ValueError, KeyError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            raise NotAcceptedError(f"{plan.fqdn} did not acknowledge: {error}") from error

    async def _resolve(self, plan: SystemPlan) -> DeploymentPlan:
        for key in sorted(plan.dns, key=lambda server: self._estate.plan.dns_servers[server].site):
            server = self._estate.plan.dns_servers[key]
            query = dns.message.make_query(plan.fqdn, dns.rdatatype.A)
            try:
                reply = await dns.asyncquery.udp(query, server.address, DNS_TIMEOUT_S, server.port, CLIENTS)
            except (OSError, dns.exception.DNSException):
                continue
            addresses = {item.to_text() for answer in reply.answer for item in answer}
            for deployment in plan.deployments.values():
                if deployment.front_address in addresses:
                    return deployment
        raise NotAcceptedError(f"no DNS server knows a front of {plan.fqdn}")

    async def _post(self, deployment: DeploymentPlan, declaration: str) -> int:
        reader, writer = await asyncio.open_connection(
            deployment.front_address,
            deployment.front_port,
            ssl=self._tls,
            server_hostname=deployment.front_address,
            local_addr=(CLIENTS, 0),
        )
        try:
            body = json.dumps({"id": declaration}).encode()
            head = (
                f"POST /declarations HTTP/1.1\r\nHost: {deployment.front_address}:{deployment.front_port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            status, answer = await _read_answer(reader)
            if status != "201":
                raise ValueError(f"status {status}")
            return int(answer["position"])
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, int]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = head[0].split(" ")[1]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers["content-length"]))
    return status, json.loads(body)
