"""What a simulated host does when a command is run on it: ``ledgerctl`` and a few plain words.

No shell: of ``sh`` it knows only what comes of the program by which the monitor asks for disks, units and the clock.
Exit codes: 0 done, 1 could not be done, 2 usage, 3 stale epoch (and, as systemd has it, an inactive unit), 4 a backup
that is damaged or missing, 127 no such command. Every ``ledgerctl`` word may be repeated; results are one JSON object
on standard output, reasons one line on standard error.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from lab.ledger import PeerUnreachableError, StaleEpochError
from lab.plan import DeploymentPlan
from lab.scenario import Estate
from lab.servers import disks
from lab.vault import DamagedError, Manifest, Restored

DONE, FAILED, USAGE, STALE_EPOCH, INACTIVE, DAMAGED, NO_SUCH_FILE, NOT_FOUND = 0, 1, 2, 3, 3, 4, 66, 127
SHELL = "sh"
ANCHORS = "anchorctl"
READS_INPUT = frozenset({SHELL, ANCHORS})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
UNITS = ("ssh", "sshd", "cron")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command printed and how it ended."""

    status: int = DONE
    output: str = ""
    errors: str = ""


class _Usage(Exception):
    """A command line that is not understood."""


def run(estate: Estate, host: str, words: Sequence[str], given: str = "") -> Outcome:
    """Run the command ``words`` (at least one) on a host; where the fault ``lie`` says so, only pretend to.

    ``given`` is what came on standard input; only a shell reads it.
    """
    lie = estate.faults.get("lie", host)
    lies = lie is not None and list(words[: len(lie.text("command").split())]) == lie.text("command").split()
    orders: dict[str, Callable[[], Outcome]] = {
        "ledgerctl": lambda: _ledgerctl(estate, host, words[1:], lies=lies),
        ANCHORS: lambda: _anchors(estate, words[1:], given),
        SHELL: lambda: _survey(estate, host, given),
    }
    try:
        return orders.get(words[0], lambda: _plain(estate, host, words))()
    except _Usage as usage:
        return Outcome(USAGE, errors=f"{words[0]}: {usage}\n")
    except StaleEpochError as error:
        return Outcome(STALE_EPOCH, errors=f"ledgerctl: {error}\n")
    except DamagedError as error:
        return Outcome(DAMAGED, errors=f"ledgerctl: {error}\n")
    except PeerUnreachableError as error:
        return Outcome(FAILED, errors=f"ledgerctl: {error}\n")


def _ledgerctl(estate: Estate, host: str, words: Sequence[str], *, lies: bool) -> Outcome:
    deployment = estate.deployment_of_host(host)
    if deployment is not None:
        return _at_database(estate, deployment, words, lies=lies)
    if any(system.vault == host for system in estate.plan.systems.values()):
        return _at_vault(estate, words, lies=lies)
    raise _Usage("there is neither a database nor a vault on this host")


# -- at a database ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """What a word orders, and what a lie makes of the answer to it."""

    give: Callable[[], object]
    pretence: Mapping[str, object]


def _at_database(estate: Estate, at: DeploymentPlan, words: Sequence[str], *, lies: bool) -> Outcome:
    word, rest = (words[0], words[1:]) if words else ("", ())
    database = estate.database(at.system, at.site)
    if word == "status":
        _positional(rest)
        return _printed(asdict(database.status()))
    order = None if word == "backup" else _order(estate, at, word, rest)
    if database.stopped:
        return Outcome(FAILED, errors="ledgerctl: the database is stopped\n")
    if order is None:
        return _backup(estate, at, _positional(rest, "backup")[0], lies=lies)
    if lies:
        return _printed({**asdict(database.status()), **order.pretence})
    order.give()
    return _printed(asdict(estate.database(at.system, at.site).status()))


def _order(estate: Estate, at: DeploymentPlan, word: str, rest: Sequence[str]) -> _Order:
    """Read the orders that change a database's role. Raises ``_Usage``."""
    orders, system, site = estate.orders, at.system, at.site
    if word == "promote":
        epoch = _epoch(_options(rest, "--epoch")["--epoch"])
        return _Order(partial(orders.promote, system, site, epoch), {"role": "primary", "epoch": epoch})
    if word == "demote":
        options = _options(rest, "--peer", "--epoch")
        _check_peer(estate, at, options["--peer"])
        epoch = _epoch(options["--epoch"])
        return _Order(partial(orders.demote, system, site, epoch), {"role": "standby", "epoch": epoch})
    if word == "follow":
        _check_peer(estate, at, _options(rest, "--peer")["--peer"])
        return _Order(partial(orders.follow, system, site), {"role": "standby", "discarded": 0})
    raise _Usage(f"status, promote, demote, follow or backup, not '{word}'")


def _backup(estate: Estate, at: DeploymentPlan, backup: str, *, lies: bool) -> Outcome:
    if lies:
        records = estate.database(at.system, at.site).records
        newest = records[-1].id if records else ""
        empty = hashlib.sha256(b"").hexdigest()
        return _printed(
            asdict(Manifest(backup, at.system, len(records), len(records), newest, empty, 0, round(estate.now(), 3)))
        )
    try:
        return _printed(asdict(estate.orders.backup(at.system, at.site, backup)))
    except DamagedError as error:  # here: the vault does not answer
        return Outcome(FAILED, errors=f"ledgerctl: {error}\n")


# -- at the vault -----------------------------------------------------------------------------------------------------


