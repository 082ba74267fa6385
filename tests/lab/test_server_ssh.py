"""The lab's SSH hosts, used by paramiko and OpenSSH."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import paramiko
import pytest
from real_kit import need
from server_kit import NETWORK, running

from lab.servers import ssh_host

MAIN, DR, VAULT = f"{NETWORK}.1.22", f"{NETWORK}.2.22", f"{NETWORK}.2.30"
HOSTS = {"ncts-db-main": MAIN, "ncts-db-dr": DR, "vault-dr": VAULT}
pytestmark = pytest.mark.anyio


def log_in(folder: Path, address: str, user: str = "karaula", wait_s: float = 5) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(folder / "credentials" / "known_hosts"))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(
            address,
            2222,
            username=user,
            pkey=paramiko.Ed25519Key.from_private_key_file(str(folder / "credentials" / "ssh-karaula")),
            allow_agent=False,
            look_for_keys=False,
            timeout=wait_s,
            banner_timeout=wait_s,
            auth_timeout=wait_s,
        )
    except BaseException:
        client.close()
        raise
    return client


def execute(client: paramiko.SSHClient, command: str, wait_s: float = 5) -> tuple[int, str, str]:
    _, output, errors = client.exec_command(command, timeout=wait_s)
    said, complained = output.read().decode(), errors.read().decode()
    return output.channel.recv_exit_status(), said, complained


class Shell:
    """Runs commands on the hosts of one system, one log-in each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, address: str, command: str) -> tuple[int, str, str]:
        def talk() -> tuple[int, str, str]:
            client = log_in(self._folder, address)
            try:
                return execute(client, command)
            finally:
                client.close()

        return await asyncio.to_thread(talk)

    async def json(self, address: str, command: str) -> dict[str, object]:
        status, output, errors = await self(address, command)
        assert (status, errors) == (0, "")
        return json.loads(output)


async def test_status_promote_demote_and_follow(tmp_path):
    shell = Shell(tmp_path)
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        for n in range(3):
            lab.estate.orders.declare("ncts", "main", f"D-{n}")
        status = await shell.json(MAIN, "ledgerctl status")
        assert status.keys() == {"role", "position", "received_at", "epoch", "discarded"}
        assert (status["role"], status["position"], status["epoch"]) == ("primary", 3, 1)
        for _ in range(2):  # repeating is safe
            assert (await shell.json(DR, "ledgerctl promote --epoch 5"))["role"] == "primary"
            assert (await shell.json(MAIN, "ledgerctl demote --peer dr --epoch 5"))["role"] == "standby"
        assert [one.changed for one in lab.estate.effects.all("ncts") if one.what == "promote"] == [True, False]
        code, output, errors = await shell(MAIN, "ledgerctl promote --epoch 4")
        assert (code, output) == (3, "")
        assert "stale epoch" in errors
        assert await shell.json(MAIN, "ledgerctl follow --peer dr") == await shell.json(MAIN, "ledgerctl status")
        assert (await shell.json(MAIN, "ledgerctl status"))["discarded"] == 3
        lab.fault("stop-database", "ncts/dr")
        assert (await shell.json(DR, "ledgerctl status"))["role"] == "stopped"
        assert (await shell(DR, "ledgerctl promote --epoch 6"))[0] == 1
        assert (await shell(DR, "systemctl is-active ledger"))[:2] == (3, "inactive\n")


async def test_backup_check_restore_query_and_discard(tmp_path):
    shell = Shell(tmp_path)
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        lab.estate.orders.declare("ncts", "main", "D-1")
        manifest = await shell.json(MAIN, "ledgerctl backup ncts-1")
        assert manifest.keys() == {
            "backup", "system", "records", "position", "newest_id", "sha256", "bytes", "taken_at",
        }  # fmt: skip
        assert await shell.json(MAIN, "ledgerctl backup ncts-1") == manifest
        assert await shell.json(VAULT, "ledgerctl check ncts-1") == manifest
        held = {"records": 1, "position": 1, "newest_id": "D-1"}
        assert await shell.json(VAULT, "ledgerctl restore ncts-1 scratch-1") == held
        assert await shell.json(VAULT, "ledgerctl query scratch-1") == held
        assert await shell.json(VAULT, "ledgerctl discard scratch-1") == {"discarded": True}
        assert await shell.json(VAULT, "ledgerctl discard scratch-1") == {"discarded": False}
        assert (await shell(VAULT, "ledgerctl query scratch-1"))[0] == 4
        lab.fault("corrupt-backup", "ncts")
        code, output, errors = await shell(VAULT, "ledgerctl check ncts-1")
        assert (code, output) == (4, "")
        assert "damaged" in errors
        assert (await shell(VAULT, "ledgerctl check ncts-2"))[0] == 4
        lab.fault("lie", "vault-dr", command="ledgerctl check")
        assert await shell.json(VAULT, "ledgerctl check ncts-1") == manifest


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("false", 1),
        ("uptime", 0),
        ("df -P", 0),
        ("systemctl is-active ssh.service", 0),
        ("systemctl is-active nothing", 3),
        ("rm -rf /", 127),
        ("ledgerctl", 2),
        ("ledgerctl check ncts-1", 2),
        ("ledgerctl promote", 2),
        ("ledgerctl promote --epoch many", 2),
        ("ledgerctl demote --epoch 2 --peer main", 2),
        ("ledgerctl backup ../etc", 2),
        ("ledgerctl status 'now", 2),
    ],
)
async def test_plain_words_and_usage(tmp_path, command, code):
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        status, output, errors = await Shell(tmp_path)(MAIN, command)
        assert status == code
        assert bool(errors) == (code in (2, 127))
        assert not (output and errors)
        assert not lab.estate.effects.all("ncts")


