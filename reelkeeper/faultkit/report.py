"""The table of a campaign."""

from collections.abc import Sequence
from statistics import median

from reelkeeper.faultkit.campaign import Result


def table(results: Sequence[Result]) -> str:
    """Markdown: a row for each class, and one for all."""
    names = sorted({result.fault for result in results})
    rows = [_row(name, [result for result in results if result.fault == name]) for name in names]
    head = [
        "| fault | runs | recordings | violations | seconds a fault (median, most) | worst loss, never acknowledged |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, _row("**all**", results)])


def _row(name: str, results: Sequence[Result]) -> str:
    seconds = [result.seconds for result in results]
    losses = [result.loss_ms for result in results if result.loss_ms is not None]
    loss = f"{max(losses):.0f} ms" if losses else "–"
    violations = sum(1 for result in results if result.violations)
    recordings = sum(result.recordings for result in results)
    times = f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else "–"
    return f"| {name} | {len(results)} | {recordings} | {violations} | {times} | {loss} |"
