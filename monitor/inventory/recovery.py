"""What recovery keeps to: when rehearsals may begin, how long a proof holds, what must be so, how long one may act."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import Cron, Key, Model, Number

DAY_S = 86400


class Window(Model):
    """A time in which runs of these kinds may begin. A kind and system that no window names may begin at any time."""

    kinds: tuple[Literal["backup", "verify", "drill"], ...] = Field(
        min_length=1, description="what else moves production, and waits for a person instead"
    )
    systems: tuple[Key, ...] = Field((), description="whose runs; none named: those of all")
    cron: Cron = Field(description="when it opens: five fields, in the estate's time zone", examples=["0 1 * * *"])
    duration_s: Annotated[Number, Field(gt=0, le=7 * DAY_S)] = Field(
        description="how long it stays open, whatever is done to the clocks on the wall meanwhile"
    )

    def covers(self, kind: str, system: str) -> bool:
        """Tell whether runs of the kind and system go by this window."""
        return kind in self.kinds and (not self.systems or system in self.systems)
