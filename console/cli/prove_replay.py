"""`karaula prove --replay`: a counterexample played again on the lab, its ending beside the model's."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.cli.simulated.talk import Lab

if TYPE_CHECKING:
    from console.replay import Ending
    from console.terminal.screen import Screen
    from dr.checker.explore import Counterexample
    from dr.playbook.model import Plan
    from monitor.inventory.model import Inventory

WORD = "replay"


def play(
    plan: Plan, story: Counterexample, inventory: Path, playbooks: Path, credentials: Path, lab_url: str, screen: Screen
) -> bool:
    """Play the story on the lab and show both endings; tell whether they are the same.

    Raises RunRefused unless it is the lab, and when the story cannot be played; InventoryError, CredentialError.
    """
    from console.files import read_files
    from console.labtruth import refuse_unless_lab
    from console.options import Options
    from console.replay import told
    from monitor.credential import Credentials

    secrets = Credentials(credentials)
    files = read_files(Options(inventory, playbooks, Path(tempfile.gettempdir()), credentials), secrets)
    lab = Lab(lab_url, screen)
    refuse_unless_lab(files.inventory, lab.url, lab.get)
    plan = _with_hash(plan, files.inventory)
    ending = asyncio.run(_played(plan, story, files, secrets, lab))
    same = ending.same(story)
    screen.line("")
    screen.line(f"Played on the lab at {lab.url}:")
    screen.line(f"  model  law {story.law}: {story.wrong}")
    for line in told(ending):
        screen.line(f"  lab    {line}")
    screen.line("The same ending." if same else "NOT the same ending: the model and the lab differ here.")
    screen.line("The lab is left as the story left it; start it anew before anything else is tried on it.")
    return same


async def _played(plan: Plan, story: Counterexample, files: Any, secrets: Any, lab: Lab) -> Ending:
    from console.clients import Clients
    from console.labtruth import world_of
    from console.replay import replay
    from monitor.clock import RealClock

    clients = Clients(secrets, RealClock(), backups=lambda _system: ())
    made = clients.make(files)
    clients.take(made)
    truth = await asyncio.to_thread(lab.get, f"/truth/{plan.system}")
    try:
        with tempfile.TemporaryDirectory(prefix="karaula-replay-") as folder:
            return await replay(
                plan,
                story,
                made.world,
                lambda: asyncio.to_thread(world_of, files.inventory, plan.system, lab.get),
                Path(folder),
                epoch=max(truth["epochs"].values()),
            )
    finally:
        await clients.close()


def _with_hash(plan: Plan, inventory: Inventory) -> Plan:
    return replace(plan, inventory_hash=inventory.sha256)
