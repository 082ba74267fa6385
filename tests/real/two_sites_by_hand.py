"""The two-site estate to play with by hand, as root: it runs until you say `end`.

    PYTHONPATH=.:tests:tests/real .venv/bin/python tests/real/two_sites_by_hand.py

It prints what to set for the command line, and takes orders: what happens to the estate, never what Karaula does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from two_site_kit import SYSTEM, TwoSites, two_sites

ORDERS = """\
  cut-replication     cut the wire between the databases; clients go on
  mend-replication
  lose main|dr        power, uplink, vCenter, name server and directory of a site are gone
  repair main|dr      they are back; what is fenced stays dark
  synchronous         commits wait for the other site from now on
  clients             what they were told, and by whom
  end
"""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def clients(estate: TwoSites) -> None:
    acks = estate.clients.seen()
    for site in estate.sites:
        say(f"{sum(ack.site == site for ack in acks)} declarations accepted at {site}")
    if acks:
        say(f"the newest: number {acks[-1].n} at {acks[-1].site}")


def obey(estate: TwoSites, words: list[str]) -> None:
    """Do what one line says."""
    match words:
        case ["cut-replication"]:
            estate.net.cut("r-main")
        case ["mend-replication"]:
            estate.net.mend("r-main")
        case ["lose", site] if site in estate.sites:
            estate.sites[site].lose_site()
        case ["repair", site] if site in estate.sites:
            estate.sites[site].repair_site()
        case ["synchronous"]:
            estate.make_synchronous()
        case ["clients"]:
            clients(estate)
        case _:
            say(ORDERS)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, two_sites(Path(folder)) as estate:
        say(f"in another terminal:\n  export KARAULA_SOCKET={estate.daemon.socket_path}")
        say(f"  karaula status; karaula failover {SYSTEM} --reason rehearsal --as ana --no-wait")
        say("  karaula run approve RUN --as bojan")
        say(f"  karaula backup {SYSTEM}; karaula verify {SYSTEM}; karaula backups")
        say(f"orders:\n{ORDERS}")
        for line in sys.stdin:
            if line.split() == ["end"]:
                break
            obey(estate, line.split())


if __name__ == "__main__":
    main()