async def test_a_lie_is_plausible_and_does_nothing(tmp_path):
    shell = Shell(tmp_path)
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        lab.fault("lie", "ncts-db-dr", command="ledgerctl promote")
        answer = await shell.json(DR, "ledgerctl promote --epoch 7")
        assert (answer["role"], answer["epoch"]) == ("primary", 7)
        assert (await shell.json(DR, "ledgerctl status"))["role"] == "standby"
        assert not [one for one in lab.estate.effects.all("ncts") if one.by == "ssh"]


async def test_only_the_one_key_and_user_and_only_commands(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts"):

        def try_in() -> None:
            with pytest.raises(paramiko.AuthenticationException):
                log_in(tmp_path, MAIN, user="root")
            transport = paramiko.Transport(socket.create_connection((MAIN, 2222)))
            transport.start_client(timeout=60)
            with pytest.raises(paramiko.BadAuthenticationType) as refused:
                transport.auth_password("karaula", "guess")
            assert refused.value.allowed_types == ["publickey"]
            transport.close()
            client = log_in(tmp_path, MAIN)
            shell = client.get_transport().open_session()
            shell.invoke_shell()
            assert shell.recv_exit_status() == 2
            with pytest.raises(paramiko.SSHException):
                client.open_sftp()
            with pytest.raises(paramiko.ChannelException):
                client.get_transport().open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1))
            client.close()

        await asyncio.to_thread(try_in)


async def test_a_changed_host_key_ends_connections_and_is_refused(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        client = await asyncio.to_thread(log_in, tmp_path, MAIN)
        lab.fault("change-host-key", "ncts-db-main")
        with pytest.raises((paramiko.SSHException, OSError, EOFError)):
            await asyncio.to_thread(execute, client, "true")
        client.close()
        with pytest.raises(paramiko.BadHostKeyException):
            await asyncio.to_thread(log_in, tmp_path, MAIN)
        lab.heal("change-host-key", "ncts-db-main")
        assert (await Shell(tmp_path)(MAIN, "true"))[0] == 0


async def test_a_hanging_host_answers_neither_old_nor_new_connections_until_it_is_well(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        client = await asyncio.to_thread(log_in, tmp_path, MAIN)
        lab.fault("hang-host", "ncts-db-main")
        with pytest.raises((paramiko.SSHException, TimeoutError)):
            await asyncio.to_thread(execute, client, "true", wait_s=0.2)
        with pytest.raises((paramiko.SSHException, TimeoutError)):
            await asyncio.to_thread(log_in, tmp_path, MAIN, wait_s=0.3)
        lab.heal("hang-host", "ncts-db-main")
        assert (await asyncio.to_thread(execute, client, "true"))[0] == 0
        client.close()


async def test_a_dead_host_refuses_and_is_back_with_power(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts") as lab:
        client = await asyncio.to_thread(log_in, tmp_path, MAIN)
        lab.estate.orders.switch_outlets("pdu-main", "ncts", on=False)
        with pytest.raises((paramiko.SSHException, OSError, EOFError)):
            await asyncio.to_thread(execute, client, "true")
        client.close()
        with pytest.raises(paramiko.ssh_exception.NoValidConnectionsError):
            await asyncio.to_thread(log_in, tmp_path, MAIN)
        lab.estate.orders.switch_outlets("pdu-main", "ncts", on=True)
        assert (await Shell(tmp_path)(MAIN, "true"))[0] == 0


async def test_many_commands_over_one_connection_side_by_side(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts"):
        client = await asyncio.to_thread(log_in, tmp_path, MAIN)
        done = await asyncio.gather(*(asyncio.to_thread(execute, client, "ledgerctl status") for _ in range(8)))
        assert {code for code, _, _ in done} == {0}
        client.close()


async def test_clients_that_come_and_go_leave_nothing_behind(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts"):
        before = len(asyncio.all_tasks())
        for _ in range(3):
            client = await asyncio.to_thread(log_in, tmp_path, MAIN)
            client.close()
            _, writer = await asyncio.open_connection(MAIN, 2222)
            writer.transport.abort()  # before any log-in
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - nobody tells when a task has ended
                await asyncio.sleep(0.02)


@pytest.mark.real
async def test_debians_ssh_client_runs_a_command(tmp_path):
    async with running(tmp_path, ssh_host.servers, only="ncts"):
        credentials = tmp_path / "credentials"
        options = [
            f"IdentityFile={credentials / 'ssh-karaula'}",
            f"UserKnownHostsFile={credentials / 'known_hosts'}",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
        ]
        words = [word for option in options for word in ("-o", option)]
        command = [need("ssh", "openssh-client"), "-F", "none", *words, "-p", "2222", f"karaula@{MAIN}", "hostname"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ncts-db-main\n", "")
