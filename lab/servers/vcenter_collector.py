"""The property collector: what to look at, what it says now, and what changed since a version.

Source: vSphere Web Services API 8.0, PropertyCollector (RetrievePropertiesEx, CreateFilter, WaitForUpdatesEx). A
version is kept with what the client was told in it until the client shows, by asking with a newer one, that it has
that. So a client that missed an answer asks again with the old version and misses nothing. Pages are small on purpose:
a client that does not follow ``truncated`` and ``token`` shows it at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from lab.servers.vcenter_objects import Properties, is_kind, walk
from lab.servers.vcenter_soap import Many, Ref, Struct, Value, VimFault, Word, ref_of

PAGE_OBJECTS = 16
LONGEST_WAIT_S = 1800.0

Told = Mapping[Ref, Properties]
Look = Callable[[Ref], Properties]


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """Which properties of a kind; ``everything`` instead of ``paths``."""

    kind: str
    everything: bool
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """A traversal: from objects of ``kind`` along ``path``, then on by ``onward``; a bare name refers to another."""

    name: str
    kind: str
    path: str
    skip: bool
    onward: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """What a filter looks at."""

    properties: tuple[PropertySpec, ...]
    objects: tuple[tuple[Ref, bool, tuple[Selection, ...]], ...]


def read_spec(element: ET.Element) -> FilterSpec:
    """Read a PropertyFilterSpec. Raises VimFault InvalidArgument."""
    properties = tuple(
        PropertySpec(
            one.findtext("type", ""),
            one.findtext("all", "") in {"true", "1"},
            tuple(path.text or "" for path in one.findall("pathSet")),
        )
        for one in element.findall("propSet")
    )
    objects = []
    for one in element.findall("objectSet"):
        ref = ref_of(one.find("obj"))
        if ref is None:
            raise VimFault("InvalidArgument", "an ObjectSpec without obj", {"invalidProperty": "objectSet"})
        skip = one.findtext("skip", "") in {"true", "1"}
        objects.append((ref, skip, tuple(_selection(part) for part in one.findall("selectSet"))))
    return FilterSpec(properties, tuple(objects))


def _selection(element: ET.Element) -> Selection:
    return Selection(
        element.findtext("name", ""),
        element.findtext("type", ""),
        element.findtext("path", ""),
        element.findtext("skip", "") in {"true", "1"},
        tuple(_selection(part) for part in element.findall("selectSet")),
    )


def select(spec: FilterSpec, look: Look) -> Iterator[Ref]:
    """Yield every object that ``spec`` reaches, each once. Raises VimFault when a starting object is gone."""
    seen: set[Ref] = set()
    for start, skip, selections in spec.objects:
        named = {one.name: one for one in _all(selections) if one.path and one.name}
        queue = [(start, skip, selections)]
        look(start)
        walked: set[tuple[Ref, str]] = set()
        while queue:
            ref, hidden, onward = queue.pop(0)
            if not hidden and ref not in seen:
                seen.add(ref)
                yield ref
            for selection in onward:
                step = selection if selection.path else named.get(selection.name)
                if step is None or not is_kind(ref, step.kind) or (ref, step.path) in walked:
                    continue
                walked.add((ref, step.path))
                queue += [(target, step.skip, step.onward) for target in _targets(walk(look(ref), step.path))]


def _all(selections: Iterable[Selection]) -> Iterator[Selection]:
    for one in selections:
        yield one
        yield from _all(one.onward)


def _targets(value: Value) -> tuple[Ref, ...]:
    if isinstance(value, Ref):
        return (value,)
    if isinstance(value, Many):
        return tuple(item for item in value.items if isinstance(item, Ref))
    return ()


def gather(spec: FilterSpec, look: Look) -> dict[Ref, dict[str, Value]]:
    """Return path and value of what ``spec`` asks; unset properties are left out. Raises VimFault."""
    found: dict[Ref, dict[str, Value]] = {}
    for ref in select(spec, look):
        wanted = [one for one in spec.properties if is_kind(ref, one.kind)]
        if not wanted:
            continue
        properties = look(ref)
        values = found.setdefault(ref, {})
        for one in wanted:
            for path in properties if one.everything else one.paths:
                value = walk(properties, path)
                if value is not None:
                    values[path] = value
    return found


def content(ref: Ref, values: Properties) -> Struct:
    """Return an ObjectContent."""
    pairs = tuple(Struct("DynamicProperty", {"name": name, "val": value}) for name, value in values.items())
    return Struct("ObjectContent", {"obj": ref, "propSet": Many("DynamicProperty", pairs)})


@dataclass(slots=True)
class Filter:
    """A filter and what the client was told of it, by version."""

    ref: Ref
    spec: FilterSpec
    told: dict[int, Told] = field(default_factory=dict)


class Collector:
    """A session's property collector."""

    def __init__(self, ref: Ref, look: Look) -> None:
        self.ref = ref
        self._look = look
        self._numbers = itertools.count(1)
        self._pages: dict[str, list[Struct]] = {}
        self.filters: dict[str, Filter] = {}
        self._version = 0
        self._versions: set[int] = set()
        self._canceled = 0
        self._news = asyncio.Event()

    # -- reading once -------------------------------------------------------------------------------------------------

    def retrieve(self, specs: Iterable[ET.Element], most: int) -> Struct | None:
        """Answer RetrievePropertiesEx with at most ``most`` objects (0: our own limit). Raises VimFault."""
        found: list[Struct] = []
        for element in specs:
            found += [content(ref, values) for ref, values in gather(read_spec(element), self._look).items()]
        return self._page(found, most)

    def retrieve_all(self, specs: Iterable[ET.Element]) -> list[Struct]:
        """Answer the old RetrieveProperties, which has no pages. Raises VimFault."""
        return [
            content(ref, values) for element in specs for ref, values in gather(read_spec(element), self._look).items()
        ]

    def more(self, token: str) -> Struct | None:
        """Answer ContinueRetrievePropertiesEx. Raises VimFault InvalidProperty for an unknown token."""
        rest = self._pages.pop(token, None)
        if rest is None:
            raise VimFault("InvalidProperty", "The token is not known.", {"name": "token"})
        return self._page(rest, 0)

    def _page(self, found: list[Struct], most: int) -> Struct | None:
        if not found:
            return None
        limit = min(most, PAGE_OBJECTS) if most > 0 else PAGE_OBJECTS
        token: str | None = None
        if len(found) > limit:
            token = str(next(self._numbers))
            self._pages[token] = found[limit:]
        return Struct("RetrieveResult", {"token": token, "objects": Many("ObjectContent", tuple(found[:limit]))})

    # -- following ----------------------------------------------------------------------------------------------------

    def create_filter(self, element: ET.Element) -> Ref:
        """Add a filter; the next wait reports all that it sees. Raises VimFault for a wrong spec."""
        spec = read_spec(element)
        gather(spec, self._look)
        ref = Ref("PropertyFilter", f"session-filter-{next(self._numbers)}-{self.ref.id}")
        self.filters[ref.id] = Filter(ref, spec)
        self.notice()
        return ref

    def notice(self) -> None:
        """Wake whoever waits: something may have changed."""
        self._news.set()

    def cancel(self) -> None:
        """Answer CancelWaitForUpdates: waits that are under way end with RequestCanceled."""
        self._canceled += 1
        self._news.set()

    async def wait(self, version: str, longest_s: float | None, most: int) -> Struct | None:
        """Answer WaitForUpdatesEx: changes since ``version`` ("": all), None after ``longest_s`` without any.

        Raises VimFault InvalidCollectorVersion, RequestCanceled.
        """
        since = self._known(version)
        canceled = self._canceled
        loop = asyncio.get_running_loop()
        until = loop.time() + min(LONGEST_WAIT_S if longest_s is None else longest_s, LONGEST_WAIT_S)
        while True:
            self._news.clear()
            updates = self._updates(since, most)
            if updates is not None:
                return updates
            left = until - loop.time()
            if left <= 0:
                return None
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return None
            if canceled != self._canceled:
                raise VimFault("RequestCanceled", "The request was canceled by a user.")

    def _known(self, version: str) -> int:
        """Return the version's number and forget older ones, which the client has shown to have. 0 is the beginning."""
        since = int(version) if version.isdecimal() else 0
        if version and since not in self._versions:
            raise VimFault("InvalidCollectorVersion", "The version is not known.")
        self._versions = {number for number in self._versions if number >= since > 0}
        for one in self.filters.values():
            one.told = {number: told for number, told in one.told.items() if number >= since > 0}
        return since

    def _updates(self, since: int, most: int) -> Struct | None:
        limit = min(most, PAGE_OBJECTS) if most > 0 else PAGE_OBJECTS
        sets: list[Struct] = []
        told: dict[str, Told] = {}
        truncated = False
        for one in self.filters.values():
            before = one.told.get(since, {})
            now = gather_or_nothing(one.spec, self._look)
            changes = list(_changes(before, now))
            truncated = truncated or len(changes) > limit
            changes = changes[:limit]
            limit -= len(changes)
            told[one.ref.id] = _after(before, now, changes)
            if changes:
                updates = Many("ObjectUpdate", tuple(_object_update(before, now, ref) for ref in changes))
                sets.append(Struct("PropertyFilterUpdate", {"filter": one.ref, "objectSet": updates}))
        if not sets and (since > 0 or not self.filters):
            return None
        self._version += 1
        self._versions.add(self._version)
        for identifier, state in told.items():
            self.filters[identifier].told[self._version] = state
        return Struct(
            "UpdateSet",
            {
                "version": str(self._version),
                "filterSet": Many("PropertyFilterUpdate", tuple(sets)),
                "truncated": True if truncated else None,
            },
        )


