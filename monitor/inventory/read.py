"""Reading ``inventory.yaml``: all mistakes at once, each with its line and column, or an Inventory.

``karaula check`` and the daemon's start use it. Playbook names in schedules and responses are checked by ``dr``,
which knows the playbooks.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from monitor.errors import CredentialError, InventoryError
from monitor.inventory import agreement, agreement_backups, agreement_planning, references
from monitor.inventory.backups import BackupPolicy, PgbackrestStore, ResticStore
from monitor.inventory.checks_http import HttpCheck
from monitor.inventory.checks_services import LdapCheck, PostgresqlCheck
from monitor.inventory.explain import explain, path_of
from monitor.inventory.model import Inventory
from monitor.inventory.vantage import ObserverPoint
from monitor.yamlfile import load

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from monitor.credential import Credentials
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

SECTIONS = tuple(
    name for name, field in Inventory.model_fields.items() if get_origin(field.annotation) is dict
)  # those that hold entries by key
_EQUIPMENT = (
    ("vcenters", "credential"),
    ("hosts", "credential"),
    ("power_controllers", "credential"),
    ("dns_servers", "tsig_credential"),
)  # and the key that names its credential
_PLAIN = (
    "polling",
    "notify",
    "evidence",
    "flapping",
    "vantage",
    "proofs",
    "lease",
    "alertmanager",
)  # those that may be left out and hold no entries
_ADAPTERS = {
    name: TypeAdapter[Any](cast("Any", Inventory.model_fields[name].annotation)) for name in (*SECTIONS, *_PLAIN)
}


def read(path: pathlib.Path) -> Inventory:
    """Return the inventory in the file ``path``. Raises InventoryError with every Problem, in order of place."""
    return checked(load(path))


def checked(document: Document) -> Inventory:
    """Return the inventory that ``document`` holds. Raises InventoryError as ``read`` does."""
    problems: list[Problem] = []
    try:
        inventory = Inventory.model_validate(document.data)
    except ValidationError as error:
        problems += explain(error, Inventory, document)
        inventory = _sound_part(document.data, error)
    keys = {name: document.data.get(name, {}) for name in SECTIONS}
    known = {name: frozenset(section) for name, section in keys.items() if isinstance(section, dict)}
    problems += references.check(inventory, known, document)
    problems += agreement.check(inventory, document)
    problems += agreement_planning.check(inventory, known, document)
    problems += agreement_backups.check(inventory, document)
    if problems:
        raise InventoryError(sorted(problems))
    inventory.written_in(document)
    return inventory


def entry_adapter(section: str) -> TypeAdapter[Any]:
    """Return what validates one entry of ``section``, which is one of SECTIONS."""
    return TypeAdapter(get_args(Inventory.model_fields[section].annotation)[1])


def missing_credentials(inventory: Inventory, credentials: Credentials) -> list[Problem]:
    """Return a Problem for every credential that the inventory names and the directory does not hold, once each."""
    problems: dict[str, Problem] = {}
    for path, reference in references_of(inventory):
        try:
            credentials.path(reference)
        except CredentialError as error:
            problem = inventory.problem(path, str(error))
            problems[reference] = min(problem, problems.get(reference, problem))
    return sorted(problems.values())


def references_of(inventory: Inventory) -> Iterator[tuple[Path, str]]:
    """Yield where a credential is named, and its name."""
    yield ("trust", "tls_ca"), inventory.trust.tls_ca
    yield ("trust", "known_hosts"), inventory.trust.known_hosts
    if inventory.evidence is not None:
        yield ("evidence", "signing_key"), inventory.evidence.signing_key
    for section, name in _EQUIPMENT:
        for key, entry in getattr(inventory, section).items():
            yield (section, key, name), getattr(entry, name)
    yield from _references_of_sensors(inventory)
    for key, check in inventory.checks.items():
        if isinstance(check, PostgresqlCheck | LdapCheck) and check.credential is not None:
            yield ("checks", key, "credential"), check.credential
        if isinstance(check, HttpCheck) and check.login is not None:
            yield ("checks", key, "login", "credential"), check.login.credential
    yield from _of_routers(inventory)
    yield from _of_programs(inventory)
    for key, system in inventory.systems.items():
        for place, reference in _of_backups(system.backup):
            yield ("systems", key, "backup", *place), reference


def _of_programs(inventory: Inventory) -> Iterator[tuple[Path, str]]:
    if inventory.alertmanager is not None:
        yield ("alertmanager", "credential"), inventory.alertmanager.credential
    for key, project in inventory.ansible.items():
        for name in ("credential", "vault_password"):
            if (reference := getattr(project, name)) is not None:
                yield ("ansible", key, name), reference
        for name, reference in project.secrets.items():
            yield ("ansible", key, "secrets", name), reference
    for key, point in inventory.vantage.points.items():
        if isinstance(point, ObserverPoint):
            yield ("vantage", "points", key, "credential"), point.credential


def _of_backups(policy: BackupPolicy) -> Iterator[tuple[Path, str]]:
    store = policy.store
    if policy.second_place is not None:
        yield ("second_place", "password"), policy.second_place.password
    if isinstance(store, ResticStore):
        yield ("store", "password"), store.password
    if isinstance(store, PgbackrestStore) and store.cipher_password is not None:
        yield ("store", "cipher_password"), store.cipher_password
    if store is not None and store.postgresql.password is not None:
        yield ("store", "postgresql", "password"), store.postgresql.password


def _of_routers(inventory: Inventory) -> Iterator[tuple[Path, str]]:
    for key, crossing in inventory.crossings.items():
        if crossing.router is not None and crossing.router.community is not None:
            yield ("crossings", key, "router", "community"), crossing.router.community


def _references_of_sensors(inventory: Inventory) -> Iterator[tuple[Path, str]]:
    for key, sensor in inventory.sensors.items():
        source = sensor.source
        if source.protocol == "snmp" and source.community is not None:
            yield ("sensors", key, "source", "community"), source.community
        if source.protocol == "redfish":
            yield ("sensors", key, "source", "credential"), source.credential
    for key, user in inventory.snmp_users.items():
        yield ("snmp_users", key, "authentication_credential"), user.authentication_credential
        if user.privacy_credential is not None:
            yield ("snmp_users", key, "privacy_credential"), user.privacy_credential


def _sound_part(data: dict[str, Any], error: ValidationError) -> Inventory:
    """Return what is left when every broken entry is taken out, so that the rest can still be checked.

    Never handed out: parts that hold no entries (estate, trust) may be absent from it.
    """
    broken: defaultdict[str, set[object]] = defaultdict(set)
    for detail in error.errors(include_url=False):
        path = path_of(detail["loc"], data)
        if path:
            broken[str(path[0])].add(path[1] if len(path) > 1 else None)
    parts: dict[str, Any] = {}
    for name in SECTIONS:
        section = data.get(name)
        entries = section if isinstance(section, dict) else {}
        sound = {key: entry for key, entry in entries.items() if key not in broken[name]}
        parts[name] = _ADAPTERS[name].validate_python(sound)
    for name in _PLAIN:
        if name in data and not broken[name]:
            parts[name] = _ADAPTERS[name].validate_python(data[name])
    return Inventory.model_construct(**parts)
