"""A directory at each site of the two, dr's a replica of main's, and the log-in of hosts that asks them for keys.

``python3 two_site_directory.py FOLDER USER`` is what sshd runs (AuthorizedKeysCommand): it asks the directories that
``FOLDER/directories.json`` names, its own site's first, and writes down in ``FOLDER/logins`` which one answered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slapd_kit import Slapd
    from tls_kit import ThrowawayCa

PORT, TLS_PORT = 389, 636
LONG_S = 60.0
SUFFIX = "dc=customs,dc=example"
PEOPLE = f"ou=people,{SUFFIX}"
READER, PASSWORD = f"uid=hosts,{PEOPLE}", "person"
SCHEMA = """\
attributetype ( 1.3.6.1.4.1.24552.500.1.1.1.13 NAME 'sshPublicKey'
  EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.3.6.1.4.1.24552.500.1.1.2.0 NAME 'ldapPublicKey' SUP top AUXILIARY MUST ( sshPublicKey $ uid ) )
"""
PERSON = """\

dn: uid={uid},{people}
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
"""


def account(uid: str, password: str = "", key: str = "") -> str:
    """Return an entry as LDIF."""
    text = PERSON.format(uid=uid, people=PEOPLE)
    text += f"userPassword: {password}\n" if password else ""
    return text + (f"objectClass: ldapPublicKey\nsshPublicKey: {key.strip()}\n" if key else "")


def directory(ca: ThrowawayCa, address: str, *, key: str = "", replica_of: str = "") -> Slapd:
    """Prepare a directory that knows ``key`` as that of the account root, or one that has it from another."""
    from slapd_kit import ADMIN, ENTRIES, Slapd  # noqa: PLC0415 - sshd runs this file without the kits
    from slapd_kit import PASSWORD as ADMINS  # noqa: PLC0415 - likewise

    if replica_of:
        follows = (
            f"syncrepl rid=1 provider=ldaps://{replica_of}:{TLS_PORT} type=refreshAndPersist retry="
            f'"1 +" searchbase="{SUFFIX}" bindmethod=simple binddn="{ADMIN}" credentials={ADMINS}'
            f" tls_cacert={ca.bundle}\n"
        )
        return Slapd(ca, address, TLS_PORT, port=PORT, schema=SCHEMA, database=follows, entries="")
    entries = ENTRIES + account("hosts", PASSWORD) + account("root", key=key)
    leads = "moduleload syncprov\n"
    return Slapd(
        ca, address, TLS_PORT, port=PORT, schema=SCHEMA + leads, database="overlay syncprov\n", entries=entries
    )


def wait_replicated(url: str, ca: Path) -> None:
    give_up = time.monotonic() + LONG_S
    while not key_of("root", url, ca):
        assert time.monotonic() < give_up, f"{url} has nothing of its provider"
        time.sleep(0.05)


def key_of(user: str, url: str, ca: Path) -> str:
    """Return the key of an account; nothing where the directory does not answer or does not know it."""
    search = ("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=10", "-H", url, "-D", READER)
    about = ("-w", PASSWORD, "-b", PEOPLE, f"(uid={user})", "sshPublicKey")
    env = {**os.environ, "LDAPTLS_CACERT": str(ca)}
    said = subprocess.run([*search, *about], capture_output=True, text=True, check=False, env=env).stdout
    return next((line.partition(": ")[2] for line in said.splitlines() if line.startswith("sshPublicKey: ")), "")


def log_in_by(folder: Path, directories: dict[str, str], options: str, ca: Path) -> tuple[str, ...]:
    """Have a host's log-ins ask the directories in their order; return what its sshd is to be told."""
    told = {"directories": directories, "options": options, "ca": str(ca)}
    (folder / "directories.json").write_text(json.dumps(told))
    (folder / "logins").write_text("")
    command = f"AuthorizedKeysCommand {sys.executable} {Path(__file__).resolve()} {folder} %u"
    return command, "AuthorizedKeysCommandUser root"


def main() -> None:
    folder, user = Path(sys.argv[1]), sys.argv[2]
    told = json.loads((folder / "directories.json").read_text())
    for site, url in told["directories"].items():
        if key := key_of(user, url, Path(told["ca"])):
            with (folder / "logins").open("a") as logins:
                logins.write(f"{site}\n")
            sys.stdout.write(f"{told['options']} {key}\n")
            return


if __name__ == "__main__":
    main()
