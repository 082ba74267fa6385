"""Agents that replay what real devices said (``tests/recorded``), by the lab's agent and not the product's encoder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lab.servers.ber import Oid, Value, integer, object_identifier, parse_oid
from lab.servers.snmp_agent import SnmpAgent

RECORDED = Path(__file__).parent / "recorded"
INTEGER, OCTETS, OBJECT_IDENTIFIER = 2, 4, 6


def objects(name: str) -> dict[Oid, Value]:
    """Read a file: ``OID|tag|value``, a tag with ``x`` for hexadecimal; 65 to 71 are SNMP's own numbers."""
    found: dict[Oid, Value] = {}
    for line in (RECORDED / f"{name}.snmprec").read_text().splitlines():
        oid, tag, value = line.split("|", 2)
        kind = int(tag.rstrip("x"))
        if kind == OCTETS:
            found[parse_oid(oid)] = Value(OCTETS, bytes.fromhex(value) if tag.endswith("x") else value.encode())
        elif kind == OBJECT_IDENTIFIER:
            found[parse_oid(oid)] = object_identifier(parse_oid(value))
        else:
            found[parse_oid(oid)] = integer(int(value), INTEGER if kind == INTEGER else kind)
    return found


@asynccontextmanager
async def replayed(name: str, address: str) -> AsyncIterator[int]:
    """Run an agent with the community ``public`` and yield its port."""
    said = objects(name)
    agent = SnmpAgent(address, 0, "public", lambda: said)
    await agent.start()
    try:
        yield agent.port
    finally:
        await agent.stop()
