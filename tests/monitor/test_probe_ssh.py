"""What the SSH probe makes of a host's and a database's answer, however hostile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients.ssh import SshResult
from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.errors import CredentialError, GarbledReply, KaraulaError, Unreachable, Untrusted
from monitor.inventory.equipment import SshHost
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.ssh import DatabaseParams, HostParams, SshProbe, VipParams, read_status

HOST = SshHost(site="main", address="127.94.8.21", port=2222, user="karaula", credential="ssh-karaula")
STATUS = {"role": "primary", "position": 812, "received_at": 1_790_000_000.5, "epoch": 3, "discarded": 0}


class FakePool:
    """Answers instead of hosts; the real pool is tried on a real sshd."""

    def __init__(self) -> None:
        self.answers: dict[str, SshResult | KaraulaError | None] = {}
        self.ran: list[tuple[str, ...]] = []

    async def run(self, host: SshHost, argv: tuple[str, ...], *, timeout_s: float) -> SshResult:
        self.ran.append(argv)
        answer = self.answers[host.address]
        if answer is None:
            await asyncio.sleep(3600)
        if isinstance(answer, KaraulaError):
            raise answer
        assert answer is not None
        return answer

    async def close(self) -> None:
        pass


@pytest.fixture
def probe(tmp_path: Path):
    (tmp_path / "known_hosts").write_text("")
    made = SshProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), ManualClock())
    made._pool = FakePool()
    return made


def database(address: str = HOST.address) -> Target:
    host = HOST.model_copy(update={"address": address})
    return Target(f"database/ncts/{address}", "ssh", DatabaseParams(host, ("ledgerctl", "status")), 10, 3)


async def observed(probe: SshProbe, answer: SshResult | KaraulaError, target: Target | None = None) -> Observation:
    probe._pool.answers[HOST.address] = answer
    (observation,) = [one async for one in probe.observe([target or database()])]
    return observation


def printed(text: str) -> SshResult:
    return SshResult(0, text, "", 0.004)


@pytest.mark.anyio
async def test_a_database_tells_role_position_and_epoch(probe: SshProbe) -> None:
    seen = await observed(probe, printed(json.dumps(STATUS)))
    assert (seen.answer, seen.facts) == (Answer.OK, {"role": "primary"})
    assert seen.values == {"duration_seconds": 0.004, "position": 812, "epoch": 3, "received_at": 1_790_000_000.5}
    assert probe._pool.ran == [("ledgerctl", "status")]


@pytest.mark.anyio
async def test_a_stopped_database_has_failed_but_its_position_is_known(probe: SshProbe) -> None:
    seen = await observed(probe, printed(json.dumps(STATUS | {"role": "stopped"})))
    assert (seen.answer, seen.reason) == (Answer.FAILED, "the database is stopped")
    assert seen.values["position"] == 812


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "answer", "facts", "reason"),
    [
        ('{"holds": true}', Answer.OK, {"holds": "yes"}, ""),
        ('{"holds": false}', Answer.OK, {"holds": "no"}, ""),
        ('{"holds": "true"}', Answer.FAILED, {}, "karaula-vip does not say whether the host holds the address"),
        ("{}", Answer.FAILED, {}, "karaula-vip does not say whether the host holds the address"),
        ("yes", Answer.FAILED, {}, "what karaula-vip says is not JSON"),
        ("[]", Answer.FAILED, {}, "what karaula-vip says is not a JSON object"),
    ],
)
async def test_a_host_says_whether_it_holds_an_address(
    probe: SshProbe, text: str, answer: Answer, facts: dict, reason: str
) -> None:
    target = Target("vip/ncts/main", "ssh", VipParams(HOST, "192.0.2.9/24", "eth0"), 10, 3)
    seen = await observed(probe, printed(text), target)
    assert (seen.answer, seen.facts, seen.reason) == (answer, facts, reason)
    assert probe._pool.ran == [("karaula-vip", "status", "192.0.2.9/24", "eth0")]
    lacking = await observed(probe, SshResult(64, "", "karaula-gate: not listed", 0.1), target)
    assert (lacking.answer, "ended with 64: karaula-gate: not listed" in lacking.reason) == (Answer.FAILED, True)


@pytest.mark.anyio
async def test_a_host_is_asked_to_do_nothing(probe: SshProbe) -> None:
    seen = await observed(probe, printed(""), Target("host/ncts-db-main", "ssh", HostParams(HOST), 10, 3))
    assert (seen.answer, seen.values) == (Answer.OK, {"duration_seconds": 0.004})
    assert probe._pool.ran == [("true",)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "answer", "facts"),
    [
        (Unreachable("no route"), Answer.FAILED, {}),
        (Untrusted("changed"), Answer.FAILED, {"error": "untrusted"}),
        (CredentialError("not there"), Answer.UNKNOWN, {}),
    ],
)
async def test_errors_become_observations(probe: SshProbe, error: KaraulaError, answer: Answer, facts: dict) -> None:
    seen = await observed(probe, error)
    assert (seen.answer, seen.reason, seen.facts) == (answer, str(error), facts)


@pytest.mark.anyio
async def test_a_complaint_is_cut_to_one_clean_line(probe: SshProbe) -> None:
    seen = await observed(probe, SshResult(127, "", "\n\x1b[31mledgerctl: not found" + "!" * 5000 + "\nmore", 0.1))
    assert seen.reason.startswith("'ledgerctl status' ended with 127:  [31mledgerctl: not found!!!")
    assert seen.reason.isprintable()
    assert len(seen.reason) < 250


@pytest.mark.anyio
async def test_a_host_that_hangs_delays_no_other(probe: SshProbe) -> None:
    targets = [database(f"127.94.8.{n}") for n in range(1, 6)]
    probe._pool.answers = {f"127.94.8.{n}": printed(json.dumps(STATUS)) for n in range(1, 5)} | {"127.94.8.5": None}
    seen = []
    async for observation in probe.observe(targets):
        seen.append(observation.subject)
        if len(seen) == 4:
            break
    assert "database/ncts/127.94.8.5" not in seen


HOSTILE = {
    "nothing": "",
    "text": "ledger ok",
    "a list": "[1, 2]",
    "no role": json.dumps({k: v for k, v in STATUS.items() if k != "role"}),
    "another role": json.dumps(STATUS | {"role": "PRIMARY"}),
    "a role that is a list": json.dumps(STATUS | {"role": ["primary"]}),
    "a role that is an object": json.dumps(STATUS | {"role": {}}),
    "no position": json.dumps(STATUS | {"position": None}),
    "a position that is text": json.dumps(STATUS | {"position": "812"}),
    "a position that is true": json.dumps(STATUS | {"position": True}),
    "a fraction of a position": json.dumps(STATUS | {"position": 1.5}),
    "a negative position": json.dumps(STATUS | {"position": -1}),
    "a huge position": json.dumps(STATUS | {"position": 2**64}),
    "a position of 5000 digits": json.dumps(STATUS).replace("812", "9" * 5000),
    "an epoch that is text": json.dumps(STATUS | {"epoch": "3"}),
    "a time that is text": json.dumps(STATUS | {"received_at": "now"}),
    "a time that is no number": json.dumps(STATUS).replace("1790000000.5", "NaN"),
    "an endless time": json.dumps(STATUS).replace("1790000000.5", "1e999"),
    "a deep nest": "[" * 8000,
    "a deep nest inside": '{"role": ' + "[" * 8000 + "]" * 8000 + "}",
    "too much": json.dumps(STATUS | {"more": "x" * 20_000}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_status_is_garbage(name: str) -> None:
    with pytest.raises(GarbledReply) as caught:
        read_status(HOSTILE[name])
    assert len(str(caught.value)) < 200


def test_a_database_that_never_received_anything() -> None:
    assert read_status(json.dumps(STATUS | {"received_at": None})).received_at is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(STATUS)), JSON) | JSON)
def test_any_json_is_a_status_or_garbage(found: object) -> None:
    try:
        status = read_status(json.dumps(found))
    except GarbledReply:
        return
    assert status.role in ("primary", "standby", "stopped")
    assert 0 <= status.position < 2**63


@given(st.text(max_size=200))
def test_any_text_is_garbage(text: str) -> None:
    with pytest.raises(GarbledReply):
        read_status(text)
