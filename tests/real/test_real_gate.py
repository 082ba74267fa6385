"""The forced command that is shipped for hosts, behind Debian's OpenSSH: what it runs, and what it never runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sshd_kit import LONG_S, Sshd

from deploy.targets import karaula_gate as gate
from monitor.clients.ssh import SshPool, SshResult
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import Refused, SessionLost

pytestmark = [pytest.mark.real, pytest.mark.anyio]
GATE = Path(gate.__file__)
CONFIG = """
[gate]
state = {folder}/state
wait_s = {wait_s}

[status]
accept = tool status
run = /bin/echo {{system}} seen={{seen}}

[promote]
accept = tool promote --epoch {{token}}
run = /bin/sh -c 'echo "$0" >> {folder}/effects' {{token}}

[slow]
accept = tool slow --epoch {{token}}
run = /bin/sh -c 'echo begin-$0 >> {folder}/effects; while [ ! -e {folder}/go ]; do sleep 0.02; done; \
    echo end-$0 >> {folder}/effects' {{token}}

[fails]
accept = tool fails --epoch {{token}} {{name}}
run = /bin/sh -c 'echo out; echo err >&2; exit 9'

[hangs]
accept = tool hangs
run = /bin/sleep 600
timeout_s = 0.2
"""


class Host:
    """A host whose key runs the gate and nothing else."""

    def __init__(self, sshd: Sshd, pool: SshPool) -> None:
        self.sshd, self.pool, self.folder = sshd, pool, sshd.folder
        (self.folder / "state").mkdir()
        self.configure()
        self.token = self.folder / "state" / "cdeps.token"
        self.command = f"{sys.executable} {GATE} {self.folder / 'gate.conf'} cdeps"
        self.force(self.command)

    def configure(self, wait_s: float = 60) -> None:
        (self.folder / "gate.conf").write_text(CONFIG.format(folder=self.folder, wait_s=wait_s))

    def force(self, command: str) -> None:
        public = (self.folder / "ssh-karaula.pub").read_text()
        (self.folder / "authorized").write_text(f'restrict,command="{command}" {public}')

    async def run(self, command: str, **host: str) -> SshResult:
        return await self.pool.run(self.sshd.host(**host), command, timeout_s=LONG_S * 3)

    def effects(self) -> list[str]:
        path = self.folder / "effects"
        return path.read_text().split() if path.exists() else []

    async def until(self, *effects: str) -> None:
        async with asyncio.timeout(LONG_S * 3):
            while self.effects()[-len(effects) :] != list(effects):  # noqa: ASYNC110 - the other end is a process
                await asyncio.sleep(0.02)

    def calls(self) -> list[tuple[str, int]]:
        lines = map(json.loads, (self.folder / "state" / "calls.log").read_text().splitlines())
        return [(one["what"], one.get("exit", one.get("token"))) for one in lines]


def kill_connections(sshd: Sshd) -> None:
    """Kill sshd and what holds its connections, and leave alone what runs on their behalf."""
    for pid in sshd.family():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def host(tmp_path: Path):
    sshd = Sshd(tmp_path)
    sshd.start()
    pool = SshPool(Credentials(tmp_path), sshd.known_hosts, RealClock())
    yield Host(sshd, pool)
    await pool.close()
    sshd.stop()


async def test_an_old_token_is_refused_at_the_host_and_an_equal_one_is_not(host: Host) -> None:
    assert (await host.run("tool status")).stdout == "cdeps seen=0\n"
    for token in (5, 5, 7):
        assert (await host.run(f"tool promote --epoch {token}")).exit_status == 0
    refused = await host.run("tool promote --epoch 6")
    assert (refused.exit_status, refused.stdout) == (gate.STALE, "")
    assert "stale fencing token 6: cdeps here has seen 7" in refused.stderr
    assert host.effects() == ["5", "5", "7"]
    assert (await host.run("tool status")).stdout == "cdeps seen=7\n"
    assert host.calls()[-3:] == [("begin", 7), ("end", 0), ("refused", gate.STALE)]


async def test_a_command_that_fails_has_fenced_off_older_ones(host: Host) -> None:
    failed = await host.run("tool fails --epoch 8 main")
    assert (failed.exit_status, failed.stdout, failed.stderr) == (9, "out\n", "err\n")
    assert (await host.run("tool status")).stdout == "cdeps seen=8\n"
    assert (await host.run("tool promote --epoch 7")).exit_status == gate.STALE
    assert (await host.run("tool promote --epoch 8")).exit_status == 0  # the same run may try again


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh",
        "tool",
        "tool status; touch {}/ran",
        "tool status\ntouch {}/ran",
        "tool promote --epoch -1",
        "tool promote --epoch 0x10",
        "tool promote --epoch 99999999999999999999",
        "tool promote --epoch '5 5'",
        "tool promote --epoch 5 && touch {}/ran",
        "tool fails --epoch 5 $(touch {}/ran)",
        "tool fails --epoch 5 ../../etc;x",
        "tool 'status",
        "tool státus",
        "x" * 5000,
    ],
)
async def test_garbage_is_refused_and_touches_nothing(host: Host, command: str) -> None:
    refused = await host.run(command.format(host.folder) or "''")
    assert refused.exit_status == gate.USAGE
    assert refused.stderr.startswith("karaula-gate: ")
    assert refused.stderr.isprintable() or refused.stderr.count("\n") == 1
    assert not (host.folder / "ran").exists()
    assert not host.token.exists()
    assert host.effects() == []


async def test_of_two_at_once_the_second_waits_and_the_older_token_loses(host: Host) -> None:
    slow = asyncio.create_task(host.run("tool slow --epoch 5"))
    await host.until("begin-5")
    assert (await host.run("tool status")).exit_status == 0  # who only reads does not wait
    host.configure(wait_s=0)
    busy = await host.run("tool promote --epoch 6")
    assert (busy.exit_status, host.effects()) == (gate.BUSY, ["begin-5"])
    host.configure()
    later = asyncio.create_task(host.run("tool promote --epoch 6"))
    (host.folder / "go").touch()
    assert [(await slow).exit_status, (await later).exit_status] == [0, 0]
    assert host.effects() == ["begin-5", "end-5", "6"]
    assert (await host.run("tool slow --epoch 5")).exit_status == gate.STALE


async def test_a_lost_connection_leaves_nothing_half_done(host: Host) -> None:
    slow = asyncio.create_task(host.run("tool slow --epoch 5"))
    await host.until("begin-5")
    kill_connections(host.sshd)
    with pytest.raises(SessionLost):
        await slow
    host.sshd.stop()
    host.sshd.start()
    (host.folder / "go").touch()
    await host.until("begin-5", "end-5")
    async with asyncio.timeout(LONG_S * 3):
        while host.calls()[-1] != ("end", 0):  # noqa: ASYNC110 - the other end is a process
            await asyncio.sleep(0.02)
    assert (await host.run("tool status")).stdout == "cdeps seen=5\n"


async def test_a_file_cut_by_a_power_loss_is_never_taken_for_a_lower_token(host: Host) -> None:
    assert (await host.run("tool promote --epoch 123")).exit_status == 0
    whole = host.token.read_bytes()
    host.token.with_suffix(".new").write_bytes(whole[:10])  # cut before the rename: the old one holds
    assert (await host.run("tool promote --epoch 122")).exit_status == gate.STALE
    host.token.write_bytes(whole[:-1])
    refused = await host.run("tool promote --epoch 124")
    assert refused.exit_status == gate.UNREADABLE
    assert f"karaula-gate keep {host.token} TOKEN" in refused.stderr
    assert host.effects() == ["123"]
    subprocess.run([sys.executable, GATE, "keep", host.token, "123"], check=True)  # noqa: ASYNC221 - it returns at once
    assert (await host.run("tool promote --epoch 122")).exit_status == gate.STALE
    assert (await host.run("tool promote --epoch 124")).exit_status == 0


async def test_what_hangs_is_cut_off_and_a_bad_configuration_runs_nothing(host: Host) -> None:
    late = await host.run("tool hangs")
    assert (late.exit_status, "was killed" in late.stderr) == (gate.LATE, True)
    host.token.parent.rename(host.folder / "moved")
    lost = await host.run("tool promote --epoch 5")
    assert (lost.exit_status, lost.stderr.count("Traceback"), host.effects()) == (gate.UNREADABLE, 0, [])
    (host.folder / "gate.conf").write_text("[gate]\nstate = /\n[x]\naccept = tool x\nrun = echo {y}\n")
    broken = await host.run("tool x")
    assert (broken.exit_status, "nothing fills in {y}" in broken.stderr) == (gate.UNREADABLE, True)


async def test_a_certificate_of_a_user_logs_in_and_carries_the_gate_itself(host: Host) -> None:
    """A CA signs the user's key, with the forced command in the certificate; the host has a certificate as well."""
    folder, sshd = host.folder, host.sshd
    sshd.new_key("user-ca")
    sshd.new_key("carol")
    with pytest.raises(Refused):
        await host.run("tool status", credential="carol")

    def sign(valid: str, name: str = "carol", *options: str) -> None:
        who = sshd.host().user
        command = [sshd.keygen, "-q", "-s", folder / "user-ca", "-I", "karaula", "-n", who, "-V", valid, *options]
        subprocess.run([*command, folder / f"{name}.pub"], check=True, capture_output=True)

    sign("-1h:+1h", "carol", "-O", "clear", "-O", f"force-command={host.command}")
    host_options = ("-q", "-s", folder / "user-ca", "-I", "db", "-h", "-n", "db", folder / "host.pub")
    subprocess.run([sshd.keygen, *host_options], check=True)  # noqa: ASYNC221 - it returns at once
    sshd.stop()
    sshd.start(f"TrustedUserCAKeys {folder / 'user-ca.pub'}", f"HostCertificate {folder / 'host-cert.pub'}")
    assert (await host.run("tool status", credential="carol")).stdout == "cdeps seen=0\n"
    assert (await host.run("id", credential="carol")).exit_status == gate.USAGE
    sign("-2h:-1h")
    sshd.stop()
    sshd.start(f"TrustedUserCAKeys {folder / 'user-ca.pub'}")
    with pytest.raises(Refused, match="does not accept key"):
        await host.run("tool status", credential="carol")


@given(st.integers(0, 10**18 - 1), st.data())
def test_no_part_of_a_kept_token_and_no_change_of_one_character_is_another(seen: int, data) -> None:
    line = gate.line(seen)
    assert gate.KEPT.fullmatch(line)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.sampled_from("0123456789abcdef \n"))
    for damaged in (line[:at], line[:at] + other + line[at + 1 :]):
        read = gate.KEPT.fullmatch(damaged)
        assert damaged == line or read is None or gate.line(int(read[1])) != damaged
