"""UPS variables from Network UPS Tools' upsd (RFC 9271) through aionut. Reads only, without logging in."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from aionut import (
    AIONUTClient,
    NUTCommandError,
    NUTError,
    NUTLoginError,
    NUTOSError,
    NUTTimeoutError,
)

from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, TargetError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
PASSING = {"DATA-STALE": "upsd has lost touch with the UPS", "DRIVER-NOT-CONNECTED": "the UPS's driver does not run"}
MOST_VARIABLES = 1000
MISREAD = (ValueError, LookupError)  # aionut takes a line's words apart without looking how many there are


async def variables(address: str, port: int, ups: str, timeout_s: float) -> Mapping[str, str]:
    """Return every variable of ``ups`` with its value.

    Raises Unreachable (also when upsd itself lost the UPS), DeadlineExceeded, NotFound, Refused, GarbledReply.
    """
    where = f"{ups}@{address}:{port}"
    if not NAME.fullmatch(ups):
        raise NotFound(f"{where}: '{ups}' cannot be the name of a UPS")
    client = AIONUTClient(address, port, timeout=timeout_s, persistent=False)
    try:
        async with asyncio.timeout(timeout_s):
            found: dict[str, str] = await client.list_vars(ups)
    except (TimeoutError, NUTTimeoutError) as error:
        raise DeadlineExceeded(f"{where}: no answer in {timeout_s:g} s") from error
    except NUTOSError as error:
        raise Unreachable(f"{where}: {_why(error)}") from error
    except NUTLoginError as error:
        raise Refused(f"{where}: {_word(error)}") from error
    except NUTCommandError as error:
        raise _refusal(where, _word(error)) from error
    except (NUTError, EOFError, asyncio.LimitOverrunError, *MISREAD) as error:
        raise GarbledReply(f"{where}: not what upsd says: {type(error).__name__}") from error
    finally:
        client.shutdown()
    if len(found) > MOST_VARIABLES:
        raise GarbledReply(f"{where}: {len(found)} variables are more than a UPS has")
    return found


def _why(error: NUTOSError) -> str:
    # asyncio's own text repeats the address.
    number = getattr(error.__cause__, "errno", None)
    return os.strerror(number) if number and number > 0 else str(error)


def _word(error: NUTError) -> str:
    """Return upsd's error word, of ``Error running: LIST VAR x: ERR UNKNOWN-UPS``."""
    found = re.search(r"\bERR ([A-Z-]{1,40})", str(error))
    return found.group(1) if found else "refused"


def _refusal(where: str, word: str) -> TargetError:
    if word == "UNKNOWN-UPS":
        return NotFound(f"{where}: upsd knows no such UPS")
    if word in PASSING:
        return Unreachable(f"{where}: {PASSING[word]} ({word})")
    return Refused(f"{where}: upsd says {word}")
