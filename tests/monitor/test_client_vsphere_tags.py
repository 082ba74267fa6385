"""Tags by REST: what is read, and that no trouble of the tag service takes a tag off a VM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from https_kit import Request, Server, reply, serving
from hypothesis import given
from hypothesis import strategies as st
from tls_kit import ThrowawayCa

from monitor.clients.http import HttpClient
from monitor.clients.vsphere_tags import AFTER_REFUSAL_S, SESSION, Tag, TagFollower, Tagged, _Service
from monitor.clock import ManualClock
from monitor.credential import Secret
from monitor.errors import GarbledReply

WEB, GOLD = Tag("NCTS", "web"), Tag("Backup", "gold")
VM, HOST = {"id": "vm-7", "type": "VirtualMachine"}, {"id": "host-1", "type": "HostSystem"}
CATEGORIES = {"c1": "Backup", "c2": "NCTS"}
TAGS = {"t1": ("c2", "database"), "t2": ("c2", "web"), "t3": ("c1", "gold")}


class Vcenter:
    """A tag service as VMware documents it below ``/api``; ``wrong`` answers in its place."""

    def __init__(self) -> None:
        self.bears: dict[str, list[dict[str, str]]] = {"t2": [VM, HOST], "t3": []}
        self.wrong: Callable[[Request], bytes | None] | None = None
        self.sessions: set[str] = set()
        self.asked: list[str] = []

    def answer(self, request: Request, _connection: object) -> bytes | None:
        self.asked.append(f"{request.method} {request.path}")
        if self.wrong is not None and (answer := self.wrong(request)) is not None:
            return answer
        if request.path == "/api/session" and request.method == "POST":
            self.sessions.add(session := f"s{len(self.asked)}")
            return said(session, 201)
        session = request.headers.get(SESSION, "")
        if session not in self.sessions:
            return said({"error_type": "UNAUTHENTICATED"}, 401)
        if request.method == "DELETE":
            self.sessions.remove(session)
            return reply(204, b"")
        return self.read(request.path.removeprefix("/api/cis/tagging/"), json.loads(request.body or b"{}"))

    def read(self, path: str, body: dict[str, str | list[str]]) -> bytes:
        if path == "category":
            return said(list(CATEGORIES))
        if path.startswith("category/"):
            return said({"name": CATEGORIES[path[9:]]}) if path[9:] in CATEGORIES else said({}, 404)
        if path.startswith("tag/"):
            return said({"name": TAGS[path[4:]][1]}) if path[4:] in self.bears or path[4:] == "t1" else said({}, 404)
        if path == "tag?action=list-tags-for-category":
            return said([key for key, (category, _) in TAGS.items() if category == body["category_id"]])
        assert path == "tag-association?action=list-attached-objects-on-tags"
        return said([{"tag_id": key, "object_ids": self.bears[key]} for key in body["tag_ids"]])


def said(document: object, status: int = 200) -> bytes:
    return reply(status, json.dumps(document).encode())


class Followed:
    def __init__(self, vcenter: Vcenter, follower: TagFollower, clock: ManualClock) -> None:
        self.vcenter, self.follower, self.clock = vcenter, follower, clock

    async def after(self, seconds: float) -> Tagged:
        """Let time pass, have read what is due, and return what is known of the tag ``web``."""
        self.clock.advance(seconds)
        self.follower.begin_when_due("8.0.1.0")
        await self.follower.settled(60)
        return self.follower.tagged[WEB]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> ThrowawayCa:
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@contextmanager
def following(ca: ThrowawayCa, bundle: Path | None = None) -> Iterator[Followed]:
    vcenter, clock = Vcenter(), ManualClock()
    with serving(ca.server("127.0.0.1"), vcenter.answer) as server:
        yield Followed(vcenter, followed(server, bundle or ca.bundle, clock), clock)


def followed(server: Server, bundle: Path, clock: ManualClock) -> TagFollower:
    login = ("karaula", Secret("secret"))
    place = (server.address, server.port)
    return TagFollower(HttpClient(bundle), place, login, (WEB, GOLD), interval_s=60, clock=clock)


@pytest.mark.anyio
async def test_vms_by_tag_in_one_session_that_is_ended(ca: ThrowawayCa) -> None:
    with following(ca) as it:
        assert it.follower.tagged[WEB] == Tagged(None, None, "they are not read yet")
        first = await it.after(0)
        assert (first.vms, first.trouble) == (frozenset({"vm-7"}), "")  # a host that bears it is no VM
        assert it.follower.tagged[GOLD].vms == frozenset()
        asked = len(it.vcenter.asked)
        await it.after(59)
        assert len(it.vcenter.asked) == asked
        it.vcenter.bears["t2"] = []
        assert (await it.after(1)).vms == frozenset()
        assert len(it.vcenter.asked) == asked + 2 * 3  # what was found once is not looked for again
        assert len(it.vcenter.sessions) == 1
        await it.follower.close(5)
        assert it.vcenter.sessions == set()


@pytest.mark.anyio
async def test_a_session_that_ran_out_is_renewed_within_the_reading(ca: ThrowawayCa) -> None:
    with following(ca) as it:
        await it.after(0)
        it.vcenter.sessions.clear()
        assert (await it.after(60)).trouble == ""
        assert len(it.vcenter.sessions) == 1


@pytest.mark.anyio
async def test_a_tag_that_has_another_id_or_name_now_is_looked_for_anew(
    ca: ThrowawayCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    with following(ca) as it:
        await it.after(0)
        monkeypatch.setitem(TAGS, "t2", ("c2", "front"))
        monkeypatch.setitem(TAGS, "t1", ("c2", "web"))
        it.vcenter.bears["t1"] = [{**VM, "id": "vm-9"}]
        assert (await it.after(60)).vms == frozenset({"vm-9"})


@pytest.mark.anyio
async def test_a_tag_that_is_gone_is_not_borne_by_nobody(ca: ThrowawayCa, monkeypatch: pytest.MonkeyPatch) -> None:
    with following(ca) as it:
        monkeypatch.delitem(CATEGORIES, "c2")
        never = await it.after(0)
        assert never.vms is None
        assert "shows user 'karaula' no category 'NCTS' (it is not there, or not for this user to see" in never.trouble
        assert it.follower.tagged[GOLD].trouble == ""  # the other tag is none the worse
        monkeypatch.undo()
        assert (await it.after(60)).vms == frozenset({"vm-7"})
        monkeypatch.delitem(TAGS, "t2")
        del it.vcenter.bears["t2"]
        gone = await it.after(60)
        assert gone.vms == frozenset({"vm-7"})
        assert "no tag 'web' of category 'NCTS'" in gone.trouble


@pytest.mark.anyio
async def test_a_refused_log_in_is_not_repeated_until_the_account_locks(ca: ThrowawayCa) -> None:
    with following(ca) as it:
        it.vcenter.wrong = lambda _: said({"error_type": "UNAUTHENTICATED"}, 401)
        refused = await it.after(0)
        assert refused.vms is None
        assert "does not accept user 'karaula' with this password; asked again in 5 min" in refused.trouble
        assert "secret" not in refused.trouble
        for _ in range(4):
            await it.after(60)
        assert len(it.vcenter.asked) == 1
        it.vcenter.wrong = None
        assert (await it.after(AFTER_REFUSAL_S)).trouble == ""


@pytest.mark.anyio
async def test_another_certificate_than_the_vcenters_is_told_nothing(ca: ThrowawayCa, tmp_path: Path) -> None:
    with following(ca, ThrowawayCa(tmp_path, "Somebody else").bundle) as it:
        assert "certificate that is not trusted" in (await it.after(0)).trouble
        assert it.vcenter.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "wrong",
    [
        said({}, 500),
        said({}, 503),
        said({}, 403),
        said({}, 404),
        said("no object"),
        said([1, 2]),
        said([{"tag_id": "t2"}]),
        said([{"tag_id": "t2", "object_ids": [7]}]),
        said([{"tag_id": "t2", "object_ids": {"id": "x"}}]),
        said(None),
        reply(200, b"{"),
        reply(200, b"[" * 100_000),
        b"not http\r\n\r\n",
        b"",
    ],
)
@pytest.mark.parametrize("where", ["category", "tag/", "tag-association"])
async def test_whatever_goes_wrong_what_was_read_stays(
    ca: ThrowawayCa, wrong: bytes, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with following(ca) as it:
        before = await it.after(0)
        if not wrong:  # nothing is ever answered
            monkeypatch.setattr("monitor.clients.vsphere_tags.READING_S", 1.0)
        it.vcenter.wrong = lambda request: (wrong or b"") if f"/tagging/{where}" in request.path else None
        after = await it.after(60)
        if where == "tag-association" and wrong == said(None):  # an empty list is left out
            assert (after.vms, after.trouble) == (frozenset(), "")
            return
        assert (after.vms, after.at) == (before.vms, before.at)
        assert after.trouble
        it.vcenter.wrong = None
        monkeypatch.undo()
        assert (await it.after(AFTER_REFUSAL_S)).trouble == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
    )
)
def test_no_answer_breaks_the_reading(answer: object) -> None:
    """Every JSON document in the place of the attached objects is VMs, or garbage by name."""

    class Says:
        status, body = 200, json.dumps(answer).encode()

    class Http:
        async def request(self, *_: object, **__: object) -> Says:
            return Says()

    service = _Service(Http(), ("127.0.0.1", 443), ("karaula", Secret("x")), ManualClock())
    try:
        found = asyncio.run(service._attached("t2", 60.0))
    except GarbledReply:
        return
    assert found == frozenset() or all(isinstance(one, str) for one in found)
