"""A vCenter's tags by REST: sessions, categories, tags and what bears them.

Source: vSphere Automation API 8.0, ``/api/session`` and ``/api/cis/tagging``. A session ends by DELETE and after five
minutes without a request. The fault ``fail-tags`` is a service that is starting or ill (503), ``untag-vm`` takes all
tags off one VM.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from lab.machines import Machine
from lab.scenario import Estate
from lab.servers.http_server import Request, Response, json_response

IDLE_S = 300.0
BELOW = "/api/cis/tagging"
Answer = Response | None


class TagService:
    """The tags of the vCenter ``key``, whose one user has ``password``."""

    def __init__(self, estate: Estate, key: str, password: str) -> None:
        self._estate = estate
        self._key = key
        self._password = password
        self._sessions: dict[str, float] = {}  # when each was last used
        self._ended = 0
        self._actions: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Answer]] = {
            ("tag", "list-tags-for-category"): self._tags_of,
            ("tag-association", "list-attached-objects-on-tags"): self._bearers_of,
        }

    def serve(self, request: Request) -> Response:
        """Answer one request."""
        if self._estate.faults.active("fail-tags", self._key):
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
        if request.path == "/api/session" and request.method == "POST":
            return self._log_in(request)
        session = request.headers.get("vmware-api-session-id", "")
        now, ended = self._estate.now(), self._estate.injuries.session_generation[self._key]
        if ended != self._ended:
            self._ended = ended
            self._sessions.clear()
        if now - self._sessions.pop(session, -IDLE_S) > IDLE_S:
            return _error(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED")
        if request.path == "/api/session" and request.method == "DELETE":
            return Response(HTTPStatus.NO_CONTENT)
        self._sessions[session] = now
        try:
            return self._read(request) or _error(HTTPStatus.NOT_FOUND, "NOT_FOUND")
        except (ValueError, AttributeError):  # not JSON, or no object
            return _error(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT")

    def _log_in(self, request: Request) -> Response:
        user, password = request.basic_credentials() or ("", "")
        wanted = self._estate.plan.vcenters[self._key].user
        if user != wanted or not secrets.compare_digest(password.encode(), self._password.encode()):
            return _error(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED")
        session = secrets.token_hex(16)
        self._sessions[session] = self._estate.now()
        return json_response(session, HTTPStatus.CREATED)

    def _read(self, request: Request) -> Answer:
        kind, _, identity = request.path.removeprefix(f"{BELOW}/").partition("/")
        if request.method == "POST":
            action = self._actions.get((kind, request.query.get("action", "")))
            return None if action is None else action(request.json())
        things = {"category": self._categories(), "tag": self._tags()}.get(kind, {})
        if not identity:
            return json_response(list(things)) if kind in ("category", "tag") else None
        return json_response(things[identity]) if identity in things else None

    def _tags_of(self, asked: Mapping[str, Any]) -> Answer:
        category = asked.get("category_id")
        return json_response([key for key, tag in self._tags().items() if tag["category_id"] == category])

    def _bearers_of(self, asked: Mapping[str, Any]) -> Answer:
        return json_response(
            [
                {
                    "tag_id": key,
                    "object_ids": [{"type": "VirtualMachine", "id": one.moid} for one in self._bearers(key)],
                }
                for key in self._tags()
                if key in asked.get("tag_ids", ())
            ]
        )

    # -- the truth ----------------------------------------------------------------------------------------------------

    def _known(self) -> list[tuple[str, str]]:
        """Return category and name of every tag of this vCenter."""
        plans = (one for one in self._estate.plan.deployments if one.vcenter == self._key)
        return list(dict.fromkeys(tag for one in plans for tag in one.tags.values()))

    def _categories(self) -> dict[str, Any]:
        return {
            _urn("Category", category): {"id": _urn("Category", category), "name": category, "cardinality": "MULTIPLE"}
            for category, _ in self._known()
        }

    def _tags(self) -> dict[str, Any]:
        return {
            _urn("Tag", *tag): {"id": _urn("Tag", *tag), "category_id": _urn("Category", tag[0]), "name": tag[1]}
            for tag in self._known()
        }

    def _bearers(self, key: str) -> list[Machine]:
        return [
            machine
            for machine in self._estate.inventories[self._key].machines.values()
            if key in {_urn("Tag", *tag) for tag in machine.tags}
            and not self._estate.faults.active("untag-vm", f"{self._key}/{machine.name}")
        ]


def _urn(kind: str, *names: str) -> str:
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(names))
    return f"urn:vmomi:InventoryService{kind}:{identity}:GLOBAL"


def _error(status: HTTPStatus, kind: str) -> Response:
    return json_response({"error_type": kind, "messages": []}, status)
