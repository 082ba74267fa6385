"""Judging how ready a system is for a recovery: each check by itself, from what is known. Pure.

Less knowledge never makes anything better: a check of which something is not known any more stays as it is or becomes
UNKNOWN. That is also why UNKNOWN counts as worse than AMBER in the total.
"""

from __future__ import annotations

from collections.abc import Iterable

from dr.forecast import WELL
from dr.journal.run import Run
from dr.readiness.capacity import capacity
from dr.readiness.known import LIGHTS, Known, Sight
from dr.readiness.lights import (
    ACCESS,
    BACKUPS,
    DRILL,
    FENCE,
    MACHINES,
    PLAYBOOK,
    REPLICA,
    Check,
    Light,
    Readiness,
    worst,
)
from monitor.clients.redfish import recalled
from monitor.inventory.checks_hosts import LagCheck
from monitor.status.limits import span
from monitor.status.state import Health

MOVES = ("failover", "switchover", "failback", "drill")
FEW = 3
NO_REASON = "no reason given"


def readiness(known: Known) -> Readiness:
    """Return every check of the system, in the order in which people ask."""
    checks = (
        _replica(known),
        _machines(known),
        _access(known),
        _fence(known),
        capacity(known),
        *_playbooks(known),
        _drill(known),
        _backups(known),
    )
    return Readiness(known.key, known.standby, known.now, checks)


# -- the copy ---------------------------------------------------------------------------------------------------------


def _replica(known: Known) -> Check:
    """Judge the database at the standby: it follows, and is no further behind than may be lost."""
    subject = f"database/{known.key}/{known.standby}"
    copy = known.see(subject)
    asked = f"karaula status {subject}"
    if copy.health in {Health.UNKNOWN, Health.DOWN}:
        word = "is down" if copy.health is Health.DOWN else "is not known"
        said = f"the database at {known.standby} {word}: {copy.reason or NO_REASON}; {asked}"
        return Check(REPLICA, LIGHTS[copy.health], said)
    role = copy.facts.get("role", "")
    if role and role != "standby":
        said = f"the database at {known.standby} calls itself {role} and follows nobody: karaula reprotect {known.key}"
        return Check(REPLICA, Light.RED, said)
    lags = [(f"check/{key}", known.see(f"check/{key}")) for key in _lag_checks(known)]
    light, said = _behind(known)
    light = worst((light, LIGHTS[copy.health], *(LIGHTS[sight.health] for _, sight in lags)))
    more = [f"{name} is {sight.health}: {sight.reason}" for name, sight in lags if sight.health is not Health.OK]
    if copy.health is Health.DEGRADED:
        more.insert(0, f"{subject} is degraded: {copy.reason}")
    return Check(REPLICA, light, "; ".join([said, *more]))


def _behind(known: Known) -> tuple[Light, str]:
    """Judge how far the copy is behind, which can be told only while the active side is heard."""
    subject = f"database/{known.key}/{known.active}"
    source, loss, allowed_s = known.see(subject), known.loss, known.system.rpo_s
    if source.health in {Health.UNKNOWN, Health.DOWN}:
        said = f"how far the copy is behind cannot be told: {subject} is {source.health} ({source.reason})"
        return Light.UNKNOWN, said
    if loss.seconds is None:
        return Light.UNKNOWN, f"how far the copy is behind is not known: {loss.known}"
    said = f"the copy at {known.standby} is {span(loss.seconds)} behind, of {span(allowed_s)} that may be lost"
    if loss.seconds > allowed_s:
        standby = f"database/{known.key}/{known.standby}"
        return Light.RED, f"{said}; see what holds replication up: karaula status {standby}"
    percent = known.inventory.readiness.replica_warn_percent
    if loss.seconds > allowed_s * percent / 100:
        return Light.AMBER, f"{said}, over the warning limit of {percent:g} % of it"
    return Light.GREEN, said


def _lag_checks(known: Known) -> Iterable[str]:
    """Return the inventory's own checks of replication on the standby's database host."""
    return [
        key
        for key, check in known.inventory.checks.items()
        if isinstance(check, LagCheck) and check.host == known.place.database_host
    ]


# -- what must answer -------------------------------------------------------------------------------------------------


def _machines(known: Known) -> Check:
    """Judge the VMs where the system stands by."""
    well = f"all {len(known.machines)} machines at {known.standby} are there and sound"
    return _all(known, MACHINES, known.machines, well)


def _access(known: Known) -> Check:
    """Judge what a recovery logs in to, or tells something, where the system stands by."""
    names = [f"dns/{key}" for key in known.system.service.dns if known.inventory.dns_servers[key].site == known.standby]
    subjects = (f"vcenter/{known.place.vcenter}", f"host/{known.place.database_host}", *names)
    listed = ", ".join(subjects)
    return _all(known, ACCESS, subjects, f"what a recovery needs at {known.standby} answers, and lets it in: {listed}")


def _fence(known: Known) -> Check:
    """Judge the power controller that would fence the active side off: that it lets us read, and could prove it.

    That it lets itself be switched no reading shows.
    """
    fence = known.system.sites[known.active].fence
    subject, outlets = f"power/{fence.controller}", f"outlet group {fence.outlet_group} of {fence.controller}"
    sight = known.see(subject)
    group = recalled(fence.outlet_group, sight.facts, sight.values)
    well = f"{outlets}, which would fence {known.key} off at {known.active}, can be read"
    check = _all(known, FENCE, (subject,), well)
    if check.light in {Light.RED, Light.UNKNOWN}:
        return check
    if group is None:
        return Check(FENCE, Light.UNKNOWN, f"{outlets} was not read yet; look: karaula status {subject}")
    if group.watts is None:
        said = f"{outlets} does not measure what it draws, so that no fence of {known.key} could be proven"
        return Check(FENCE, Light.RED, f"{said}; look: karaula status {subject}")
    return check


