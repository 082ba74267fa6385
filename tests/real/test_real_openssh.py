"""The SSH client against Debian's OpenSSH server: trust, hangs, restarts, output and what is never sent twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from sshd_kit import ADDRESS, LONG_S, Sshd

from monitor.clients.ssh import SshPool
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import CredentialError, DeadlineExceeded, Refused, SessionLost, Unreachable, Untrusted
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.ssh import DatabaseParams, HostParams, SshProbe

pytestmark = [pytest.mark.real, pytest.mark.anyio]


@pytest.fixture
def sshd(tmp_path: Path):
    server = Sshd(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def pool(sshd: Sshd):
    made = SshPool(Credentials(sshd.folder), sshd.known_hosts, RealClock())
    yield made
    await made.close()


async def test_status_and_both_streams_come_back(sshd: Sshd, pool: SshPool) -> None:
    result = await pool.run(sshd.host(), "echo out; echo err >&2; exit 7", timeout_s=LONG_S)
    assert (result.exit_status, result.stdout, result.stderr) == (7, "out\n", "err\n")


async def test_arguments_reach_the_command_as_they_are(sshd: Sshd, pool: SshPool) -> None:
    nasty = ["a b", "$(touch /tmp/never)", "'", "*", ""]
    result = await pool.run(sshd.host(), ["printf", "<%s>", *nasty], timeout_s=LONG_S)
    assert result.stdout == "".join(f"<{word}>" for word in nasty)


async def test_input_is_passed_and_ended(sshd: Sshd, pool: SshPool) -> None:
    result = await pool.run(sshd.host(), ["wc", "-c"], stdin=b"x" * 300_000, timeout_s=LONG_S)
    assert result.stdout.strip() == "300000"


async def test_a_command_that_does_not_read_its_input_is_no_error(sshd: Sshd, pool: SshPool) -> None:
    result = await pool.run(sshd.host(), "exit 3", stdin=b"x" * 8_000_000, timeout_s=LONG_S)
    assert result.exit_status == 3


async def test_lines_arrive_before_the_result_and_in_order(sshd: Sshd, pool: SshPool) -> None:
    seen: list[tuple[str, str]] = []

    def note(stream: str, line: str) -> None:
        seen.append((stream, line))

    result = await pool.run(sshd.host(), "seq 1 2000; printf tail", timeout_s=LONG_S, on_line=note)
    assert seen == [("stdout", str(n)) for n in range(1, 2001)] + [("stdout", "tail")]
    assert result.stdout.endswith("2000\ntail")


async def test_a_flood_is_bounded_and_counted(sshd: Sshd, pool: SshPool) -> None:
    result = await pool.run(sshd.host(), "head -c 6000000 /dev/zero", timeout_s=LONG_S)
    assert len(result.stdout) == 4 * 1024 * 1024
    assert result.dropped_bytes == 6_000_000 - 4 * 1024 * 1024


async def test_one_connection_serves_many_commands(sshd: Sshd, pool: SshPool) -> None:
    # sshd tells a session its connection's ports.
    ran = [pool.run(sshd.host(), "echo $SSH_CONNECTION", timeout_s=LONG_S) for _ in range(12)]
    assert len({result.stdout for result in await asyncio.gather(*ran)}) == 1


async def test_a_changed_host_key_is_told_with_both_fingerprints(sshd: Sshd, pool: SshPool) -> None:
    before = sshd.fingerprint("host")
    sshd.stop()
    sshd.new_key("host")
    sshd.start()
    with pytest.raises(Untrusted) as caught:
        await pool.run(sshd.host(), ["touch", str(sshd.folder / "ran")], timeout_s=LONG_S)
    assert before in str(caught.value)
    assert sshd.fingerprint("host") in str(caught.value)
    assert not (sshd.folder / "ran").exists()
    sshd.trust()  # a corrected file works without a restart
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0


async def test_a_changed_host_key_is_seen_though_a_connection_was_kept(sshd: Sshd, pool: SshPool) -> None:
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0
    sshd.stop()
    sshd.new_key("host")
    sshd.start()
    with pytest.raises(Untrusted):
        await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)


async def test_an_unknown_host_is_not_trusted(sshd: Sshd, pool: SshPool) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(Untrusted, match="no host key is known") as caught:
        await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)
    assert sshd.fingerprint("host") in str(caught.value)


async def test_the_key_type_that_is_known_is_asked_for(sshd: Sshd, pool: SshPool) -> None:
    sshd.stop()
    sshd.new_key("rsa", "rsa")
    sshd.start(f"HostKey {sshd.folder / 'rsa'}")
    sshd.trust("rsa")
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0


async def test_a_key_that_the_host_does_not_accept_is_refused(sshd: Sshd, pool: SshPool) -> None:
    with pytest.raises(Refused, match="log-in refused") as caught:
        await pool.run(sshd.host(credential="other"), ["true"], timeout_s=LONG_S)
    assert sshd.fingerprint("other") in str(caught.value)


async def test_a_file_that_is_no_key_is_named_but_not_shown(sshd: Sshd, pool: SshPool) -> None:
    (sshd.folder / "broken").write_text("correct horse battery staple")
    with pytest.raises(CredentialError, match="'broken'") as caught:
        await pool.run(sshd.host(credential="broken"), ["true"], timeout_s=LONG_S)
    assert "horse" not in str(caught.value)


async def test_nobody_listening_is_unreachable(sshd: Sshd, pool: SshPool) -> None:
    sshd.stop()
    with pytest.raises(Unreachable, match="refused"):
        await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)


async def test_a_late_command_is_given_up_and_its_effect_unknown(sshd: Sshd, pool: SshPool) -> None:
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0  # connect without haste
    with pytest.raises(DeadlineExceeded) as caught:
        await pool.run(sshd.host(), ["sleep", "600"], timeout_s=2)
    assert not caught.value.outcome_known
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0


async def test_a_stopped_host_holds_up_only_itself(sshd: Sshd, pool: SshPool, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = Sshd(tmp_path / "second")
    other.start()
    (sshd.folder / "second-key").write_bytes((other.folder / "ssh-karaula").read_bytes())
    sshd.known_hosts.write_text(sshd.known_hosts.read_text() + other.known_hosts.read_text())
    try:
        assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0
        sshd.signal(signal.SIGSTOP)
        stuck = [asyncio.create_task(pool.run(sshd.host(), ["true"], timeout_s=600)) for _ in range(30)]
        await asyncio.sleep(0)
        answered = await pool.run(other.host(credential="second-key"), ["true"], timeout_s=LONG_S)
        assert answered.exit_status == 0
        assert not any(task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        late = (pool.run(sshd.host(), ["true"], timeout_s=2) for _ in range(30))
        outcomes = await asyncio.gather(*late, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {Unreachable, DeadlineExceeded}
        sshd.signal(signal.SIGCONT)
        assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0
    finally:
        other.stop()


async def test_a_restarted_host_costs_no_command(sshd: Sshd, pool: SshPool) -> None:
    count = sshd.folder / "count"
    for _ in range(3):
        assert (await pool.run(sshd.host(), f"echo x >> {count}", timeout_s=LONG_S)).exit_status == 0
        sshd.stop()
        sshd.start()
    assert count.read_text() == "x\n" * 3


async def test_a_command_cut_off_is_not_sent_again(sshd: Sshd, pool: SshPool) -> None:
    count = sshd.folder / "count"
    running = asyncio.create_task(pool.run(sshd.host(), f"echo x >> {count}; sleep 60", timeout_s=LONG_S))
    while not count.exists():  # noqa: ASYNC110 - the other end is a process
        await asyncio.sleep(0.02)
    sshd.stop()
    sshd.start()
    with pytest.raises(SessionLost) as caught:
        await running
    assert not caught.value.outcome_known
    assert count.read_text() == "x\n"


async def test_a_command_killed_by_a_signal_has_no_known_outcome(sshd: Sshd, pool: SshPool) -> None:
    with pytest.raises(SessionLost, match="without an exit status"):
        await pool.run(sshd.host(), "kill -KILL $$", timeout_s=LONG_S)


async def test_cancelling_frees_the_slot(sshd: Sshd, pool: SshPool) -> None:
    for _ in range(6):  # more than a host's slots
        task = asyncio.create_task(pool.run(sshd.host(), ["sleep", "60"], timeout_s=60))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0


async def test_a_forced_command_is_what_runs(sshd: Sshd, pool: SshPool) -> None:
    authorized = sshd.folder / "authorized"
    authorized.write_text(f'restrict,command="echo forced: $SSH_ORIGINAL_COMMAND" {authorized.read_text()}')
    result = await pool.run(sshd.host(), ["rm", "-rf", "/nothing"], timeout_s=LONG_S)
    assert result.stdout == "forced: rm -rf /nothing\n"


async def test_a_hashed_name_is_known(sshd: Sshd, pool: SshPool) -> None:
    sshd.hash_names()
    assert ADDRESS not in sshd.known_hosts.read_text()
    assert (await pool.run(sshd.host(), ["true"], timeout_s=LONG_S)).exit_status == 0


@pytest.fixture
async def probe(sshd: Sshd):
    made = SshProbe(Credentials(sshd.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    yield made
    await made.close()


async def observe(probe: SshProbe, *params: HostParams | DatabaseParams) -> list[Observation]:
    targets = [Target(str(n), "ssh", one, 10, LONG_S) for n, one in enumerate(params)]
    return sorted([one async for one in probe.observe(targets)], key=lambda one: one.subject)


async def test_the_probe_sees_a_host_and_its_database(sshd: Sshd, probe: SshProbe) -> None:
    status = '{"role": "standby", "position": 41, "received_at": 1790000000.25, "epoch": 2}'
    database = DatabaseParams(sshd.host(), ("echo", status))
    host, good, bad = await observe(probe, HostParams(sshd.host()), database, DatabaseParams(sshd.host(), ("false",)))
    assert (host.answer, good.answer, bad.answer) == (Answer.OK, Answer.OK, Answer.FAILED)
    assert (good.facts, good.values["position"], good.values["epoch"]) == ({"role": "standby"}, 41, 2)
    assert bad.reason == "'false' ended with 1"


async def test_the_probe_calls_a_host_with_a_changed_key_untrusted(sshd: Sshd, probe: SshProbe) -> None:
    (before,) = await observe(probe, HostParams(sshd.host()))
    sshd.stop()
    sshd.new_key("host")
    sshd.start()
    (after,) = await observe(probe, HostParams(sshd.host()))
    assert (before.answer, after.answer, after.facts) == (Answer.OK, Answer.FAILED, {"error": "untrusted"})
