"""What planning asks of an action that another package brings: where it is from, and whether its word can be modelled.

Guards, safety rules and ``karaula prove`` go by declared effects alone. Shipped actions are held to them by tests; of
a third party's nothing is taken on trust: an effect that is misspelt, or declared of another system, would look
harmless, and is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

Effect = tuple[str, str, str]
TIERS = ("database", "application", "web")
# The fields that guards and the checker know, with the values that they know of each; of ``traffic`` the sites.
MODELLED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "role": frozenset({"primary", "standby"}),
        "fence": frozenset({"on", "off"}),
        "power": frozenset({"on", "off", *(f"{tier}-{state}" for tier in TIERS for state in ("on", "off"))}),
        "traffic": frozenset(),
        "bubble": frozenset({"present", "absent"}),
        "scratch": frozenset({"restored", "absent"}),
    }
)
PROOF = "proof"


class Foreign:
    """An action of another package; ``provider`` is its name and version, ``unusable`` why it cannot be used."""

    def __init__(self, provider: str, unusable: str = "") -> None:
        """Name the ``provider``; an empty ``unusable`` means that it can be used."""
        self.provider = provider
        self.unusable = unusable


def provider_of(action: object) -> str:
    """Return the package that ``action`` is from, with its version; empty: it is shipped."""
    return action.provider if isinstance(action, Foreign) else ""


def undeclared(
    effects: Sequence[Effect], *, reads_only: bool, outputs: Collection[str], system: str, sites: Collection[str]
) -> str:
    """Say what of ``effects`` cannot be modelled, as the end of a sentence about the action; empty: nothing."""
    if reads_only:
        return "says that it only reads, and declares an effect" if effects else ""
    if not effects:
        return "declares no effect and does not say that it only reads; nothing could be proven of it"
    return next(_doubts(effects, outputs, system, sites), "")


def _doubts(effects: Sequence[Effect], outputs: Collection[str], system: str, sites: Collection[str]) -> Iterator[str]:
    own = {f"system/{system}/{site}" for site in sites}
    for subject, field, value in effects:
        if not all(part.strip() and part.isprintable() for part in (subject, field, value)):
            yield f"declares the effect {(subject, field, value)!r}, of which a part is empty or not one line"
        elif field in MODELLED:
            known = frozenset(sites) if field == "traffic" else MODELLED[field]
            if subject not in own:
                yield f"declares {field} of '{subject}'; of a run for {system} it can be of {' or '.join(sorted(own))}"
            elif value not in known:
                yield f"declares {field} = '{value}'; known: {', '.join(sorted(known))}"
        elif subject.partition("/")[0] == "system":
            yield (
                f"declares '{field}' of '{subject}', which neither guards nor the checker know; "
                f"of a system they know {', '.join(sorted(MODELLED))}"
            )
        if (field, value) == ("fence", "on") and PROOF not in outputs:
            yield f"declares a fence and yields no '{PROOF}' that it holds"
