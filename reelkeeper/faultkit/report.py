"""The tables of a campaign."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from reelkeeper.faultkit.campaign import Result


def tables(results: Sequence[Result]) -> str:
    """Markdown: faults by class, and how often each invariant was checked."""
    return f"{faults_by_class(results)}\n\n{checks_by_invariant(results)}"


def faults_by_class(results: Sequence[Result]) -> str:
    """A row for each class, and one for all."""
    names = sorted({result.fault for result in results})
    rows = [_row(name, [result for result in results if result.fault == name]) for name in names]
    head = [
        "| fault | runs | recordings | violations | seconds a fault (median, most) | worst loss, never acknowledged |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, _row("**all**", results)])


def checks_by_invariant(results: Sequence[Result]) -> str:
    """A row for each invariant."""
    checked = Counter(name for result in results for name in result.invariants)
    violated = Counter(name for result in results for name in {words.split(":")[0] for words in result.violations})
    rows = [f"| {name} | {count} | {violated[name]} |" for name, count in checked.items()]
    return "\n".join(["| invariant | checked after faults | violated |", "| --- | --- | --- |", *rows])


def _row(name: str, results: Sequence[Result]) -> str:
    seconds = [result.seconds for result in results]
    losses = [result.loss_ms for result in results if result.loss_ms is not None]
    loss = f"{max(losses):.0f} ms" if losses else "–"
    violations = sum(1 for result in results if result.violations)
    recordings = sum(result.recordings for result in results)
    times = f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else "–"
    return f"| {name} | {len(results)} | {recordings} | {violations} | {times} | {loss} |"
