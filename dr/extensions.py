"""Actions that other packages bring by the entry point group ``karaula.actions``, beside the shipped ones.

Nothing of a package is taken on trust, and nothing that is wrong with one stops the daemon: an action that cannot be
imported, misdeclares itself or takes a shipped name is left out with one sentence, and so are the playbooks that use
it. Packages are looked for once in a process: one that is installed or upgraded counts from the next start.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar, cast

from pydantic import ConfigDict

from dr.action import Action, Context, Done, Effect, Holds, Needing, Output, Seen, StepArgs
from dr.actions import ACTIONS
from dr.errors import StepFailed
from dr.playbook.foreign import Foreign

T = TypeVar("T")
log = logging.getLogger(__name__)
GROUP = "karaula.actions"
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
SHOWN_CHARS = 200
NOTHING: Mapping[str, str] = MappingProxyType({})


class Misdeclared(Exception):
    """What is wrong with an action's declaration, as the end of a sentence about it."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Every action by its name, unusable ones too, and what is wrong with packages, a sentence each."""

    actions: Mapping[str, Action]
    problems: tuple[str, ...] = ()


@cache
def installed() -> Installed:
    """Return what is shipped and what the installed packages bring."""
    lacking = {name: one.lacking() for name, one in ACTIONS.items() if isinstance(one, Needing)}
    return gather(entry_points(group=GROUP), ACTIONS, {name: why for name, why in lacking.items() if why})


def gather(
    points: Iterable[EntryPoint], shipped: Mapping[str, Action], lacking: Mapping[str, str] = NOTHING
) -> Installed:
    """Return ``shipped`` and the actions of ``points``; a name that two packages take is neither's.

    ``lacking`` says of shipped ones what is not installed that they need: a mistake in playbooks that use them only.
    """
    found: dict[str, list[EntryPoint]] = {}
    for point in points:
        found.setdefault(point.name, []).append(point)
    actions = {name: cast("Action", _Unusable(name, "", why)) for name, why in lacking.items()}
    problems = []
    for name, mine in sorted(found.items()):
        providers = sorted(_provider(point) for point in mine)
        if name in shipped:
            why = "Karaula ships an action of that name, which stays in force; the package must choose another"
            problems += [f"{provider}: action '{name}' is not taken: {why}" for provider in providers]
            continue
        action, why = _adopted(mine[0]) if len(mine) == 1 else (None, f"{' and '.join(providers)} both bring it")
        if action is None:
            action = cast("Action", _Unusable(name, providers[0], f"{why} ({', '.join(providers)})"))
            problems.append(f"{', '.join(providers)}: action '{name}' cannot be used: {why}")
        actions[name] = action
    return Installed(MappingProxyType({**shipped, **actions}), tuple(problems))


def _provider(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _adopted(point: EntryPoint) -> tuple[Action | None, str]:
    """Return the action of an entry point, or None and what is wrong with it."""
    try:
        loaded = point.load()
        inner = loaded() if isinstance(loaded, type) else loaded
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the border of foreign code, which may even call sys.exit
        log.debug("entry point %s of %s", point, _provider(point), exc_info=error)
        return None, f"importing {point.value} ended in {_plain(error)}"
    try:
        _demand(point.name, inner)
    except Misdeclared as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - the same border
        return None, f"its declaration cannot be read: {_plain(error)}"
    return cast("Action", _Adopted(inner, _provider(point))), ""  # its attributes are an instance's, not a class's


def _demand(name: str, inner: Any) -> None:
    """Hold an action against what the Action protocol asks. Raises Misdeclared."""
    if not NAME.fullmatch(name):
        raise Misdeclared(f"'{name}' is no name for an action: lower-case letters, digits and '_'")
    kinds: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("name", lambda it: it == name, f"must be '{name}', as its entry point is called"),
        ("summary", lambda it: isinstance(it, str) and bool(it.strip()) and it.isprintable(), "must be one line"),
        ("outputs", _are_names, "must be a tuple of names"),
        ("reads_only", lambda it: isinstance(it, bool), "must be True or False"),
        ("undoable", lambda it: isinstance(it, bool), "must be True or False"),
        ("probe_limit_s", _is_time, "must be a number of seconds above 0"),
        ("Args", lambda it: isinstance(it, type) and issubclass(it, StepArgs), "must be a dr.action.StepArgs"),
        ("effects", callable, "must be a method"),
        *((word, inspect.iscoroutinefunction, "must be an async method") for word in ("run", "probe", "undo")),
    )
    for word, fits, otherwise in kinds:
        if not hasattr(inner, word):
            raise Misdeclared(f"it has no '{word}', which {otherwise}")
        if not fits(getattr(inner, word)):
            raise Misdeclared(f"its '{word}' {otherwise}")
    if inner.reads_only and inner.undoable:
        raise Misdeclared("it says that it only reads, and that it can be undone")
    if inner.Args.model_config.get("extra") != "forbid":
        raise Misdeclared("its 'Args' must refuse arguments that they do not know (extra='forbid', as StepArgs has it)")
    for key, rule in inner.Args.model_json_schema()["properties"].items():
        if key not in StepArgs.model_fields and not rule.get("description"):
            raise Misdeclared(f"its argument '{key}' has no description (pydantic's Field(description=…))")


