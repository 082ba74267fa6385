"""Fencing tokens over restarts: who goes on draws a new one, and what was sent under the old one does nothing more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from orchestrator_kit import PATIENCE_S, ROOT, Act, Gate, acts, by_ana, house

from dr.action import Context, Done, Holds, Seen
from dr.engine.commands import pause, resume
from dr.errors import StepFailed
from dr.journal.event import StepStarted
from dr.journal.run import RunState

pytestmark = pytest.mark.anyio
GATE = ROOT / "deploy" / "targets" / "karaula_gate.py"
STALE = 76
STEPS = """
kind: backup
summary: Two orders to a host
steps:
  - { id: first, action: tell, site: from, timeout_s: 60 }
  - { id: second, action: tell, site: from, needs: [first], timeout_s: 60 }
"""


class Host:
    """A host whose key runs the shipped gate alone."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "gate.conf"
        self.done = folder / "done"
        self.config.write_text(
            f"[gate]\nstate = {folder}\n[note]\naccept = note {{token}}\nrun = sh -c 'echo {{token}} >> {self.done}'\n"
        )

    def tell(self, token: int) -> int:
        """Send an order under ``token`` as sshd would hand it over; return its exit status."""
        asked = os.environ | {"SSH_ORIGINAL_COMMAND": f"note {token}"}
        argv = [sys.executable, str(GATE), str(self.config), "ncts"]
        return subprocess.run(argv, env=asked, check=False, capture_output=True).returncode

    async def obey(self, context: Context) -> Done:
        if status := await asyncio.to_thread(self.tell, context.token):
            raise StepFailed(f"exit status {status}")
        return Done()


async def test_who_goes_on_after_a_restart_fences_off_what_was_sent_before(tmp_path: Path) -> None:
    host = Host(tmp_path)
    actions = acts(tell=Act("tell", ("backup", "written"), host.obey))
    gate = Gate()

    async def paused_after(context: Context) -> Done:
        await host.obey(context)
        return await gate(context)

    actions["tell"].does = paused_after
    async with house(tmp_path, actions, {"backup": STEPS}) as at:
        run = await at.submit("backup")
        await gate.entered.wait()
        await at.orchestrator.command(run.id, lambda one, now: by_ana(pause, one, now))  # type: ignore[arg-type,return-value]  # a command
        gate.open.set()
        old = (await at.until(run, RunState.PAUSED, also=lambda one: one.steps["first"].state.passed)).token
    actions["tell"].does = host.obey
    async with house(tmp_path, actions, {"backup": STEPS}) as at:
        await at.until(run, RunState.PAUSED)
        await at.orchestrator.command(run.id, lambda one, now: by_ana(resume, one, now))  # type: ignore[arg-type,return-value]  # a command
        done = await at.until(run)
        assert done.state is RunState.SUCCEEDED
        tokens = [event.token for event in at.orchestrator.events(run.id) if isinstance(event, StepStarted)]
    assert tokens == [old, done.token]
    assert old < done.token
    assert (host.tell(old), host.tell(done.token)) == (STALE, 0)
    assert host.done.read_text().split() == [str(token) for token in (old, done.token, done.token)]


async def test_an_attempt_of_before_is_looked_for_under_its_own_token(tmp_path: Path) -> None:
    gate, looked = Gate(), []

    async def look(context: Context) -> Seen:
        looked.append(context.token)
        return Seen(Holds.YES, "it is done")

    tell = Act("tell", ("backup", "written"), gate, look)
    async with house(tmp_path, acts(tell=tell), {"backup": STEPS}) as at:
        run = await at.submit("backup")
        await gate.entered.wait()
        old = at.orchestrator.run(run.id).token
    gate.open.set()
    async with house(tmp_path, acts(tell=tell), {"backup": STEPS}) as at:
        done = await at.until(run)
    assert tell.calls.count("run 1") == 2  # once each step
    assert looked == [old, done.token]
    assert old < done.token


async def test_a_run_that_somebody_else_has_overtaken_gives_no_further_order(tmp_path: Path) -> None:
    gate, seen = Gate(), 0
    actions = acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))
    async with house(tmp_path, actions, epochs=lambda _system: seen) as at:
        run = await at.approve(await at.submit())
        await gate.entered.wait()
        await at.orchestrator.command(run.id, lambda one, now: by_ana(pause, one, now))  # type: ignore[arg-type,return-value]  # a command
        gate.open.set()
        await at.until(run, RunState.PAUSED, also=lambda one: one.steps["fence-old"].state.passed)
        seen = 50
        await at.orchestrator.command(run.id, lambda one, now: by_ana(resume, one, now))  # type: ignore[arg-type,return-value]  # a command
        stopped = await at.until(run, RunState.PAUSED)
        assert "the databases of ncts have seen fencing token 50" in stopped.pause_reason
        assert at.actions["promote"].calls == []
        assert (await at.until(await at.submit("backup", "ite"))).token == 51  # it reaches no database


async def test_a_promotion_is_not_begun_before_its_database_was_seen(tmp_path: Path) -> None:
    asked: list[str] = []
    seen = 0

    def known(system: str) -> bool:
        asked.append(system)
        return seen > 0

    async with house(tmp_path, epochs=lambda _system: seen, epochs_known=known) as at:
        run = await at.approve(await at.submit())
        async with asyncio.timeout(PATIENCE_S):
            while len(asked) < 5:
                at.clock.advance(1)
                await asyncio.sleep(0.001)
        assert set(asked) == {"ncts"}
        assert at.orchestrator.run(run.id).state is RunState.ACCEPTED
        assert at.actions["fence"].calls == []
        seen = 30
        at.clock.advance(1)
        assert (await at.until(run)).token == 31


async def test_a_database_that_stays_unseen_holds_up_nobody_for_ever(tmp_path: Path) -> None:
    async with house(tmp_path, epochs_known=lambda _system: False) as at:
        run = await at.approve(await at.submit())
        async with asyncio.timeout(PATIENCE_S):
            while not at.orchestrator.run(run.id).state.final:
                at.clock.advance(1)
                await asyncio.sleep(0.001)
        assert at.orchestrator.run(run.id).state is RunState.SUCCEEDED
        begun = at.orchestrator.run(run.id).started_at or 0.0
        assert begun - run.accepted_at >= at.orchestrator.world.inventory.polling.stale_after_s
        assert (await at.until(await at.submit("backup", "ite"))).state is RunState.SUCCEEDED
