"""Projects of Ansible's that a playbook's steps may run: where they are, and by which references they get secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from monitor.inventory.checks_hosts import FilePath
from monitor.inventory.values import Model, Reference, Text

BELOW = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"
VARIABLE = r"^[a-z_][a-z0-9_]{0,62}$"
OURS = "karaula_"

FileBelow = Annotated[str, Field(pattern=BELOW, max_length=200, description="a path below the project's folder")]


def _free(name: str) -> str:
    """Return the name of a variable that is an author's to give. Raises ValueError for one of ours."""
    if name.startswith(OURS):
        raise ValueError(f"variables that begin with '{OURS}' are Karaula's own")
    return name


Variable = Annotated[str, Field(pattern=VARIABLE, description="lower case, digits and '_'"), AfterValidator(_free)]


class AnsibleProject(Model):
    """A folder of Ansible's playbooks, roles and ``ansible.cfg``, with its own inventory of hosts.

    Host keys are those of ``trust.known_hosts``, whatever ``ansible.cfg`` says.
    """

    folder: FilePath = Field(description="absolute")
    inventory: FileBelow = Field("inventory", description="its hosts: a file or folder below `folder`")
    user: Text | None = Field(None, description="whom to log in as; left out: as its inventory says")
    credential: Reference | None = Field(None, description="private key; left out: as its inventory says")
    vault_password: Reference | None = Field(None, description="opens what ansible-vault has closed")
    secrets: dict[Variable, Reference] = Field(
        default_factory=dict, description="variables that its playbooks get, such as ansible_become_password"
    )
