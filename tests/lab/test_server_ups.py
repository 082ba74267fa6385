"""The lab's upsd, read by aionut, by Debian's upsc and line by line."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from aionut import AIONUTClient, NUTCommandError, NUTError
from real_kit import need
from server_kit import NETWORK, running

from lab.servers import ups

ADDRESS, PORT = f"{NETWORK}.1.66", 3493
pytestmark = pytest.mark.anyio


async def talk(*lines: str) -> list[str]:
    reader, writer = await asyncio.open_connection(ADDRESS, PORT)
    writer.write("".join(f"{line}\n" for line in lines).encode())
    writer.write_eof()
    said = (await reader.read()).decode().splitlines()
    writer.close()
    return said


async def test_aionut_reads_it(tmp_path):
    async with running(tmp_path, ups.servers) as lab:
        lab.fault("set-sensor", "main-ups-a-charge", value=64)
        client = AIONUTClient(ADDRESS, PORT, timeout=60)
        assert await client.list_ups() == {"ups-a": "UPS ups-a"}
        variables = await client.list_vars("ups-a")
        assert variables["battery.charge"] == "64"
        assert variables["ups.status"] == "OL CHRG"
        assert await client.description("ups-a") == "UPS ups-a"
        with pytest.raises(NUTCommandError, match="UNKNOWN-UPS"):
            await client.list_vars("ups-z")
        lab.fault("fault-sensor", "main-ups-a-load")
        with pytest.raises(NUTCommandError, match="DATA-STALE"):
            await client.list_vars("ups-a")
        lab.fault("cut-site", "main")
        with pytest.raises(NUTError):
            await client.list_ups()
        client.shutdown()


async def test_the_words_of_rfc_9271(tmp_path):
    async with running(tmp_path, ups.servers) as lab:
        lab.fault("set-sensor", "main-ups-a-load", value=33.5)
        said = await talk(
            "VER",
            "PROTVER",
            "GET VAR ups-a ups.load",
            "GET VAR ups-a no.such",
            "GET VAR ups-a",
            "GET VAR ups-z ups.load",
            "LIST CMD ups-a",
            "LOGIN ups-a",
            "USERNAME monitor",
            "USERNAME again",
            "PASSWORD secret",
            "LOGIN ups-a",
            "LOGIN ups-a",
            "SET VAR ups-a x y",
            'GET VAR "ups-a',
            "STARTTLS",
            "LOGOUT",
            "VER",
        )
    assert said[0].startswith("Network UPS Tools upsd 2.")
    assert said[1:] == [
        "1.3",
        'VAR ups-a ups.load "33.5"',
        "ERR VAR-NOT-SUPPORTED",
        "ERR INVALID-ARGUMENT",
        "ERR UNKNOWN-UPS",
        "BEGIN LIST CMD ups-a",
        "END LIST CMD ups-a",
        "ERR USERNAME-REQUIRED",
        "OK",
        "ERR ALREADY-SET-USERNAME",
        "OK",
        "OK",
        "ERR ALREADY-LOGGED-IN",
        "ERR UNKNOWN-COMMAND",
        "ERR UNKNOWN-COMMAND",
        "ERR FEATURE-NOT-CONFIGURED",
        "OK Goodbye",
    ]


@pytest.mark.real
async def test_debians_upsc_reads_it(tmp_path):
    async with running(tmp_path, ups.servers) as lab:
        lab.fault("set-sensor", "main-ups-a-charge", value=51)
        command = [need("upsc", "nut-client"), f"ups-a@{ADDRESS}:{PORT}", "battery.charge"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert done.stdout == "51\n"
