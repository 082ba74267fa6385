"""The HTTP application: its routes and pages behind the gate. It listens on a Unix socket and on loopback alone."""

from __future__ import annotations

from fastapi import FastAPI

from console.api import (
    alertmanager,
    backups,
    configuration,
    downtimes,
    drift,
    estate,
    findings,
    joint,
    metrics,
    overrides,
    plans,
    readiness,
    rights,
    runs,
    sla,
    tokens,
    year,
)
from console.api.desk import Desk
from console.api.gate import Gate
from console.api.replies import add_error_replies
from console.api.streams import Streams
from console.web import ahead as ahead_page
from console.web import backups as backups_page
from console.web import findings as findings_page
from console.web import joint as joint_page
from console.web import overrides as overrides_page
from console.web import pages
from console.web import readiness as readiness_page
from console.web import sla as sla_page
from console.web.render import make_environment

ZONE_HEADER = "Karaula-Timezone"  # times are Unix seconds; this is where people live


def make_app(desk: Desk, hosts: frozenset[str]) -> FastAPI:
    """Return the application. ``hosts`` are the Host header values that are served over TCP."""
    app = FastAPI(title="Karaula", version=desk.version, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.streams = Streams()
    app.state.headers = {}
    change_desk(app, desk)
    for routes in (
        metrics.router,
        estate.router,
        downtimes.router,
        backups.router,
        alertmanager.router,
        configuration.router,
        plans.router,
        readiness.router,
        overrides.router,
        drift.router,
        tokens.router,
        rights.router,
        findings.router,
        year.router,
        runs.router,
        joint.router,
        sla.router,
        pages.router,
        ahead_page.router,
        sla_page.router,
        backups_page.router,
        readiness_page.router,
        joint_page.router,
        overrides_page.router,
        findings_page.router,
    ):
        app.include_router(routes)
    app.mount("/static", pages.static)
    add_error_replies(app)
    app.add_middleware(Gate, hosts=hosts, headers=app.state.headers)
    return app


def change_desk(app: FastAPI, desk: Desk) -> None:
    """Serve ``desk`` from the next request on."""
    zone = desk.inventory.estate.timezone
    app.state.desk = desk
    app.state.templates = make_environment(zone)
    app.state.headers[ZONE_HEADER] = zone
