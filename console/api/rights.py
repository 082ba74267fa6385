"""Rights: who may have what done, by the inventory that the daemon goes by now."""

from __future__ import annotations

from fastapi import APIRouter, Request

from console.api.desk import desk_of
from console.api.views import View
from dr.engine.names import unknown
from dr.errors import RunRefused
from dr.rights import Deed, holders
from monitor.inventory.recovery import KINDS

router = APIRouter(prefix="/api/rights")


class RightView(View):
    """One entry of the inventory; no systems named: all."""

    name: str
    people: tuple[str, ...]
    may: tuple[str, ...]
    kinds: tuple[str, ...]
    systems: tuple[str, ...]
    proven: bool


class HoldersView(View):
    """Who may do what to runs of a kind, of one system; ``everybody`` alone where all may."""

    kind: str
    request: tuple[str, ...]
    approve: tuple[str, ...]
    steer: tuple[str, ...]
    override: tuple[str, ...]


@router.get("")
async def rights(request: Request) -> list[RightView]:
    """Return the inventory's entries; none: everybody may everything."""
    return [
        RightView(
            name=key,
            people=right.people,
            may=right.may,
            kinds=right.kinds,
            systems=right.systems,
            proven=right.proven,
        )
        for key, right in desk_of(request).inventory.rights.items()
    ]


@router.get("/{system}")
async def of_system(request: Request, system: str) -> list[HoldersView]:
    """Return, for every kind of run of the system, who may do what. 409 for one that does not exist."""
    inventory = desk_of(request).inventory
    if system not in inventory.systems:
        raise RunRefused("system", unknown("system", system, inventory.systems))
    return [
        HoldersView(kind=kind, **{deed.value: holders(inventory.rights, deed, kind, system) for deed in Deed})
        for kind in KINDS
    ]