def _all(known: Known, name: str, subjects: Iterable[str], well: str) -> Check:
    """Return the worst of the subjects with what is amiss of them, or ``well``."""
    found = [(subject, *_seen(subject, known.see(subject))) for subject in subjects]
    light = worst(each for _, each, _ in found)
    if light is Light.GREEN:
        return Check(name, light, well)
    bad = [one for one in found if one[1] is not Light.GREEN]
    bad.sort(key=lambda one: one[1] is not light)
    shown = "; ".join(f"{subject} {words}" for subject, _, words in bad[:FEW])
    more = f"; and {len(bad) - FEW} more" if len(bad) > FEW else ""
    return Check(name, light, f"{shown}{more}; look: karaula status {bad[0][0]}")


def _seen(subject: str, sight: Sight) -> tuple[Light, str]:
    """Return the light of one subject and why; of a name server also whether it would take an update."""
    if subject.startswith("dns/") and sight.health in {Health.OK, Health.DEGRADED}:
        if refused := sight.facts.get("key_refused", ""):
            return Light.RED, f"does not take the key of updates: {refused}"
        if "key" not in sight.facts:
            return Light.UNKNOWN, "answers, and has not shown whether it takes the key of updates"
    return LIGHTS[sight.health], f"is {sight.health}: {sight.reason or NO_REASON}"


# -- the record -------------------------------------------------------------------------------------------------------


def _playbooks(known: Known) -> Iterable[Check]:
    """Judge each playbook that moves the system, or rehearses that: VERIFIED as it stands written, or not."""
    responses = known.inventory.responses.values()
    for name, why in known.withheld.items():
        yield Check(f"{PLAYBOOK}{name}", Light.RED, f"cannot be run: {why}; karaula check")
    alone = {each.playbook for each in responses if each.mode == "automatic" and each.system == known.key}
    for each in known.verified:
        if each.kind not in MOVES:
            continue
        name = f"{PLAYBOOK}{each.playbook}"
        prove = f"karaula prove {each.playbook} --system {known.key}"
        if known.unreadable:
            yield Check(name, Light.UNKNOWN, f"the record of proofs cannot be read: {known.unreadable}")
        elif not each.lack and each.proven_at is not None:
            yield Check(name, Light.GREEN, f"VERIFIED as it stands written, {span(_since(known, each.proven_at))} ago")
        elif each.playbook in alone:
            said = f"not VERIFIED, and an automatic response counts on it: {each.lack}; {prove}"
            yield Check(name, Light.RED, said)
        else:
            yield Check(name, Light.AMBER, f"not VERIFIED: {each.lack}; {prove}")


def _drill(known: Known) -> Check:
    """Judge the last drill: of what age the newest that succeeded is, and whether a later one failed."""
    ended = sorted((run for run in known.runs if _counts(run)), key=lambda run: run.ended_at or 0.0)
    good = [run for run in ended if run.state in WELL]
    limit_s, now = known.inventory.readiness.drill_max_age_s, f"karaula drill {known.key}"
    if not good:
        failed = f", and the last one tried failed: karaula run show {ended[-1].id}" if ended else ""
        return Check(DRILL, Light.RED, f"no drill of {known.key} has ever succeeded{failed}; hold one: {now}")
    age_s = _since(known, good[-1].ended_at or 0.0)
    light, said = _overdue(age_s, limit_s, "the last drill that succeeded was", "ago")
    if ended[-1] is not good[-1]:
        light = worst((light, Light.AMBER))
        said = f"{said}; a later one failed: karaula run show {ended[-1].id}"
    return Check(DRILL, light, said if light is Light.GREEN else f"{said}; {now}")


def _counts(run: Run) -> bool:
    """Tell whether the run was a drill that began and is over; one that was refused says nothing."""
    return run.plan.kind == "drill" and run.state.final and run.started_at is not None and run.ended_at is not None


def _backups(known: Known) -> Check:
    """Judge what the last restore has proven."""
    proof = known.backups
    more = "; ".join(proof.findings)
    if proof.proven_age_s is None:
        mend = f"karaula backup {known.key}, then karaula verify {known.key}"
        return Check(BACKUPS, Light.RED, f"{more or 'no backup is proven'}; {mend}")
    light, said = _overdue(
        max(0.0, proof.proven_age_s), proof.objective_s, "the newest backup proven by a restore is", "old"
    )
    if proof.findings:
        light = worst((light, Light.AMBER))
        said = f"{said}; {more}"
    return Check(BACKUPS, light, said if light is Light.GREEN else f"{said}; karaula backups")


def _overdue(age_s: float, limit_s: float, what: str, word: str) -> tuple[Light, str]:
    """Judge an age: past its limit AMBER, past twice its limit RED."""
    said = f"{what} {span(age_s)} {word}"
    if age_s <= limit_s:
        return Light.GREEN, said
    return (Light.RED if age_s > 2 * limit_s else Light.AMBER), f"{said}, and {span(limit_s)} are allowed"


def _since(known: Known, at: float) -> float:
    """Return how long ago that was; a clock that was set back makes nothing younger than now."""
    return max(0.0, known.now - at)
