"""The lab's border routers, asked by gufo-snmp."""

from __future__ import annotations

import pytest
from gufo.snmp import SnmpVersion
from gufo.snmp.aio import SnmpSession
from server_kit import running

from lab.servers import snmp_agent

pytestmark = pytest.mark.anyio
INTERFACE = "1.3.6.1.2.1.2.2.1.8.{}"
PEER = "1.3.6.1.2.1.15.3.1.2.{}"


async def test_the_states_follow_the_links_and_the_traffic(tmp_path) -> None:
    async with running(tmp_path, snmp_agent.servers) as lab:
        router = lab.estate.plan.routers["blace"]

        async def states() -> list[object]:
            (first, peer_1), (second, peer_2) = router.links["primary"], router.links["backup"]
            oids = [INTERFACE.format(first), PEER.format(peer_1), INTERFACE.format(second), PEER.format(peer_2)]
            community = lab.identity.secret(router.community)
            asked = (router.address, router.port, community, SnmpVersion.v2c)
            names = ("addr", "port", "community", "version")
            async with SnmpSession(**dict(zip(names, asked, strict=True)), timeout=4.0) as agent:
                found = await agent.get_many(oids)
            return [found[oid] for oid in oids]

        assert await states() == [1, 6, 1, 6]
        lab.fault("move-traffic", "blace")
        assert await states() == [1, 3, 1, 6]
        lab.heal("move-traffic", "blace")
        lab.fault("cut-link", "blace/primary")
        assert await states() == [2, 3, 1, 6]
        lab.fault("cut-link", "blace/backup")
        with pytest.raises(TimeoutError):
            await states()
