"""Responses that begin by themselves, on a lab: which systems have one; their failovers are on record as proven."""

from __future__ import annotations

import re
import time
from pathlib import Path

from estate_kit import REPOSITORY, RunningLab

from console.proofs import record
from console.version import VERSION
from dr.actions import ACTIONS
from dr.playbook.read import plans_of, read_playbooks
from dr.proof import Proof, fingerprint
from monitor.inventory.read import read


def verified(lab: RunningLab, state: Path) -> None:
    """Put on record that the failovers are proven, as `karaula prove` does once it has explored them."""
    plans = plans_of(read_playbooks(REPOSITORY / "playbooks")["failover"], read(lab.inventory), ACTIONS)
    state.mkdir(exist_ok=True)
    now = time.time()
    record(state, [Proof(fingerprint(plan), plan.playbook, plan.system, 2, now, VERSION, 1) for plan in plans], [])


def automatic(lab: RunningLab, *systems: str, quorum: int | None = None) -> None:
    """Let alarms of ``systems`` begin a failover by themselves; those that were to prepare one do nothing any more."""
    text = lab.inventory.read_text(encoding="utf-8")
    text = text.replace("mode: prepare, grace_s: 5", "mode: notify, grace_s: 2")
    for system in systems:
        text, found = re.subn(rf"(system: {system}, playbook: failover, mode: )notify", r"\1automatic", text)
        assert found == 1, system
    if quorum is not None:
        text = re.sub(r"quorum: \d", f"quorum: {quorum}", text)
    text = re.sub(r"vote_max_age_s: \d+", "vote_max_age_s: 6", text)  # for so long votes are waited for
    lab.inventory.write_text(text, encoding="utf-8")
