"""The morning's message on backups: one mail at the hour of ``notify.morning``, sent once and never forgotten.

That it was sent is written into the calendar's ledger afterwards. A daemon that dies in between sends it again, under
the same Message-ID; a mail server that is down is tried until it takes it, or until the next morning's is due.
"""

from __future__ import annotations

from dr.backups import morning
from dr.backups.proof import proofs
from dr.engine.orchestrator import Orchestrator
from dr.journal.ledger import CalendarLedger
from dr.schedule import slot_ref
from monitor.channels import mail_of
from monitor.clock import Clock
from monitor.errors import TargetError
from monitor.inventory.model import Inventory
from monitor.status.calendar import due_times

JOB = "karaula/morning"  # no key of a schedule has a slash
PAUSE_S = 60.0


class Morning:
    """Ticked from outside; keeps no time of its own."""

    def __init__(self, ledger: CalendarLedger, orchestrator: Orchestrator, clock: Clock, *, sends: bool) -> None:
        """Send nothing unless ``sends``: of several daemons only the one that does recovery tells."""
        self._ledger = ledger
        self._orchestrator = orchestrator
        self._clock = clock
        self._sends = sends
        self._again_at = 0.0
        self._problem = ""

    def problems(self) -> list[str]:
        """Return why the message that is due is not sent yet."""
        return [self._problem] if self._problem else []

    async def tick(self, inventory: Inventory) -> None:
        """Send the message if it is due. Raises StateError; the next tick tries again."""
        cron, now, in_thread = inventory.notify.morning, self._clock.now(), self._orchestrator.in_thread
        if cron is None or not self._sends:
            self._problem = ""
            return
        since = await in_thread(lambda: self._ledger.job_since(JOB, now))
        last = await in_thread(lambda: self._ledger.last_slot(JOB, now))
        due = list(due_times(cron, inventory.estate.timezone, max(since, last or since), now))
        if not due or self._clock.monotonic() < self._again_at:
            return
        mail = mail_of(inventory)
        if mail is None:
            return
        found = proofs(self._orchestrator.runs(), inventory.systems, now)
        reference = slot_ref("backups", due[-1]).translate(str.maketrans("@:+", "---"))
        try:
            await mail.post(morning.subject(found), morning.text(found, inventory.estate.name), reference, now)
        except TargetError as error:
            self._again_at = self._clock.monotonic() + PAUSE_S
            self._problem = f"the morning's message on backups could not be sent: {error}"
            return
        finally:
            await mail.close()
        self._problem = ""
        await in_thread(lambda: self._ledger.claim(JOB, due[-1], "sent", now))
