"""The vCenter simulator, running, and sessions on it; the fixtures of the tests ``test_real_vcsim*``."""

from __future__ import annotations

import asyncio

import pytest
from real_kit import need, need_folder
from tls_kit import ThrowawayCa
from vcsim.beside import PASSWORD
from vcsim.build import CACHE, GOVMOMI, PACKAGE, build, running

from monitor.clients.vsphere import VcenterSession
from monitor.clock import RealClock
from monitor.credential import Secret


@pytest.fixture(scope="module")
def binary():
    go = need("go", PACKAGE)
    need_folder(GOVMOMI, PACKAGE)
    return build(go, CACHE)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def start(binary, ca):
    def starter(*options, port=0):
        return running(binary, *ca.server("127.0.0.1"), *options, port=port)

    return starter


@pytest.fixture
async def enter(ca):
    sessions = []

    def made(port, *, deadline_s=10.0, password=PASSWORD, ca_file=None, datacenter=""):
        session = VcenterSession(
            "127.0.0.1",
            port,
            "karaula",
            Secret(password),
            ca_file or ca.bundle,
            deadline_s=deadline_s,
            clock=RealClock(),
            datacenter=datacenter,
        )
        sessions.append(session)
        return session

    yield made
    await asyncio.gather(*(session.close() for session in sessions))
