"""`karaula run deny|accept-loss|pause|answer|resume|retry|ignore|undo|cancel|go-on`: a decision, then its course."""

from __future__ import annotations

import click

from console.cli import joint
from console.cli.pause import Span
from console.cli.run_show import UNDER_WAY, found_run
from console.cli.session import Session, complete_run, complete_step, complete_system, reasoned, talks
from console.cli.watching import no_wait_option, watched

PAUSED, WAITING = frozenset({"PAUSED"}), frozenset({"WAITING"})
MEANT = {"deny": WAITING, "resume": PAUSED, "retry": PAUSED, "ignore": PAUSED}  # the others: whatever is not over
CANCELED = frozenset({"CANCELED"})
ENDING = frozenset({"deny", "cancel", "undo"})
JOINTLY = frozenset({"deny", "cancel"})


def _decide(
    session: Session, run: str, decision: str, *, reason: str = "", step: str = "", answer: str = "", no_wait: bool
) -> None:
    """Send the decision and watch what comes of it. Raises ClientError."""
    if joint.meant(run) and decision in JOINTLY:
        joint.decide(session, run, decision, reason=reason, no_wait=no_wait)
        return
    found = found_run(session, run, MEANT.get(decision, UNDER_WAY))
    moved = session.post(f"/api/runs/{found['id']}/{decision}", {"reason": reason, "step": step, "answer": answer})
    watched(session, moved, no_wait=no_wait, good=CANCELED if decision in ENDING else frozenset())


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="Why not; it is journaled.")
@talks
def deny(session: Session, run: str, reason: str) -> None:
    """Say no to a waiting run; it ends and nothing was done.

    \b
    Example:
      karaula run deny ncts-failover-20261124-013000 --reason "power is back"
    """  # noqa: D301 - click's mark
    _decide(session, run, "deny", reason=reason, no_wait=False)


@click.command("accept-loss")
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", required=True, callback=reasoned, help="Why it may be lost; it is journaled.")
@click.option("--up-to", "up_to_s", type=Span(), metavar="TIME", help="How much, if not what is stated now: 90s, 30m.")
@no_wait_option
@talks
def accept_loss(session: Session, run: str, reason: str, up_to_s: float | None, no_wait: bool) -> None:
    """Accept that a failover loses more than the objective allows, and let it go on.

    The run says how much that is. Should its own measurement after the fence find more, it asks again.

    \b
    Example:
      karaula run accept-loss ncts-failover-20261124-013000 \\
          --reason "nothing more can be had from main"
      karaula run accept-loss ncts --up-to 30m --reason "the director said so"
    """  # noqa: D301 - click's mark
    found = found_run(session, run, WAITING | PAUSED)
    body = {"reason": reason, "up_to_s": up_to_s or 0.0}
    watched(session, session.post(f"/api/runs/{found['id']}/accept-loss", body), no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="Why; it is journaled.")
@no_wait_option
@talks
def resume(session: Session, run: str, reason: str, no_wait: bool) -> None:
    """Let a paused run go on from where it stopped.

    Failed steps are done again; of unknown ones the world is asked again whether they happened.

    \b
    Example:
      karaula run resume ncts-failover-20261124-013000
    """  # noqa: D301 - click's mark
    _decide(session, run, "resume", reason=reason, no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("step", shell_complete=complete_step)
@click.option("--reason", default="", help="Why; it is journaled.")
@no_wait_option
@talks
def retry(session: Session, run: str, step: str, reason: str, no_wait: bool) -> None:
    """Do one failed or unknown step again, or undo again one that could not be undone, and go on.

    \b
    Example:
      karaula run retry ncts-failover-20261124-013000 promote
    """  # noqa: D301 - click's mark
    _decide(session, run, "retry", reason=reason, step=step, no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("step", shell_complete=complete_step)
@click.option("--reason", required=True, callback=reasoned, help="Why it may be passed over; it is journaled.")
@no_wait_option
@talks
def ignore(session: Session, run: str, step: str, reason: str, no_wait: bool) -> None:
    """Pass over one failed or unknown step and go on.

    Of one that could not be undone it means: leave it alone, and undo what it was built upon all the same.
    A fence cannot be passed over, unless two people have overridden that (`karaula override fencing SYSTEM`).

    \b
    Example:
      karaula run ignore ncts-failover-20261124-013000 names \\
          --reason "the name was changed by hand"
    """  # noqa: D301 - click's mark
    _decide(session, run, "ignore", reason=reason, step=step, no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="Why; it is journaled.")
@no_wait_option
@talks
def cancel(session: Session, run: str, reason: str, no_wait: bool) -> None:
    """End a run. What is under way is let end, then the run's final steps are done.

    Of one that has stopped because something could not be undone: that, and what it was built upon, stays as it is.

    \b
    Example:
      karaula run cancel cdeps-drill-20261124-013000 --reason "vCenter upgrade"
    """  # noqa: D301 - click's mark
    _decide(session, run, "cancel", reason=reason, no_wait=no_wait)


@click.command("go-on")
@click.argument("joint_run", metavar="JOINT_RUN")
@click.argument("system", shell_complete=complete_system)
@click.option("--reason", required=True, callback=reasoned, help="Why they may begin without it; it is journaled.")
@no_wait_option
@talks
def go_on(session: Session, joint_run: str, system: str, reason: str, no_wait: bool) -> None:
    """Let begin what waits for a system whose run did not succeed.

    Of a joint run only: what depends on SYSTEM is held until its run has succeeded, or a person says this.

    \b
    Example:
      karaula run go-on joint-failover-20261124-013000 ite \\
          --reason "the tariff is at hand on paper"
    """  # noqa: D301 - click's mark
    joint.decide(session, joint_run, "go-on", reason=reason, system=system, no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="Why; it is journaled.")
@talks
def pause(session: Session, run: str, reason: str) -> None:
    """Let no new step of a run begin. What is under way is let end; 'run resume' goes on.

    \b
    Example:
      karaula run pause ncts-switchover-20261124-013000 --reason "wait"
    """  # noqa: D301 - click's mark
    _decide(session, run, "pause", reason=reason, no_wait=True)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("answer")
@click.option("--step", default="", help="Which question, where a run asks several.", shell_complete=complete_step)
@click.option("--reason", default="", help="Why; it is journaled.")
@no_wait_option
@talks
def answer(session: Session, run: str, answer: str, step: str, reason: str, no_wait: bool) -> None:
    """Answer the question that a run asks.

    \b
    Example:
      karaula run answer ncts-switchover-20261124-013000 yes --as ana
      karaula run answer ncts-switchover-20261124-013000 no --step ready
    """  # noqa: D301 - click's mark
    _decide(session, run, "answer", reason=reason, step=step, answer=answer, no_wait=no_wait)


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--reason", default="", help="Why; it is journaled.")
@no_wait_option
@talks
def undo(session: Session, run: str, reason: str, no_wait: bool) -> None:
    """End a run and take back what it did, as far as its actions can.

    The last is undone first, then the run's final steps are done. Nothing is taken back once a step has begun to hand
    over (a fence, a role, where clients are led): what stands on it would fall. Nor is anything that a step was built
    upon which cannot be undone: the run stops and asks you.

    \b
    Example:
      karaula run undo ncts-switchover-20261124-013000 --reason "not tonight"
    """  # noqa: D301 - click's mark
    _decide(session, run, "undo", reason=reason, no_wait=no_wait)
