"""VMs by tag, against the REST API of govmomi's simulator (that of vCenters before 7.0 U2)."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import ssl

import httpx2
import pytest
from vcsim.beside import PASSWORD, VM

from monitor.clients.vsphere_tags import Tag
from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.vsphere import Rule, VsphereParams, VsphereProbe

pytestmark = [pytest.mark.anyio, pytest.mark.real]

BY_TAG = Rule("ncts/main/web", "", "", "", 1, Tag("NCTS", "web"))
OTHER = "DC0_H0_VM1"


class Administrator:
    """Makes tags in the simulator and hangs them on VMs, as a person would with govc."""

    def __init__(self, simulator, ca):
        tls = ssl.create_default_context(cafile=ca.bundle)
        self.root = f"https://127.0.0.1:{simulator.port}/rest/com/vmware/cis"
        self.http = httpx2.Client(verify=tls, auth=("administrator", PASSWORD))
        self.http.headers["vmware-api-session-id"] = self.ask("POST", "session")

    def ask(self, method, path, body=None):
        reply = self.http.request(method, f"{self.root}/{path}", json=body)
        reply.raise_for_status()
        return reply.json().get("value") if reply.content else None

    def tag(self, category, name):
        spec = {"name": category, "cardinality": "MULTIPLE", "description": "", "associable_types": []}
        category_id = self.ask("POST", "tagging/category", {"create_spec": spec})
        spec = {"name": name, "description": "", "category_id": category_id}
        return self.ask("POST", "tagging/tag", {"create_spec": spec})

    def hang(self, action, tag, moref):
        where = f"tagging/tag-association/id:{tag}?~action={action}"
        self.ask("POST", where, {"object_id": {"type": "VirtualMachine", "id": moref}})


class Asked:
    """A probe, its target and what it says."""

    def __init__(self, folder, simulator, clock):
        self.clock = clock
        self.probe = VsphereProbe(Credentials(folder), Trust(tls_ca="lab-ca.pem", known_hosts="none"), clock)
        self.params = VsphereParams("vc", "127.0.0.1", simulator.port, "karaula", "vc", rules=(BY_TAG,))

    async def poll(self):
        target = Target("vcenter/vc", "vsphere", self.params, 10, 10)
        return {seen.subject: seen async for seen in self.probe.observe([target])}

    async def after(self, seconds):
        """Let time pass, poll twice with the reading of tags between."""
        self.clock.advance(seconds)
        await self.poll()
        await self.probe._followers[self.params].settled(60)
        return await self.poll()


@pytest.fixture
async def made(start, ca, tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "vc").write_text(f"{PASSWORD}\n")
    (folder / "lab-ca.pem").write_bytes(ca.bundle.read_bytes())
    with start() as simulator:
        it = Asked(folder, simulator, ManualClock())
        administrator = Administrator(simulator, ca)
        yield it, administrator, simulator
        await it.probe.close()
        administrator.http.close()


def finding(seen):
    return seen["vcenter/vc"].facts.get("findings", "")


async def test_a_tag_that_is_attached_or_taken_off_is_seen_within_the_interval(made):
    it, administrator, _ = made
    seen = await it.poll()
    assert "which VMs are of ncts/main/web by tag 'web' of category 'NCTS' is not known: " in finding(seen)
    assert "no category 'NCTS'" in finding(seen)
    await it.probe._sessions[it.params].power(VM, False, 20)
    seen = await it.poll()
    off = seen[f"vm/vc/{VM}"]
    assert off.answer is Answer.UNKNOWN
    assert off.reason.startswith("powered off, and whether a tag makes it one of ncts/main/web is not known: ")
    assert seen[f"vm/vc/{OTHER}"].answer is Answer.OK  # on: well either way

    tag = administrator.tag("NCTS", "web")
    seen = await it.after(60)
    assert finding(seen) == ("0 VMs of ncts/main/web by tag 'web' of category 'NCTS', at least 1 should be there")
    assert seen[f"vm/vc/{VM}"].answer is Answer.OK  # read, and not borne: off is nobody's business

    moref = seen[f"vm/vc/{VM}"].facts["moref"]
    administrator.hang("attach", tag, moref)
    seen = await it.after(60)
    assert (seen[f"vm/vc/{VM}"].answer, seen[f"vm/vc/{VM}"].reason) == (Answer.FAILED, "powered off")
    assert seen[f"vm/vc/{VM}"].facts["belongs_to"] == "ncts/main/web"
    assert finding(seen) == ""

    administrator.hang("detach", tag, moref)
    seen = await it.after(60)
    assert seen[f"vm/vc/{VM}"].answer is Answer.OK
    assert "0 VMs of ncts/main/web" in finding(seen)


async def test_a_tag_service_that_ends_takes_no_tag_off(made, monkeypatch):
    it, administrator, _ = made
    tag = administrator.tag("NCTS", "web")
    seen = await it.poll()
    administrator.hang("attach", tag, seen[f"vm/vc/{VM}"].facts["moref"])
    await it.after(60)
    await it.probe._sessions[it.params].power(VM, False, 20)
    monkeypatch.setattr("monitor.clients.vsphere_tags.FIRST_WITH_API", (0,))  # asks at paths that it does not have
    for _ in range(3):
        seen = await it.after(60)
        assert (seen[f"vm/vc/{VM}"].answer, seen[f"vm/vc/{VM}"].reason) == (Answer.FAILED, "powered off")
        assert finding(seen) == ""  # three intervals may pass
    seen = await it.after(60)
    assert seen[f"vm/vc/{VM}"].answer is Answer.FAILED
    assert "VMs of ncts/main/web by tag 'web' of category 'NCTS' are those of " in finding(seen)
    monkeypatch.undo()
    assert finding(await it.after(60)) == ""


async def test_the_session_is_ended_with_the_probe(made):
    it, _, simulator = made
    await it.poll()
    session = it.probe._followers[it.params]._service._session
    assert session
    await it.probe.close()
    reply = httpx2.post(
        f"https://127.0.0.1:{simulator.port}/rest/com/vmware/cis/session?~action=get",
        verify=False,
        headers={"vmware-api-session-id": session},
    )
    assert reply.status_code == 401
