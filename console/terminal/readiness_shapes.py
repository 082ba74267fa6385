"""How ready systems are, as it comes over the wire (``console.api.plan_views``); see ``shapes``."""

from __future__ import annotations

from typing import TypedDict


class Check(TypedDict):
    """One check: its light (``green``, ``amber``, ``unknown``, ``red``) and why."""

    name: str
    light: str
    sentence: str


class Readiness(TypedDict):
    """How ready a system is for a recovery to ``site``; ``total`` is the worst of the checks."""

    system: str
    site: str
    at: float
    total: str
    checks: list[Check]


class ReadinessAnswer(TypedDict):
    """Every system, or the one that was asked for."""

    schema_version: int
    at: float
    systems: list[Readiness]