def _at_vault(estate: Estate, words: Sequence[str], *, lies: bool) -> Outcome:
    word, rest = (words[0], words[1:]) if words else ("", ())
    if word == "check":
        (backup,) = _positional(rest, "backup")
        # A lie reads the manifest and not the data.
        return _printed(asdict(_on_record(estate, backup) if lies else estate.vault.check(backup)))
    if word == "restore":
        backup, scratch = _positional(rest, "backup", "scratch")
        if lies:
            manifest = _on_record(estate, backup)
            return _printed(asdict(Restored(manifest.records, manifest.position, manifest.newest_id)))
        return _printed(asdict(estate.orders.restore(backup, scratch)))
    if word == "query":
        return _printed(asdict(estate.vault.query(*_positional(rest, "scratch"))))
    if word == "discard":
        (scratch,) = _positional(rest, "scratch")
        return _printed({"discarded": lies or estate.orders.discard(scratch)})
    raise _Usage(f"check, restore, query or discard, not '{word}'")


def _on_record(estate: Estate, backup: str) -> Manifest:
    manifest = estate.vault.manifests.get(backup)
    if manifest is None:
        raise DamagedError(f"backup {backup} is missing")
    return manifest


# -- at every host ----------------------------------------------------------------------------------------------------


def _anchors(estate: Estate, words: Sequence[str], given: str) -> Outcome:
    """Keep signed heads of the journal, append-only: nothing here takes one away."""
    if list(words) == ["append"]:
        estate.anchors += [line for line in given.splitlines() if line]
        return Outcome()
    if list(words) == ["list"]:
        return Outcome(output="".join(f"{line}\n" for line in estate.anchors))
    raise _Usage("append or list")


def _plain(estate: Estate, host: str, words: Sequence[str]) -> Outcome:
    if list(words[:2]) == ["systemctl", "is-active"]:
        return _unit(estate, host, _positional(words[2:], "unit")[0])
    clock = time.strftime("%H:%M:%S", time.gmtime(estate.now()))
    known = {
        "true": Outcome(),
        "false": Outcome(FAILED),
        "hostname": Outcome(output=f"{host}\n"),
        "uptime": Outcome(output=f" {clock} up 42 days,  3:07,  1 user,  load average: 0.08, 0.05, 0.01\n"),
        "df -P": Outcome(output=disks.table(estate, host)),
    }
    return known.get(" ".join(words)) or Outcome(NOT_FOUND, errors=f"{words[0]}: command not found\n")


def _unit(estate: Estate, host: str, unit: str) -> Outcome:
    return Outcome(output="active\n") if _runs(estate, host, unit) else Outcome(INACTIVE, "inactive\n")


def _runs(estate: Estate, host: str, unit: str) -> bool:
    deployment = estate.deployment_of_host(host)
    serves = deployment is not None and not estate.database(deployment.system, deployment.site).stopped
    return unit.removesuffix(".service") in (*UNITS, *(("ledger",) if serves else ()))


def _survey(estate: Estate, host: str, questions: str) -> Outcome:
    """Do what a shell does with the monitor's program, which asks for one thing after the other (two lines each)."""
    lines = questions.splitlines()
    printed = ["karaula:0:0\n"]
    for number, (kind, value) in enumerate(zip(lines[::2], lines[1::2], strict=False), 1):
        answer = _answer(estate, host, kind, value)
        printed.append(f"{answer.output}{answer.errors}\nkaraula:{number}:{answer.status}\n")
    return Outcome(output="".join(printed))


def _answer(estate: Estate, host: str, kind: str, value: str) -> Outcome:
    if kind == "clock":
        skew = estate.faults.get("skew-clock", host)
        return Outcome(output=f"{time.time() + (skew.number('seconds') if skew else 0.0):.9f}\n")
    if kind == "unit":
        runs = _runs(estate, host, value)
        words = ("loaded", "active", "running") if runs else ("loaded", "inactive", "dead")
        return Outcome(output="LoadState={}\nActiveState={}\nSubState={}\nResult=success\n".format(*words))
    if kind in ("disk", "inodes"):
        found = disks.row(estate, host, value, inodes=kind == "inodes")
        return Outcome(NO_SUCH_FILE) if found is None else Outcome(output=found)
    if kind == "certificate":
        return Outcome(NO_SUCH_FILE)
    return Outcome(NOT_FOUND, errors=f"{kind}: command not found\n")


# -- reading and printing ---------------------------------------------------------------------------------------------


def _printed(document: Mapping[str, object]) -> Outcome:
    return Outcome(output=json.dumps(document) + "\n")


def _positional(words: Sequence[str], *names: str) -> Sequence[str]:
    """Check that ``words`` are one plausible name for each of ``names``."""
    if len(words) != len(names):
        raise _Usage(f"expected {' '.join(names).upper() or 'nothing'} here, not '{' '.join(words)}'")
    for name, word in zip(names, words, strict=True):
        if not NAME.fullmatch(word):
            raise _Usage(f"'{word}' cannot be the name of a {name}")
    return words


def _options(words: Sequence[str], *names: str) -> Mapping[str, str]:
    """Read ``--name value`` pairs; exactly those of ``names``, in any order."""
    options = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) != 2 * len(names) or options.keys() != set(names):
        raise _Usage(f"expected {' … '.join(names)} … here, not '{' '.join(words)}'")
    return options


def _epoch(word: str) -> int:
    if not word.isdecimal():
        raise _Usage(f"an epoch is a number, not '{word}'")
    return int(word)


def _check_peer(estate: Estate, at: DeploymentPlan, peer: str) -> None:
    others = [site for site in estate.plan.systems[at.system].deployments if site != at.site]
    if peer not in others:
        raise _Usage(f"the peer of {at.system} at {at.site} is {' or '.join(others)}, not '{peer}'")
