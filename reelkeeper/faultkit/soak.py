"""Hours of one fault a minute on one running system: what grows in it, and what is left lying about.

Faults that end the agent or the controller belong to the campaign: here both live on, so that what they gather shows.
After each fault, once all is delivered and quiet, everything is looked at. What was done is not done again.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import linear_regression

from reelkeeper.faultkit.campaign import Campaign, Result, plan_of
from reelkeeper.faultkit.database import uses_of
from reelkeeper.faultkit.rig import Rig, users_of
from reelkeeper.faultkit.system import rss_bytes

ENDING = frozenset(
    {
        "agent_kill",
        "agent_restart",
        "both_kill",
        "clock_jump",
        "clone",
        "controller_kill",
        "controller_restart",
        "pid_reuse",
        "power_cut_all",
        "power_cut_controller",
        "power_cut_node",
    }
)
"""Classes after which the agent, the controller or both are other processes."""
PACE_SECONDS = 60.0
WARM_SHARE = 0.2
"""Of a process's life, in which it grows to its size."""
_LEAST_LOOKS = 5
_QUIET_SECONDS = 3.0
_MIB = 1 << 20


@dataclass(frozen=True)
class Look:
    """What stands after one fault."""

    hours: float
    """Of soaking, over all runs of the same file."""
    seed: int
    processes: dict[str, int]
    """Bytes in memory, by `name pid@start`: another process, another key."""
    left: dict[str, int]
    """How many there are of what may gather."""


def soak(
    campaign: Campaign,
    looks: Path,
    *,
    names: Sequence[str],
    known: set[int],
    hours: float,
    scale: float,
    say: Callable[[Result], None],
) -> None:
    """Goes on until so many hours are soaked in all. `known` are seeds that were run; `looks` gets a line a fault."""
    before = read_looks(looks)
    done_hours = before[-1].hours if before else 0.0
    began_at = time.monotonic()
    for seed in count(1):
        if seed in known:
            continue
        fault_at = time.monotonic()
        if done_hours + (fault_at - began_at) / 3600 >= hours:
            return
        rig = campaign.rig(scale, seed)
        result = campaign.run(plan_of(seed, names, scale))
        say(result)
        time.sleep(_QUIET_SECONDS)
        if not result.violations:
            soaked = done_hours + (time.monotonic() - began_at) / 3600
            _append(looks, look(rig, seed, soaked))
        time.sleep(max(0.0, PACE_SECONDS * scale - (time.monotonic() - fault_at)))


def look(rig: Rig, seed: int, hours: float) -> Look:
    """At everything that may grow."""
    system = rig.system
    named = {"agent": system.agent, "controller": system.controller}
    pids = [(name, process.pid) for name, process in named.items() if process is not None and process.poll() is None]
    processes, left = {}, {}
    for name, pid in [*pids, ("database", system.postmaster())]:
        processes[f"{name} {pid}@{_start_ticks(pid)}"] = rss_bytes(pid)
        left[f"descriptors of the {name}"] = _entries(Path(f"/proc/{pid}/fd"))
        left[f"threads of the {name}"] = _entries(Path(f"/proc/{pid}/task"))
    left["processes"] = len(list(users_of(rig.folder)))
    left["renderers"] = len(system.renderers())
    left["owners"] = len(system.owners())
    left["files of the node"] = _files(system.node_folder)
    left["files of the run folder"] = _files(system.run_folder)
    left["unfinished files of the controller"] = _files(system.home / "cache" / "incoming")
    return Look(round(hours, 4), seed, processes, {**left, **uses_of(system)})


def read_looks(path: Path) -> list[Look]:
    """What a file of looks holds; none while it does not exist."""
    if not path.exists():
        return []
    return [Look(**json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def tables(looks: Sequence[Look]) -> str:
    """Markdown: the memory of each part, and what gathered."""
    hours = looks[-1].hours if looks else 0.0
    head = [
        f"{hours:.2f} hours, {len(looks)} looks",
        "",
        "| process | looks | hours | first, last, most MiB | MiB an hour |",
    ]
    memory = [_memory_row(name, series) for name, series in sorted(_series(looks).items())]
    left = ["", "| of | first | last | most |", "|---|---|---|---|"]
    for what in looks[0].left if looks else []:
        numbers = [one.left[what] for one in looks if what in one.left]
        left.append(f"| {what} | {numbers[0]} | {numbers[-1]} | {max(numbers)} |")
    return "\n".join([*head, "|---|---|---|---|---|", *memory, *left])


def slope_mib_an_hour(series: Sequence[tuple[float, int]]) -> float | None:
    """Over what is left of (hours, bytes) without the warm share; None for too few looks."""
    settled = series[round(len(series) * WARM_SHARE) :]
    if len(settled) < _LEAST_LOOKS:
        return None
    hours, sizes = zip(*settled, strict=True)
    return linear_regression(hours, [size / _MIB for size in sizes]).slope


def left_of(folder: Path) -> list[str]:
    """What a system whose folder this was has left behind on the machine, in words."""
    found = [f"process {pid} uses {folder}" for pid in users_of(folder)]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    return [*found, *([f"{folder} is left"] if folder.exists() else [])]


def _memory_row(name: str, series: Sequence[tuple[float, int]]) -> str:
    sizes = [size / _MIB for _, size in series]
    slope = slope_mib_an_hour(series)
    hours = series[-1][0] - series[0][0]
    grows = "too few looks" if slope is None else f"{slope:+.2f}"
    return f"| {name} | {len(series)} | {hours:.2f} | {sizes[0]:.1f}, {sizes[-1]:.1f}, {max(sizes):.1f} | {grows} |"


def _series(looks: Sequence[Look]) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for one in looks:
        for name, size in one.processes.items():
            found.setdefault(name, []).append((one.hours, size))
    return found


def _start_ticks(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


def _entries(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _append(path: Path, one: Look) -> None:
    with path.open("a") as file:
        file.write(json.dumps(asdict(one)) + "\n")
