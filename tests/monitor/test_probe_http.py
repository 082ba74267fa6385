"""The http probe: facts and values of health pages, and what is not believed."""

from __future__ import annotations

import pytest
from https_kit import reply, serving
from real_kit import free_port
from tls_kit import ThrowawayCa

from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.http import HttpParams, HttpProbe

pytestmark = pytest.mark.anyio
HEALTH = b'{"system": "ncts", "site": "main", "role": "active", "position": 42, "epoch": 3}'


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def probe(ca):
    trust = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
    probe = HttpProbe(Credentials(ca.folder), trust, ManualClock(1000.0))
    yield probe
    await probe.close()


async def ask(probe, params, deadline_s=5):
    target = Target("front/ncts/main", "http", params, 10, deadline_s)
    (seen,) = [seen async for seen in probe.observe([target])]
    return seen


async def test_a_health_page(ca, probe):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(200, HEALTH)) as server:
        seen = await ask(probe, HttpParams(f"https://127.0.0.1:{server.port}/health"))
    assert (seen.subject, seen.answer, seen.reason, seen.at) == ("front/ncts/main", Answer.OK, "", 1000.0)
    assert seen.facts == {"system": "ncts", "site": "main", "role": "active"}
    assert (seen.values["position"], seen.values["epoch"], seen.values["status"]) == (42, 3, 200)
    assert {"duration_seconds", "tls_not_after_seconds"} <= set(seen.values)


async def test_another_status_than_expected(ca, probe):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(503, HEALTH)) as server:
        url = f"https://127.0.0.1:{server.port}/health"
        seen = await ask(probe, HttpParams(url))
        assert (seen.answer, seen.reason) == (Answer.FAILED, "answered 503 instead of 200")
        assert (await ask(probe, HttpParams(url, expect_status=503))).answer is Answer.OK


async def test_a_name_at_an_address(ca, probe):
    with serving(ca.server("portal.customs.example"), lambda *_: reply(200, b"hello", "text/html")) as server:
        seen = await ask(probe, HttpParams("https://portal.customs.example/", "127.0.0.1", server.port))
    assert (seen.answer, seen.facts) == (Answer.OK, {})


@pytest.mark.parametrize(
    "body",
    [
        b"not JSON",
        b"[1, 2]",
        b"[" * 5000,
        b'{"role": ["active"], "position": "7", "epoch": true}',
        b'{"role": 1, "position": NaN, "epoch": Infinity}',
        b'{"position": 1' + b"0" * 400 + b"}",
    ],
)
async def test_a_body_that_says_nothing_of_use(ca, probe, body):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(200, body)) as server:
        seen = await ask(probe, HttpParams(f"https://127.0.0.1:{server.port}/health"))
    assert (seen.answer, seen.facts) == (Answer.OK, {})
    assert {"position", "epoch"}.isdisjoint(seen.values)


async def test_a_stranger_and_nobody(tmp_path, probe):
    with serving(ThrowawayCa(tmp_path).server("127.0.0.1"), lambda *_: reply(200, HEALTH)) as server:
        seen = await ask(probe, HttpParams(f"https://127.0.0.1:{server.port}/health"))
    assert (seen.answer, seen.facts) == (Answer.FAILED, {"error": "untrusted"})
    seen = await ask(probe, HttpParams(f"https://127.0.0.1:{free_port()}/health"))
    assert (seen.answer, seen.facts) == (Answer.FAILED, {})
    assert "Connection refused" in seen.reason
