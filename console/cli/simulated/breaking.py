"""`karaula lab cut|restore|fault|clear`: break and mend the simulated estate."""

from __future__ import annotations

import click

from console.cli.simulated.talk import Lab, on_lab


def _cut_of(target: str) -> str:
    """Return the fault that cuts ``target``: a link is written CROSSING/LINK; else it is the monitor, or a site."""
    if target == "monitor":
        return "cut-monitor"
    return "cut-link" if "/" in target else "cut-site"


@click.command()
@click.argument("target")
@on_lab
def cut(lab: Lab, target: str) -> None:
    """Cut a site's power, a crossing's link (CROSSING/primary or CROSSING/backup), or the monitor's own uplink.

    With its uplink cut the monitor is answered by nobody while the estate works on: it must call itself isolated, once,
    and nothing down.

    \b
    Example:
      karaula lab cut main
      karaula lab cut monitor
      karaula lab cut tabanovce/primary
    """  # noqa: D301 - click's mark
    _inject(lab, _cut_of(target), target, {})


@click.command()
@click.argument("target")
@on_lab
def restore(lab: Lab, target: str) -> None:
    """Mend what was cut.

    \b
    Example:
      karaula lab restore main
      karaula lab restore tabanovce/primary
    """  # noqa: D301 - click's mark
    _clear(lab, {"fault": _cut_of(target), "target": target})


@click.command()
@click.argument("name")
@click.argument("target")
@click.argument("parameters", nargs=-1, metavar="[KEY=VALUE]...")
@on_lab
def fault(lab: Lab, name: str, target: str, parameters: tuple[str, ...]) -> None:
    """Break something; 'karaula lab faults' lists what there is.

    \b
    Example:
      karaula lab fault hang-vcenter vc-main
      karaula lab fault delay-link blace/primary ms=180
      karaula lab fault move-traffic blace
      karaula lab fault lie ncts-db-dr command=promote
    """  # noqa: D301 - click's mark
    pairs = [parameter.partition("=") for parameter in parameters]
    wrong = [parameter for parameter, (key, equals, _) in zip(parameters, pairs, strict=True) if not key or not equals]
    if wrong:
        raise click.UsageError(f"'{wrong[0]}' is not KEY=VALUE")
    _inject(lab, name, target, {key: value for key, _, value in pairs})


@click.command()
@click.argument("name", required=False)
@click.argument("target", required=False)
@click.option("--all", "everything", is_flag=True, help="End every fault.")
@on_lab
def clear(lab: Lab, name: str | None, target: str | None, everything: bool) -> None:
    """Mend something, or everything.

    \b
    Example:
      karaula lab clear hang-vcenter vc-main
      karaula lab clear --all
    """  # noqa: D301 - click's mark
    if everything == (name is not None) or (name is not None and target is None):
        raise click.UsageError("say NAME and TARGET of the fault, or --all")
    _clear(lab, {"all": True} if everything else {"fault": name, "target": target})


def _inject(lab: Lab, name: str, target: str, parameters: dict[str, str]) -> None:
    answer = lab.post("/faults", {"fault": name, "target": target, **parameters})
    lab.screen.document(answer)
    lab.screen.line(f"{name} {target}; to mend it: karaula lab clear {name} {target}")


def _clear(lab: Lab, body: dict[str, object]) -> None:
    answer = lab.post("/clear", body)
    lab.screen.document(answer)
    count = answer["cleared"]
    lab.screen.line(f"{count} fault{'' if count == 1 else 's'} ended" if count else "no such fault was in force")
