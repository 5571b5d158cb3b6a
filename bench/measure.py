"""What every bench does alike: contenders in turn, medians of the ratios of each round, one table and one JSON file."""

import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Claim:
    """A ratio and its goal; `missing` names the peer that is not installed, then nothing is claimed."""

    what: str
    ratio: float | None
    goal: str
    met: bool | None
    missing: str | None = None


def run(command: Sequence[str | Path]) -> Cost:
    """The cost of a command that ends by itself, with all its children. Raises CalledProcessError when it fails."""
    before, start = _children_cpu_seconds(), time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Cost(time.perf_counter() - start, _children_cpu_seconds() - before)


def call(work: Callable[[], object]) -> Cost:
    """The cost of a function in this process, its threads counted."""
    before, start = _own_cpu_seconds(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - start, _own_cpu_seconds() - before)


def in_turn(contenders: Mapping[str, Callable[[], Cost]], rounds: int = 5) -> dict[str, list[Cost]]:
    """Runs the contenders A B C, A B C …, after one round that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            cost = contender()
            if turn > 0:
                costs[name].append(cost)
    return costs


def ratio(of: Sequence[Cost], to: Sequence[Cost], *, by: str = "wall_seconds") -> float:
    """Median over the rounds of `of` ÷ `to`."""
    pairs = zip(of, to, strict=True)
    return statistics.median(getattr(one, by) / getattr(other, by) for one, other in pairs)


def at_most(what: str, value: float, goal: float) -> Claim:
    return Claim(what, value, f"≤ {goal:g}", value <= goal)


def at_least(what: str, value: float, goal: float) -> Claim:
    return Claim(what, value, f"≥ {goal:g}", value >= goal)


def not_measured(what: str, goal: str, missing: str) -> Claim:
    """A peer that is not installed is reported as missing, never as beaten."""
    return Claim(what, None, goal, None, missing)


def report(name: str, claims: Sequence[Claim], figures: Mapping[str, object]) -> None:
    """Prints the table and writes `bench/results/NAME.json`; `figures` are context, absolute numbers."""
    width = max(len(claim.what) for claim in claims)
    print(f"{name}\n{'claim':<{width}}  {'measured':>10}  {'goal':<10}  met")
    for claim in claims:
        measured = "missing" if claim.ratio is None else f"{claim.ratio:.3g}"
        met = claim.missing or ("yes" if claim.met else "NO")
        print(f"{claim.what:<{width}}  {measured:>10}  {claim.goal:<10}  {met}")
    for key, value in figures.items():
        print(f"  {key}: {f'{value:.4g}' if isinstance(value, float) else value}")
    RESULTS.mkdir(exist_ok=True)
    result = {
        "name": name,
        "cpus": os.cpu_count(),
        "claims": [asdict(claim) for claim in claims],
        "figures": dict(figures),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
