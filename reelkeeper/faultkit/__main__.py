"""`python -m reelkeeper.faultkit`: breaks a system of its own on purpose, and says what did not hold."""

import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from reelkeeper.faultkit import soak as soaking
from reelkeeper.faultkit.campaign import (
    COMPOUND,
    Campaign,
    Result,
    plan_of,
    read_results,
    replay_command,
    runnable,
    upgrade_plan,
)
from reelkeeper.faultkit.injector import ELSEWHERE, SINGLE, UPGRADE
from reelkeeper.faultkit.mutants.tree import ROOT
from reelkeeper.faultkit.report import tables
from reelkeeper.faultkit.soak import ENDING
from reelkeeper.faultkit.system import UnexpectedError
from reelkeeper.faultkit.versions import built, name_of

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    seed: Annotated[int, typer.Option(help="The first seed; the next faults have the next ones.")] = 1,
    count: Annotated[int, typer.Option(help="How many seeds.")] = 10,
    classes: Annotated[str, typer.Option(help="Only these, with commas between.")] = "",
    scale: Annotated[float, typer.Option(help="Of all time limits.")] = 0.1,
    full_length: Annotated[
        float, typer.Option(help="So many of all faults get all limits at their full length.")
    ] = 0.0,
    results: Annotated[Path | None, typer.Option(help="Gets a line for each fault; seeds in it are skipped.")] = None,
    keep: Annotated[Path, typer.Option(help="Where the evidence of violations is kept.")] = Path("faults-kept"),
    show: Annotated[bool, typer.Option("--list", help="Names the classes, and what else runs which row.")] = False,
) -> None:
    """Faults from one seed on. Exit code 1 when anything did not hold."""
    if show:
        print(_list())
        return
    names = _names(classes)
    known = {result.seed for result in read_results(results)} if results else set()
    failed = 0
    with Campaign(results, keep) as campaign:
        for number in range(seed, seed + count):
            if number in known:
                continue
            is_full = Random(f"full length {number}").random() < full_length
            result = campaign.run(plan_of(number, names, 1.0 if is_full else scale))
            _say(result, _run_of(names))
            failed += bool(result.violations)
    sys.exit(1 if failed else 0)


@app.command()
def report(file: Annotated[Path, typer.Argument(help="A results file.")]) -> None:
    """The tables of a results file, in Markdown."""
    print(tables(read_results(file)))


@app.command()
def soak(
    hours: Annotated[float, typer.Option(help="In all, over however many runs.")] = 24.0,
    classes: Annotated[str, typer.Option(help="Only these, with commas between.")] = "",
    scale: Annotated[float, typer.Option(help="Of all time limits, and of the minute between faults.")] = 1.0,
    results: Annotated[Path, typer.Option(help="Gets a line for each fault; seeds in it are skipped.")] = Path(
        "soak.jsonl"
    ),
    looks: Annotated[Path, typer.Option(help="Gets a line for each look at what grows.")] = Path("soak-looks.jsonl"),
    keep: Annotated[Path, typer.Option(help="Where the evidence of violations is kept.")] = Path("faults-kept"),
) -> None:
    """One fault a minute for hours, and what grew. Exit code 1 when anything did not hold or was left behind."""
    wanted = _names(classes) or sorted({fault.name for fault in runnable()} - ENDING)
    known = {result.seed for result in read_results(results)}
    with Campaign(results, keep) as campaign:
        soaking.soak(
            campaign,
            looks,
            names=wanted,
            known=known,
            hours=hours,
            scale=scale,
            say=lambda one: _say(one, _run_of(wanted)),
        )
        folder = campaign.rig(scale, seed=1).folder
    left = soaking.left_of(folder)
    print(soaking.tables(soaking.read_looks(looks)))
    print("\n".join(["", "Left behind on the machine:", *(left or ["nothing"])]))
    sys.exit(1 if left or any(result.violations for result in read_results(results)) else 0)


@app.command()
def versions(
    ref: Annotated[str, typer.Argument(help="The version to begin with: a tag, a branch, a commit.")],
    seed: Annotated[int, typer.Option(help="The first seed; the next upgrades have the next ones.")] = 1,
    count: Annotated[int, typer.Option(help="How many seeds.")] = 20,
    scale: Annotated[float, typer.Option(help="Of all time limits.")] = 0.1,
    results: Annotated[Path | None, typer.Option(help="Gets a line for each upgrade; seeds in it are skipped.")] = None,
    keep: Annotated[Path, typer.Option(help="Where the evidence of violations is kept.")] = Path("faults-kept"),
) -> None:
    """Upgrades from another version to this one and back, with live recordings. Exit code 1 when anything did not
    hold."""
    known = {result.seed for result in read_results(results)} if results else set()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="rk-version-") as folder:
        other = built(ref, Path(folder) / "source")
        print(f"from {name_of(other)} to {name_of(ROOT)}", flush=True)
        with Campaign(results, keep, other=other) as campaign:
            for number in (number for number in range(seed, seed + count) if number not in known):
                result = campaign.run(upgrade_plan(number, scale))
                _say(result, f"versions {ref}")
                failed += bool(result.violations)
    sys.exit(1 if failed else 0)


def _names(classes: str) -> list[str]:
    return [name.strip() for name in classes.split(",") if name.strip()]


def _say(result: Result, command: str) -> None:
    words = "held" if not result.violations else "VIOLATED"
    print(f"{result.seed:>6}  {result.fault:<28} {result.seconds:>6.1f} s  {words}", flush=True)
    if result.violations:
        print("\n".join(f"        {violation}" for violation in result.violations))
        print(f"        again: {replay_command(result, command)}", flush=True)


def _run_of(names: Sequence[str]) -> str:
    return f"run --classes {','.join(names)}" if names else "run"


def _list() -> str:
    lines = []
    for fault in SINGLE:
        why_not = fault.why_not()
        rows = ", ".join(map(str, fault.rows))
        lines.append(f"{fault.name:<28} row {rows:<8} {'not here: ' + why_not if why_not else ''}".rstrip())
    lines.append(f"{COMPOUND:<28} row 31")
    lines.append(f"{UPGRADE.name:<28} row {UPGRADE.rows[0]:<8} versions REF")
    lines += [f"{'(no class)':<28} row {row:<8} {where}" for row, where in ELSEWHERE.items()]
    return "\n".join(lines)


def main() -> None:
    """A signal ends it like a fault of its own does: with nothing left behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        app()
    except UnexpectedError as error:
        sys.exit(f"faultkit: {error}")


if __name__ == "__main__":
    main()
