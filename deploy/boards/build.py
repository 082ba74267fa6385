"""Writes ``deploy/grafana/dashboards/*.json``: ``.venv/bin/python -m deploy.boards.build``.

A test holds that the files are what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.boards import crossing, daemon, data_centre, recovery, sla, system, wall
from deploy.boards.panels import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"
BOARDS = {
    "wall": wall.BOARD,
    "crossing": crossing.BOARD,
    "system": system.BOARD,
    "data-centre": data_centre.BOARD,
    "sla": sla.BOARD,
    "recovery": recovery.BOARD,
    "daemon": daemon.BOARD,
}


def texts() -> Mapping[str, str]:
    """Return what each file is to hold, by its name."""
    return {f"{name}.json": json.dumps(to_json(board), indent=1) + "\n" for name, board in BOARDS.items()}


def main() -> None:
    """Write all, and remove what is no dashboard any more."""
    wanted = texts()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
