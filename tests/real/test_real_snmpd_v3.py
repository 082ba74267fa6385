"""SNMPv3 against net-snmp's snmpd: every hash, wrong keys, and an agent that starts anew or forgets who it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_real_snmpd import NAME, UPTIME, Snmpd

from monitor.clients.snmp import Agents, User, Value
from monitor.credential import Secret
from monitor.errors import DeadlineExceeded, Refused, TargetError

pytestmark = [pytest.mark.real, pytest.mark.anyio]
HASHES = {"sha": "SHA", "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
AUTH, PRIV = Secret("k-authenticates"), Secret("k-keeps-private")


class Agent(Snmpd):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        lines = [f'createUser {name} {word} "{AUTH.reveal()}" AES "{PRIV.reveal()}"' for name, word in HASHES.items()]
        lines += [f"rouser {name} auth" for name in HASHES]
        with (folder / "snmpd.conf").open("a") as conf:
            conf.write("\n".join(lines) + "\n")
        self.agents = Agents()

    async def ask(self, user: User, timeout_s: float = 20.0) -> dict[str, Value]:
        return await self.agents.get("127.94.7.61", self.port, user, [NAME, UPTIME], timeout_s)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    made = Agent(tmp_path)
    await made.start()
    yield made
    made.stop()


async def test_every_hash_signed_alone_and_encrypted(agent: Agent) -> None:
    for name in HASHES:
        for privacy in (PRIV, None):
            found = await agent.ask(User(name, name, AUTH, privacy))
            assert found[NAME] == b"rack-1.customs.example", name
            assert isinstance(found[UPTIME], int)


@pytest.mark.parametrize(
    ("user", "error", "words"),
    [
        (User("nobody", "sha", AUTH, PRIV), Refused, "knows no such user"),
        (User("sha", "sha", Secret("not-that-one"), PRIV), Refused, "authentication password"),
        (User("sha", "sha256", AUTH, PRIV), Refused, "authentication password"),
        (User("sha", "sha", AUTH, Secret("not-that-one")), DeadlineExceeded, "wrong privacy password"),
    ],
)
async def test_what_is_wrong_is_told_and_hidden(agent: Agent, user: User, error: type[TargetError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        await agent.ask(user, timeout_s=1.0 if error is DeadlineExceeded else 20.0)
    assert not any(secret in str(caught.value) for secret in ("not-that-one", AUTH.reveal(), PRIV.reveal()))


@pytest.mark.parametrize("remembered", [{"boots": 7}, {"time": 100_000}, {"boots": 0, "time": 5}])
async def test_an_agent_started_anew_is_followed(agent: Agent, remembered: dict[str, int]) -> None:
    """What was remembered of its clock is from before: more boots than it counts now, or a later hour."""
    user = User("sha256", "sha256", AUTH, PRIV)
    await agent.ask(user)
    [(place, engine)] = agent.agents._engines.items()
    agent.agents._engines[place] = replace(engine, **remembered)
    assert (await agent.ask(user))[NAME] == b"rack-1.customs.example"
    after = agent.agents._engines[place]
    assert (after.id, after.boots) == (engine.id, engine.boots)
    assert 0 <= after.time - engine.time < 60


async def test_an_agent_that_forgot_who_it_was_is_met_anew(agent: Agent) -> None:
    user = User("sha256", "sha256", AUTH, PRIV)
    await agent.ask(user)
    before = next(iter(agent.agents._engines.values()))
    agent.stop()
    await asyncio.sleep(1.1)  # the engine's ID is made of the second at which it was made
    await agent.start()
    assert (await agent.ask(user))[NAME] == b"rack-1.customs.example"
    assert next(iter(agent.agents._engines.values())).id != before.id


async def test_many_questions_at_once(agent: Agent) -> None:
    user = User("sha", "sha", AUTH, PRIV)
    found = await asyncio.gather(*(agent.ask(user) for _ in range(50)))
    assert {one[NAME] for one in found} == {b"rack-1.customs.example"}