def _are_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) and NAME.fullmatch(name) for name in value)


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _plain(error: BaseException) -> str:
    said = " ".join(str(error).split())[:SHOWN_CHARS]
    return type(error).__name__ + (f": {said}" if said else "")


class _Adopted(Foreign):
    """An action of a package behind the protocol: what it hands back is of the kinds that it should be."""

    def __init__(self, inner: Action, provider: str) -> None:
        super().__init__(provider)
        self._inner = inner
        self.name, self.summary, self.outputs, self.Args = inner.name, inner.summary, inner.outputs, inner.Args
        self.reads_only, self.undoable, self.probe_limit_s = inner.reads_only, inner.undoable, inner.probe_limit_s

    def effects(self, args: Any) -> tuple[Effect, ...]:
        declared = tuple(self._inner.effects(args))
        for effect in declared:
            _is(Effect, effect, "effects()")
            for part in (effect.subject, effect.field, effect.value):
                _is(str, part, "an effect's part")
        return declared

    async def run(self, args: Any, context: Context) -> Done:
        context.say(f"by {self.provider}")
        return _is(Done, await self._inner.run(args, context), "run()")

    async def probe(self, args: Any, context: Context) -> Seen:
        seen = _is(Seen, await self._inner.probe(args, context), "probe()")
        _is(Holds, seen.holds, "a Seen's 'holds'")
        return seen

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        return _is(Done, await self._inner.undo(args, context, outputs), "undo()")


def _is(kind: type[T], value: object, what: str) -> T:
    """Return ``value``. Raises TypeError, which the caller takes for an outcome that is not known."""
    if not isinstance(value, kind):
        raise TypeError(f"{what} is a {type(value).__name__}, not a {kind.__name__}")
    return value


class _AnyArgs(StepArgs):
    """Of an action that could not be read: what it takes nobody knows."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Unusable(Foreign):
    """Stands for an action that cannot be used: nothing is planned with it, and a run that had begun waits."""

    def __init__(self, name: str, provider: str, unusable: str) -> None:
        super().__init__(provider, unusable)
        self.name, self.summary = name, f"cannot be used: {unusable}"
        self.outputs: tuple[str, ...] = ()
        self.reads_only, self.undoable, self.probe_limit_s = False, True, 1.0  # nobody knows; one mistake is enough
        self.Args = _AnyArgs

    def effects(self, args: Any) -> tuple[Effect, ...]:
        del args
        return ()

    async def run(self, args: Any, context: Context) -> Done:
        del args, context
        raise StepFailed(f"action '{self.name}' cannot be used: {self.unusable}")

    async def probe(self, args: Any, context: Context) -> Seen:
        del args, context
        return Seen(Holds.CANNOT_TELL, f"action '{self.name}' cannot be used: {self.unusable}")

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        del outputs
        return await self.run(args, context)
