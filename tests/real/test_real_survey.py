"""What hosts are asked by SSH, against Debian's OpenSSH: its own tools, and tools that lie, hang and break."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sshd_kit import LONG_S, Sshd
from tls_kit import ThrowawayCa

from monitor.clients.ssh import SshPool
from monitor.clients.survey import COMMAND, Question, Said, Surveyor
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.ssh import CertificateParams, ClockParams, DiskParams, HostParams, LagParams, SshProbe, UnitParams

pytestmark = [pytest.mark.real, pytest.mark.anyio]

# As systemd 252 and chrony 4.3 print it.
RUNS = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n"
FAILED = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n"
GONE = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n"
FOLLOWS = "7F000001,ntp.example,3,1790000000.1,-0.000012,0.000001,0.00002,-7.1,0.0,0.04,0.001,0.002,64.2,Normal\n"
ALONE = "00000000,,0,0.000000000,0.000000000,0.0,0.0,-7.1,0.0,0.0,1.0,1.0,0.0,Not synchronised\n"


class Machine:
    """An sshd whose PATH begins in a folder where a test puts tools."""

    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd
        self.tools = sshd.folder / "tools"
        self.tools.mkdir()

    def start(self) -> None:
        self.sshd.start(path=f"{self.tools}:/usr/bin:/bin:/usr/sbin:/sbin")

    def tool(self, name: str, program: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{program}\n")
        (self.tools / name).chmod(0o755)

    def says(self, name: str, text: str) -> None:
        (self.sshd.folder / f"{name}.txt").write_text(text)
        self.tool(name, f"cat {self.sshd.folder / name}.txt")


@pytest.fixture
def machine(tmp_path: Path):
    made = Machine(Sshd(tmp_path))
    made.start()
    yield made
    made.sshd.stop()


@pytest.fixture
async def probe(machine: Machine):
    made = SshProbe(Credentials(machine.sshd.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    yield made
    await made.close()


async def ask(probe: SshProbe, *params: object, deadline_s: float = LONG_S) -> list[Observation]:
    targets = [Target(f"check/{number}", "ssh", one, 10, deadline_s) for number, one in enumerate(params)]
    found = {observation.subject: observation async for observation in probe.observe(targets)}
    return [found[target.subject] for target in targets]


async def test_a_real_host_tells_disks_certificate_and_clock_in_one_command(machine: Machine, probe: SshProbe) -> None:
    path, _ = ThrowawayCa(machine.sshd.folder / "ca").server("page.customs.example", days=(-1, 20))
    host = machine.sshd.host()
    log_in, disk, page, clock = await ask(
        probe, HostParams(host), DiskParams(host, "/"), CertificateParams(host, str(path)), ClockParams(host)
    )
    assert [one.answer for one in (log_in, disk, page, clock)] == [Answer.OK] * 4
    room = os.statvfs("/")
    assert disk.facts == {"mount": "/"}
    assert disk.values["disk_free_bytes"] == pytest.approx(room.f_bavail * room.f_frsize, rel=0.05)
    assert page.values["not_after_seconds"] == pytest.approx(time.time() + 20 * 86400, abs=600)
    assert abs(clock.values["clock_offset_seconds"]) <= clock.values["clock_uncertainty_seconds"] + 0.001
    log = (machine.sshd.folder / "log").read_text()
    assert log.count("Accepted publickey") == 1
    await ask(probe, HostParams(host), DiskParams(host, "/"), ClockParams(host))
    assert (machine.sshd.folder / "log").read_text().count("Accepted publickey") == 1  # the connection is kept


async def test_a_folder_on_which_nothing_is_mounted_shows_where_it_really_is(machine: Machine, probe: SshProbe) -> None:
    plain = machine.sshd.folder / "not-mounted"
    plain.mkdir()
    host = machine.sshd.host()
    inside, nowhere = await ask(probe, DiskParams(host, str(plain)), DiskParams(host, "/there/is/none"))
    assert inside.answer is Answer.OK
    assert inside.facts["mount"] != str(plain)
    assert (nowhere.answer, nowhere.reason) == (
        Answer.FAILED,
        "df /there/is/none: there is no such file (or it may not be seen)",
    )


async def test_units_as_systemd_says_them(machine: Machine, probe: SshProbe) -> None:
    host = machine.sshd.host()
    cases = {"runs.service": RUNS, "failed.service": FAILED, "gone.service": GONE}
    for name, text in cases.items():
        (machine.sshd.folder / name).write_text(text)
    machine.tool("systemctl", f'while [ $# -gt 1 ]; do shift; done; cat "{machine.sshd.folder}/$1"')
    found = await ask(probe, *(UnitParams(host, name) for name in cases))
    assert [one.facts["active"] for one in found] == ["active", "failed", "inactive"]
    assert [one.facts["load"] for one in found] == ["loaded", "loaded", "not-found"]
    assert found[1].facts["result"] == "exit-code"


async def test_a_host_that_greets_first_and_one_that_lets_nobody_ask(machine: Machine) -> None:
    params = ClockParams(machine.sshd.host())
    greeting = 'ForceCommand echo Authorized use only; sleep 0.5; eval "$SSH_ORIGINAL_COMMAND"'
    for option, answer in ((greeting, Answer.OK), ("ForceCommand echo no such thing here >&2; exit 1", Answer.FAILED)):
        machine.sshd.stop()
        machine.sshd.start(option)
        trust = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
        probe = SshProbe(Credentials(machine.sshd.folder), trust, RealClock())
        (seen,) = await ask(probe, params)
        await probe.close()
        assert seen.answer is answer, seen.reason
        if answer is Answer.OK:  # the clock was read after the greeting: what that leaves open is told
            assert seen.values["clock_uncertainty_seconds"] >= 0.25
            assert abs(seen.values["clock_offset_seconds"]) <= seen.values["clock_uncertainty_seconds"]
        else:
            assert seen.reason.endswith("the shell did not do what it was told: no such thing here")


async def test_a_host_without_systemd_or_chrony_is_not_known(machine: Machine, probe: SshProbe) -> None:
    machine.tool("systemctl", 'echo "System has not been booted with systemd as init system (PID 1)." >&2; exit 1')
    machine.tool("chronyc", "exit 127")
    host = machine.sshd.host()
    unit, clock = await ask(probe, UnitParams(host, "ssh.service"), ClockParams(host, synchronized=True))
    assert (unit.answer, clock.answer) == (Answer.UNKNOWN, Answer.UNKNOWN)
    assert "has not been booted with systemd" in unit.reason
    assert "exit status 127" in clock.reason


async def test_what_chronyd_says(machine: Machine, probe: SshProbe) -> None:
    machine.says("chronyc", FOLLOWS)
    (follows,) = await ask(probe, ClockParams(machine.sshd.host(), synchronized=True))
    machine.says("chronyc", ALONE)
    (alone,) = await ask(probe, ClockParams(machine.sshd.host(), synchronized=True))
    assert (follows.facts, alone.facts) == ({"synchronized": "yes"}, {"synchronized": "no"})


async def test_a_clock_that_is_off_is_seen_and_one_without_fractions_is_less_exact(
    machine: Machine, probe: SshProbe
) -> None:
    machine.tool("date", "echo $(( $(/bin/date +%s) + 90 )).000000000")
    (ahead,) = await ask(probe, ClockParams(machine.sshd.host()))
    machine.tool("date", "/bin/date +%s.N")  # as busybox does
    (coarse,) = await ask(probe, ClockParams(machine.sshd.host()))
    assert 88 < ahead.values["clock_offset_seconds"] < 91
    assert coarse.values["clock_uncertainty_seconds"] >= 0.5
    assert abs(coarse.values["clock_offset_seconds"]) <= coarse.values["clock_uncertainty_seconds"]


async def test_what_hangs_takes_nothing_before_it_along_and_is_left_alone(machine: Machine, probe: SshProbe) -> None:
    host = machine.sshd.host()
    calls = machine.sshd.folder / "calls"
    machine.tool("timeout", 'shift; exec "$@"')  # what is in state D cannot be ended
    machine.tool("df", f'echo x >> {calls}; case "$*" in *dead*) sleep 60;; *) exec /bin/df "$@";; esac')
    dead = machine.sshd.folder / "dead"
    dead.mkdir()
    machine.says("systemctl", RUNS)
    asked = (HostParams(host), UnitParams(host, "a"), DiskParams(host, "/"), DiskParams(host, str(dead)))
    await ask(probe, HostParams(host))  # connect without haste
    login, unit, root, gone = await ask(probe, *asked, deadline_s=3)
    assert (login.answer, unit.answer, root.answer) == (Answer.OK, Answer.OK, Answer.UNKNOWN)
    assert (gone.answer, gone.reason) == (Answer.FAILED, f"df {dead}: the host's command hangs")
    assert root.reason == "df / was not asked: an earlier question got no answer"
    before = calls.read_text().count("x")
    login, unit, root, gone = await ask(probe, *asked, deadline_s=10)  # as long as it takes: the inodes hang too
    assert (login.answer, unit.answer, root.answer, gone.answer) == (Answer.OK, Answer.OK, Answer.OK, Answer.FAILED)
    assert gone.reason == f"df {dead}: the host's command hung; it is tried again every 5 minutes"
    assert calls.read_text().count("x") - before == 3  # two of /, and the inodes' question of the dead one's folder


async def test_a_host_that_lies_or_babbles_is_told_and_hurts_nobody(machine: Machine, probe: SshProbe) -> None:
    host = machine.sshd.host()
    machine.tool("systemctl", "yes LoadState=loaded | head -c 3000000")
    (flood,) = await ask(probe, UnitParams(host, "a"))
    machine.says("systemctl", "LoadState=<script>\nActiveState=active\nSubState=running\n")
    (strange,) = await ask(probe, UnitParams(host, "a"))
    machine.says("systemctl", "karaula:7:0\n")
    (forged,) = await ask(probe, UnitParams(host, "a"))
    machine.tool("df", "echo Filesystem; echo '/dev/x 1 2 3 4'")
    (torn,) = await ask(probe, DiskParams(host, "/"))
    assert [one.answer for one in (flood, strange, forged, torn)] == [Answer.FAILED] * 4
    assert flood.reason == strange.reason == "systemctl did not print a unit's state"
    assert forged.reason == "the host's answers are not in the order of the questions"
    assert torn.reason == "df did not print a file system"


async def test_no_value_of_the_inventory_is_ever_a_program(machine: Machine) -> None:
    never = machine.sshd.folder / "never"
    nasty = [f"/$(touch${{IFS}}{never})", f"/;touch {never}", f"/`touch {never}`", "/'\"", "/-x"]
    machine.says("systemctl", RUNS)
    pool = SshPool(Credentials(machine.sshd.folder), machine.sshd.known_hosts, RealClock())
    try:
        questions = [Question(kind, value) for value in nasty for kind in ("disk", "certificate", "unit")]
        found = await Surveyor(pool, RealClock()).ask(machine.sshd.host(), questions, LONG_S)
    finally:
        await pool.close()
    assert len(found.answers) == len(questions)
    assert all(isinstance(answer, Said) for answer in found.answers.values())
    assert not never.exists()
    assert not any(value in " ".join(COMMAND) for value in nasty)


@pytest.mark.skipif(shutil.which("dash") is None, reason="needs another shell")
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_program_is_posix(shell: str) -> None:
    asked = "clock\n\nunit\nno such unit\ndisk\n/\nmail\n/etc\n"
    done = subprocess.run([shell, *COMMAND[1:]], input=asked, capture_output=True, text=True, check=True)
    marks = [line for line in done.stdout.splitlines() if line.startswith("karaula:")]
    assert [mark.split(":")[1] for mark in marks] == ["0", "1", "2", "3", "4"]
    assert marks[1] == "karaula:1:0"
    assert marks[3] == "karaula:3:0"
    assert marks[4] == "karaula:4:64"


async def test_a_lag_is_one_number(machine: Machine, probe: SshProbe) -> None:
    host = machine.sshd.host()
    good, words, failing = await ask(
        probe,
        LagParams(host, ("echo", "12.5")),
        LagParams(host, ("echo", "-3 or so")),
        LagParams(host, ("sh", "-c", "echo no standby >&2; exit 4")),
    )
    assert (good.answer, good.values["lag_seconds"]) == (Answer.OK, 12.5)
    assert (words.answer, words.reason) == (Answer.FAILED, "the command did not print one number of seconds")
    assert failing.answer is Answer.FAILED
    assert failing.reason.endswith("ended with 4: no standby")


async def test_a_host_that_hangs_or_restarts_in_between(machine: Machine, probe: SshProbe) -> None:
    host = machine.sshd.host()
    asked = (HostParams(host), DiskParams(host, "/"))
    await ask(probe, *asked)
    machine.sshd.signal(signal.SIGSTOP)
    hung = await ask(probe, *asked, deadline_s=1)
    machine.sshd.signal(signal.SIGCONT)
    again = await ask(probe, *asked)
    machine.sshd.stop()
    gone = await ask(probe, *asked)
    machine.start()
    back = await ask(probe, *asked)
    assert [one.answer for one in hung + gone] == [Answer.FAILED] * 4
    assert [one.answer for one in again + back] == [Answer.OK] * 4
    await asyncio.sleep(0)


async def test_forty_hosts_that_hang_hold_up_nobody_else(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As when a site loses its power: connections that go nowhere, all at once."""
    folder = tmp_path_factory.mktemp("well")
    well = Sshd(folder)
    well.start()
    try:
        for name in ("ssh-karaula", "ssh-karaula.pub"):
            shutil.copy(machine.sshd.folder / name, folder / name)
        (folder / "authorized").write_text((folder / "ssh-karaula.pub").read_text())
        with machine.sshd.known_hosts.open("a") as known:
            known.write(well.known_hosts.read_text())
        probe = SshProbe(
            Credentials(machine.sshd.folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock()
        )
        machine.sshd.signal(signal.SIGSTOP)
        hung = [
            Target(f"check/{n}", "ssh", HostParams(machine.sshd.host(site=f"site-{n}")), 10, 600) for n in range(40)
        ]
        found: list[Observation] = []
        try:
            async for seen in probe.observe([*hung, Target("check/well", "ssh", HostParams(well.host()), 10, LONG_S)]):
                if not found:  # the one that is well did not wait for them
                    assert (seen.subject, seen.answer) == ("check/well", Answer.OK)
                    machine.sshd.stop()
                found.append(seen)
        finally:
            await probe.close()
        assert [one.answer for one in found[1:]] == [Answer.FAILED] * 40
    finally:
        well.stop()
