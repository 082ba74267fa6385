"""The two-site estate to play with by hand (docs/two-sites.md); ``./do sites`` runs this, as root.

It prints what to set for the command line, and takes orders on standard input: what happens to the estate, never what
Karaula does. It ends by ``end``, the end of its input, Ctrl-C or a signal, and leaves nothing behind; if it is killed,
``netns_reaper.py`` cleans up.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from netns_kit import netns_estate
from two_site_kit import SITES, SYSTEM, TwoSites, two_sites_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from netns_kit import NetnsEstate
    from two_site_clients import Ack

ORDERS = """\
  cut-replication     cut the wire between the databases; clients go on
  mend-replication
  cut-far             cut off the second place of backups
  mend-far
  lose main|dr        power, uplink, vCenter, name server and directory of a site are gone
  repair main|dr      they are back; what is fenced stays dark
  stop main|dr        vCenter, name server and directory of a site are gone; its system goes on
  resume main|dr
  clones main|dr      stand in there for what a drill's clones run, which the vCenter simulator only names
  no-clones
  synchronous         commits wait for the other site from now on
  clients             what they were told, and by whom
  lost                what they were told is accepted, and each database has not
  end
"""
NEEDS_ADMINISTRATOR = 3
FEW = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that is gone
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def clients(acks: list[Ack]) -> None:
    """Say how many declarations each site has accepted, and how long nobody accepted any at each change of site."""
    for site, count in sorted(Counter(ack.site for ack in acks).items()):
        say(f"{count} declarations accepted at {site}")
    if acks:
        say(f"the newest: number {acks[-1].n} at {acks[-1].site}")
    for before, after in itertools.pairwise(acks):
        if before.site != after.site:
            gap_s = after.moment - before.moment
            say(f"from {before.site} to {after.site}: nobody accepted any for {gap_s:.1f} s, after number {before.n}")


def lost(estate: TwoSites, acks: list[Ack], known: set[str]) -> None:
    """Hold what clients were told against the databases; name what is not ``known`` to be lost, which it is then."""
    found: set[str] = set()
    for site, servers in estate.sites.items():
        try:
            standby, *held = servers.pg.sql("SELECT pg_is_in_recovery(); SELECT id FROM declaration").split()
        except subprocess.CalledProcessError:
            say(f"{site}: its database does not answer")
            continue
        there = set(held)
        missing = [ack for ack in acks if ack.id not in there]
        new = [ack for ack in missing if ack.id not in known]
        told = ", ".join(f"{ack.id} (number {ack.n} of {ack.site})" for ack in new[:FEW])
        more = f", … {len(new) - FEW} more" if len(new) > FEW else ""
        role = "standby" if standby == "t" else "primary"
        said = f"{site}, {role}: {len(missing)} of {len(acks)} accepted are not there, {len(new)} of them newly"
        say(f"{said}{': ' if told else ''}{told}{more}")
        found |= {ack.id for ack in missing}
    known |= found


class Hand:
    """What is remembered between orders: which loss is known, and what a drill's clones run, at one site at a time."""

    def __init__(self, estate: TwoSites) -> None:
        self._estate = estate
        self.lost: set[str] = set()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def stand_in(self, site: str) -> None:
        self.close()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._be, args=(site, ready))
        self._thread.start()
        while not ready.wait(0.1) and self._thread.is_alive():
            pass

    def _be(self, site: str, ready: threading.Event) -> None:
        with self._estate.sites[site].bubble():  # this thread alone moves to the host there
            ready.set()
            self._end.wait()

    def close(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self._end.clear()


def order(estate: TwoSites, hand: Hand, words: list[str]) -> Callable[[], object] | None:
    """Return what one line asks for; None where it is no order, or asks for what is so."""
    net, acks = estate.net, estate.clients.seen()
    if len(words) == 2 and words[1] in SITES:
        servers, lost_before = estate.sites[words[1]], not estate.outlets[words[1]].site_power
        about: dict[str, Callable[[], object]] = {"stop": servers.stop_beside, "resume": servers.start_beside}
        about["clones"] = lambda: hand.stand_in(words[1])
        about |= {"repair": servers.repair_site} if lost_before else {"lose": servers.lose_site}
        return about.get(words[0])
    return {
        "cut-replication": lambda: net.cut("r-main"),
        "mend-replication": lambda: net.mend("r-main"),
        "cut-far": lambda: net.cut("far"),
        "mend-far": lambda: net.mend("far"),
        "synchronous": estate.make_synchronous,
        "no-clones": hand.close,
        "clients": lambda: clients(acks),
        "lost": lambda: lost(estate, acks, hand.lost),
    }.get(" ".join(words))


def obey(estate: TwoSites, hand: Hand, words: list[str]) -> None:
    """Do what one line says."""
    work = order(estate, hand, words)
    if work is None:
        say(f"'{' '.join(words)}' is no order, or changes nothing now; there are:\n{ORDERS}")
        return
    work()
    say(f"done: {' '.join(words)}")


def welcome(estate: TwoSites) -> None:
    say("The estate stands; clients write. In another terminal, as root:\n")
    say(f"  export KARAULA_SOCKET={estate.daemon.socket_path}")
    say(f"  karaula status; karaula readiness; karaula switchover {SYSTEM} --reason rehearsal --as ana")
    say("  karaula run approve RUN --as bojan; karaula run report")
    say(f"  karaula backup {SYSTEM}; karaula verify {SYSTEM}; karaula backups")
    place = f"nsenter --net=/run/netns/{estate.witness.namespace}"
    say(f"  {place} curl {estate.daemon.url}/metrics   # its pages are within its namespace")
    say(f"\nOrders, to be typed here:\n{ORDERS}")


def stay() -> None:
    """Be the estate until somebody says that it is enough."""
    with netns_estate() as net, tempfile.TemporaryDirectory(prefix="ks-", dir="/tmp") as folder:  # sockets' paths
        net.leaves(Path(folder))
        end_at_once_by_signals(net)
        Path(folder).chmod(0o755)  # the databases' user comes by
        tempfile.tempdir = folder
        with two_sites_on(net, Path(folder)) as estate, contextlib.closing(Hand(estate)) as hand:
            welcome(estate)
            with contextlib.suppress(OSError):  # a terminal that is gone
                for line in sys.stdin:
                    if line.split() == ["end"]:
                        break
                    obey(estate, hand, line.split())
            say("ending")


def end_at_once_by_signals(net: NetnsEstate) -> None:
    """Leave all to the reaper then: a signal may come at any moment of the start, of an order, or of the end."""

    def end(number: int, _frame: object) -> NoReturn:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        say(f"ending: {signal.Signals(number).name}")
        net.abandon()
        os._exit(128 + number)

    for one in SIGNALS:
        signal.signal(one, end)


def main() -> None:
    try:
        stay()
    except (pytest.skip.Exception, pytest.fail.Exception) as error:  # what is not on this machine
        say(f"do: {error}")
        sys.exit(NEEDS_ADMINISTRATOR)


if __name__ == "__main__":
    main()
