"""The page that says what a run that waits for a person would meet if it began now; the world is asked, not changed."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from console.api.desk import desk_of
from console.web.render import page
from dr.engine.ahead import Met, look_ahead
from dr.journal.run import RunState

router = APIRouter(include_in_schema=False)
# The badge's colour, and its words: no state is told by colour alone.
BADGES = {
    Met.HOLDS: ("ok", "holds already"),
    Met.AS_WANTED: ("ok", "as wanted"),
    Met.TO_DO: ("plain", "to be done"),
    Met.IN_THE_WAY: ("down", "in the way"),
    Met.NOT_KNOWN: ("unknown", "not known"),
    Met.NOT_ASKED: ("plain", "not asked"),
}


@router.get("/runs/{run_id}/now", response_class=HTMLResponse)
async def ahead_page(request: Request, run_id: str) -> Response:
    """Look at what each step of a waiting run would meet; of one that has begun its own page tells more.

    It asks hosts, so no page of another origin may have it done by whoever looks at that.
    """
    desk = desk_of(request)
    run = desk.orchestrator.run(run_id)
    elsewhere = request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    if elsewhere or run.state is not RunState.WAITING:
        return RedirectResponse(f"/runs/{run.id}", 303)
    token = desk.orchestrator.tokens.above(run.system)
    met = await look_ahead(desk.orchestrator.performer, run.plan, token, desk.clock.now())
    return page(request, "ahead.html", run=run, met=met, headline=headline([one.met for one in met]), badges=BADGES)


def headline(met: list[Met]) -> str:
    """Say in one sentence how it looks."""
    asked = f"{len(met) - met.count(Met.NOT_ASKED)} of {len(met)} steps could be asked"
    bad = [f"{met.count(word)} {BADGES[word][1]}" for word in (Met.IN_THE_WAY, Met.NOT_KNOWN) if word in met]
    return f"{asked}: {', '.join(bad)}" if bad else f"{asked}, and nothing is in the way"