def gather_or_nothing(spec: FilterSpec, look: Look) -> dict[Ref, dict[str, Value]]:
    """Gather for a filter; when what it starts from is gone it sees nothing any more."""
    try:
        return gather(spec, look)
    except VimFault as problem:
        if problem.struct.type == "ManagedObjectNotFound":
            return {}
        raise


def _changes(before: Told, now: Told) -> Iterator[Ref]:
    for ref, values in now.items():
        if ref not in before or before[ref] != values:
            yield ref
    for ref in before:
        if ref not in now:
            yield ref


def _after(before: Told, now: Told, changes: Iterable[Ref]) -> Told:
    """Return what the client knows once it has ``changes``."""
    state = dict(before)
    for ref in changes:
        if ref in now:
            state[ref] = now[ref]
        else:
            del state[ref]
    return state


def _object_update(before: Told, now: Told, ref: Ref) -> Struct:
    if ref not in now:
        return Struct("ObjectUpdate", {"kind": Word("ObjectUpdateKind", "leave"), "obj": ref})
    old = before.get(ref, {})
    changed = [(name, value) for name, value in now[ref].items() if name not in old or old[name] != value]
    unset = [(name, None) for name in old if name not in now[ref]]
    return Struct(
        "ObjectUpdate",
        {
            "kind": Word("ObjectUpdateKind", "modify" if ref in before else "enter"),
            "obj": ref,
            "changeSet": Many("PropertyChange", tuple(_change(name, value) for name, value in [*changed, *unset])),
        },
    )


def _change(name: str, value: Value) -> Struct:
    return Struct("PropertyChange", {"name": name, "op": Word("PropertyChangeOp", "assign"), "val": value})
