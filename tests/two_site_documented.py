"""What docs/targets.md has an administrator write, with this installation's paths: the two sites are set up by it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from estate_kit import REPOSITORY

if TYPE_CHECKING:
    from pg_pair_kit import PgSite

GATE = 'restrict,command="{python} {folder}/karaula_gate.py {folder}/gate.conf ncts"'


def forced(pg: PgSite) -> str:
    """Return the options of Karaula's key on a host."""
    return GATE.format(python=sys.executable, folder=pg.folder)


def kind_of_gate(pg: PgSite) -> str:
    """Return the gate's configuration of docs/targets.md, with this installation's paths."""
    text = documented("gate")
    tool = " ".join(str(word) for word in pg.tool)
    wanted = "sudo -n -u postgres /usr/bin/python3 /usr/local/lib/karaula/karaula_pg.py /etc/karaula/pg-{system}.conf"
    assert wanted in text
    text = text.replace(wanted, f"{pg.runuser} -u postgres -- {tool}")
    vip = f"{sys.executable} {pg.folder / 'karaula_vip.py'}"
    text += documented("vip").replace("sudo -n /usr/local/lib/karaula/karaula-vip", vip)
    return text.replace("/var/lib/karaula-gate", str(pg.folder / "gate-state"))


def documented(part: str) -> str:
    """Return a marked block of docs/targets.md."""
    text = (REPOSITORY / "docs" / "targets.md").read_text()
    block = text.partition(f"<!-- {part} -->")[2].partition("<!-- end -->")[0]
    return block.strip().partition("\n")[2].rpartition("```")[0]


def playbooks(folder: Path) -> Path:
    """Copy the shipped playbooks, which are to move the system's address as well, to ``folder``, and return it."""
    step = documented("vip step")
    shutil.copytree(REPOSITORY / "playbooks", folder)
    for name in ("switchover", "failover", "failback"):
        text = (folder / f"{name}.yaml").read_text()
        before, names, after = text.partition("  - id: names\n")
        assert names, name
        (folder / f"{name}.yaml").write_text(f"{before}{step}\n{names}{after}")
    return folder
