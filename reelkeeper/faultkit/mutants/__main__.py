"""`python -m reelkeeper.faultkit.mutants [NAME …]`: breaks one rule after the other, and shows what noticed.

First every run that has to notice is made on the source as it is: only what is green there can turn red. Exit code 1
when a mutant lives, 2 when one does not fit the source.
"""

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from reelkeeper.faultkit.mutants.catalogue import MUTANTS
from reelkeeper.faultkit.mutants.mutant import Mutant
from reelkeeper.faultkit.mutants.tree import PatchError, Tree, copy_of_the_source
from reelkeeper.faultkit.volume import why_no_power_cuts

PATIENCE = 6.0
"""A busy machine may take so many times as long."""
RED = 1
_TELLING = re.compile(r"^(E  +\S.*|\w+ number \d+ answers.*|round \d+ .*|.*VIOLATED.*|.*Error: .*)$", re.MULTILINE)
"""What a reader of the table wants to know of a red run; the first that is found."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    mutant: Mutant
    is_caught: bool
    seconds: float
    words: str


def main(names: list[str]) -> int:
    wanted = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if len(wanted) != (len(set(names)) or len(MUTANTS)):
        sys.exit(f"unknown: {', '.join(set(names) - {mutant.name for mutant in MUTANTS})}")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy_of_the_source(Path(folder))
        outcomes, misfits = [], 0
        for mutant in wanted:
            try:
                outcomes.append(_outcome(tree, mutant))
            except PatchError as fault:
                misfits += 1
                print(f"misfit  {mutant.name}: {fault}", flush=True)
        code = _report([outcome for outcome in outcomes if outcome])
        return 2 if misfits else code


def _outcome(tree: Tree, mutant: Mutant) -> Outcome | None:
    """None when this machine cannot run what would notice."""
    if mutant.needs == "root" and why_no_power_cuts():
        print(f"not here  {mutant.name}: {why_no_power_cuts()}", flush=True)
        return None
    is_red, words, _ = _run(tree, mutant)
    if is_red:
        raise PatchError(f"{' '.join(mutant.caught_by)} fails on the source as it is: {words}")
    with tree.broken_by(mutant):
        is_red, words, seconds = _run(tree, mutant)
    outcome = Outcome(mutant, is_red, seconds, words)
    print(_line(outcome), flush=True)
    return outcome


def _run(tree: Tree, mutant: Mutant) -> tuple[bool, str, float]:
    began = time.monotonic()
    try:
        done = tree.run(mutant.caught_by, mutant.seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        return True, "it did not end in time", time.monotonic() - began
    text = done.stdout + done.stderr
    if done.returncode not in (0, RED):
        raise PatchError(f"{' '.join(mutant.caught_by)} could not be run: {text[-2000:]}")
    found = _TELLING.findall(text)
    return done.returncode == RED, found[0].removeprefix("E").strip()[:110] if found else "", time.monotonic() - began


def _line(outcome: Outcome) -> str:
    standing = "caught" if outcome.is_caught else "LIVES "
    return f"{standing}  {outcome.mutant.name:<40} {outcome.seconds:6.1f} s  {outcome.words}"


def _report(outcomes: list[Outcome]) -> int:
    """The table in Markdown, and the exit code."""
    print("\n| mutant | rule | caught by | what it said | s |\n|---|---|---|---|---|")
    for one in outcomes:
        how = " ".join(one.mutant.caught_by).removeprefix("pytest -q -x ") if one.is_caught else "**nothing**"
        words = one.words.replace("|", "\\|")
        print(f"| {one.mutant.name} | {one.mutant.rule} | `{how}` | {words} | {one.seconds:.0f} |")
    living = [one.mutant.name for one in outcomes if not one.is_caught]
    print(f"\n{len(outcomes) - len(living)} of {len(outcomes)} mutants caught")
    return 1 if living else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
