"""A system as its clients meet it: fronts, the name they use, and what they were told is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dr.estate.database import Count, Moment, Name
from dr.estate.waiting import together
from dr.world import World
from monitor.clients import dns
from monitor.errors import GarbledReply, Refused, TargetError
from monitor.inventory.systems import Front

M = TypeVar("M", bound=BaseModel)
HTTP_OK = 200
NAME_LIMIT_S = 2.0  # a dead name server is silent, and every second of waiting for it is one of interruption


class Health(BaseModel):
    """What a front says of itself."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    system: Name
    site: Name
    role: Literal["active", "standby"]
    position: Count
    epoch: Count


class Receipts(BaseModel):
    """What clients were told is accepted, see ``monitor.inventory.systems.Receipts``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    acknowledged: Count
    newest_position: Count
    newest_at: Moment


@dataclass(frozen=True, slots=True)
class Answer:
    """What one DNS server says the service's addresses are; ``problem`` when it does not say."""

    server: str
    addresses: tuple[str, ...]
    problem: str = ""

    def __str__(self) -> str:
        """Render for people."""
        return f"{self.server}: {', '.join(self.addresses) or self.problem}"


async def health(world: World, system: str, site: str, timeout_s: float, *, bubble: bool = False) -> Health:
    """Ask the front at ``site`` (or a drill's, on its bubble port). Raises TargetError."""
    front = world.deployment(system, site).front
    port = front.bubble_port if bubble else front.port
    return await _ask(world, f"https://{_host(front.address)}:{port}{front.health_path}", None, timeout_s, Health)


async def service_health(world: World, system: str, address: str, timeout_s: float) -> Health:
    """Ask the service by its name at ``address``, as a client that resolved it would. Raises TargetError."""
    front = _front_at(world, system, address)
    url = f"https://{world.system(system).service.fqdn}:{front.port}{front.health_path}"
    return await _ask(world, url, (address, front.port), timeout_s, Health)


async def receipts(world: World, system: str, timeout_s: float) -> Receipts | None:
    """Ask the system's record of acknowledged declarations; None when the inventory has none. Raises TargetError."""
    entry = world.system(system).receipts
    return None if entry is None else await _ask(world, entry.url, None, timeout_s, Receipts)


async def answers(world: World, system: str, timeout_s: float) -> list[Answer]:
    """Ask every DNS server of the service for its address, side by side. Raises nothing of a target's."""
    service = world.system(system).service
    limit_s = min(timeout_s, NAME_LIMIT_S)

    async def one(key: str) -> Answer:
        server = world.inventory.dns_servers[key]
        try:
            addresses, _ = await dns.query_a(server.address, server.port, service.fqdn, limit_s)
        except TargetError as error:
            return Answer(key, (), str(error))
        return Answer(key, addresses)

    return await together(*(one(key) for key in service.dns))


def _front_at(world: World, system: str, address: str) -> Front:
    entry = world.system(system)
    for deployment in entry.sites.values():
        if deployment.front.address == address:
            return deployment.front
    if entry.vip is not None and entry.vip.address == address:
        return entry.sites[entry.protected_site].front
    fqdn = world.system(system).service.fqdn
    raise Refused(f"{fqdn} points to {address}, which is the front of none of its sites")


async def _ask(world: World, url: str, connect_to: tuple[str, int] | None, timeout_s: float, model: type[M]) -> M:
    reply = await world.http.request("GET", url, timeout_s=timeout_s, connect_to=connect_to)
    where = url if connect_to is None else f"{url} at {connect_to[0]}"
    if reply.status != HTTP_OK:
        raise Refused(f"{where} answers with HTTP status {reply.status}")
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise GarbledReply(
            f"{where} answers what it should not: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
