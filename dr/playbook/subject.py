"""What a plan is made of and for: the shape of actions, and one system in one direction. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from dr.playbook.parameters import AS_WRITTEN, Wish
from monitor.inventory.model import Inventory


class ActionShape(Protocol):
    """What planning needs to know of an action (``dr.action.Action`` has it)."""

    @property
    def Args(self) -> type[BaseModel]:  # noqa: N802 - the name that actions give it
        """The model of the arguments."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what the action yields."""
        ...

    @property
    def reads_only(self) -> bool:
        """Whether the action has no effect."""
        ...

    @property
    def undoable(self) -> bool:
        """Whether the effect can be taken back."""
        ...

    def effects(self, args: Any) -> Iterable[Any]:
        """Return effects with ``subject``, ``field`` and ``value``."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What a plan is made for."""

    inventory: Inventory
    inventory_hash: str
    system: str
    from_site: str
    to_site: str
    run_id: str
    wish: Wish = AS_WRITTEN
