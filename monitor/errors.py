"""The exception tree of the whole distribution; each leaf says whether trying again can help.

KaraulaError
├── InventoryError          mistakes in a configuration file; carries every Problem found
├── CredentialError         a secret's reference cannot be resolved
├── StateError              the state directory cannot be used (locked, full, wrong version)
└── TargetError             something outside did not do what was asked
    ├── Unreachable         no connection, no route, no answer: may pass           (retry: yes)
    ├── DeadlineExceeded    the answer did not come in time; whether the request
    │                       took effect is not known                               (retry: only after a probe)
    ├── SessionLost         the session ended; a new log-in is needed              (retry: yes)
    ├── GarbledReply        an answer that breaks its protocol                      (retry: yes)
    ├── Refused             the target understood and said no                       (retry: no)
    ├── NotFound            the named object does not exist there                   (retry: no)
    └── Untrusted           host key or certificate is not the one we know          (retry: no)
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.problem import Problem


class KaraulaError(Exception):
    """Base of every error this distribution raises on purpose; its text is fit for a user."""


class InventoryError(KaraulaError):
    """One or more mistakes in configuration files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Carry all ``problems`` (at least one), in the order of their places."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CredentialError(KaraulaError):
    """A secret's reference cannot be resolved. The text names the reference, never the secret."""


class StateError(KaraulaError):
    """The state directory cannot be used: held by another daemon, full, damaged, of a newer version."""


class TargetError(KaraulaError):
    """Something outside did not do what was asked.

    ``retry_helps`` says whether the same request may succeed later without anybody's help;
    ``outcome_known`` is False when the request may have taken effect although it failed.
    """

    retry_helps: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True


class Unreachable(TargetError):
    """No connection, no route or no name; the request was not delivered."""

    retry_helps = True


class DeadlineExceeded(TargetError):
    """No answer in time; whether the request took effect is not known."""

    retry_helps = True
    outcome_known = False


class SessionLost(TargetError):
    """The session ended under the request; log in again, and probe before repeating an effect."""

    retry_helps = True
    outcome_known = False


class GarbledReply(TargetError):
    """An answer that breaks its protocol."""

    retry_helps = True
    outcome_known = False


class Refused(TargetError):
    """The target understood the request and said no."""


class NotFound(TargetError):
    """The object named in the request does not exist at the target."""


class Untrusted(TargetError):
    """The host key or certificate is not the one the inventory trusts; nothing was sent."""


def in_words(error: OSError) -> str:
    """Return what the operating system says of ``error`` (``Connection refused``); asyncio puts other text there."""
    if error.errno is None or isinstance(error, ssl.SSLError | socket.gaierror):
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)
