"""Fault after fault on one running system, each judged before the next one, each decided by its seed."""

import json
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from reelkeeper.faultkit.checker import CHECKS, Violation, check, worst_loss_ms
from reelkeeper.faultkit.database import rows_of
from reelkeeper.faultkit.evidence import Evidence
from reelkeeper.faultkit.history import History
from reelkeeper.faultkit.injector import SINGLE, UPGRADE, FaultClass, Scene
from reelkeeper.faultkit.rig import Rig, running_rig
from reelkeeper.faultkit.system import WAV_PROFILE, UnexpectedError
from reelkeeper.faultkit.workload import FLAC_PROFILE, MP3_PROFILE, Workload

COMPOUND = "compound"
_COMPOUND_WEIGHT = 4
_SETTLE_SECONDS = 60.0
"""Besides what leases and graces take."""
_PLANNED_SHARE = 0.2
_PLANNED_SECONDS = (3.0, 9.0)
_LIMITED_SHARE = 0.1
_LIMITS = ({"length_ms": 3_000}, {"length_ms": 5_000}, {"size_bytes": 600_000}, {"size_bytes": 1_200_000})
_PHASES = ("starting", "capturing", "capturing", "capturing", "finishing")


@dataclass(frozen=True)
class Plan:
    """What a seed decides before anything is touched."""

    seed: int
    name: str
    faults: tuple[FaultClass, ...]
    phase: str
    scale: float

    @property
    def gap_causes(self) -> list[str]:
        return sorted(frozenset().union(*(fault.gap_causes for fault in self.faults)))

    @property
    def may_fail(self) -> list[str]:
        return sorted(frozenset().union(*(fault.may_fail for fault in self.faults)))

    @property
    def may_damage(self) -> bool:
        return any(fault.may_damage for fault in self.faults)

    @property
    def delay_seconds(self) -> float:
        return sum(fault.delay_seconds for fault in self.faults) * max(1.0, 10 * self.scale)


@dataclass(frozen=True)
class Result:
    """One line of a results file."""

    seed: int
    fault: str
    number: int
    scale: float
    seconds: float
    invariants: list[str]
    recordings: int
    loss_ms: float | None
    violations: list[str] = field(default_factory=list)


def runnable(names: Iterable[str] = ()) -> list[FaultClass]:
    """The classes that this machine allows, all or those named. Raises UnexpectedError for a name that is none."""
    wanted = set(names)
    if unknown := wanted - {fault.name for fault in SINGLE} - {COMPOUND}:
        raise UnexpectedError(f"There is no fault class {', '.join(sorted(unknown))}.")
    return [fault for fault in SINGLE if (not wanted or fault.name in wanted) and fault.why_not() is None]


def plan_of(seed: int, names: Sequence[str] = (), scale: float = 0.1) -> Plan:
    """What this seed does. Classes that are named, or that the machine lacks, change what is drawn."""
    chance = Random(seed)
    singles = runnable(set(names) - {COMPOUND})
    has_compound = not names or COMPOUND in names
    if not singles or set(names) == {COMPOUND}:
        singles = runnable()
    weights = [float(fault.weight) for fault in singles]
    only_compound = set(names) == {COMPOUND}
    share = 1.0 if only_compound else _COMPOUND_WEIGHT / (sum(weights) + _COMPOUND_WEIGHT) if has_compound else 0.0
    is_compound = chance.random() < share
    faults = tuple(chance.choices(singles, weights, k=2 if is_compound else 1))
    return Plan(
        seed=seed,
        name=COMPOUND if is_compound else faults[0].name,
        faults=faults,
        phase=chance.choice(_PHASES),
        scale=scale,
    )


def upgrade_plan(seed: int, scale: float) -> Plan:
    """What this seed does to a system that begins with another version."""
    return replace(plan_of(seed, scale=scale), name=UPGRADE.name, faults=(UPGRADE,))


class Campaign:
    """Runs plans on one rig, and makes another one when the scale changes or a fault left it in ruins."""

    def __init__(
        self,
        results: Path | None,
        keep: Path,
        *,
        disks: bool = True,
        sound: dict[str, str] | None = None,
        other: Path | None = None,
    ) -> None:
        """`results` gets a line for each fault, `keep` the evidence of violations; the rest is as for a rig.

        With `other` each fault has a rig of its own, since a database does not go back.
        """
        self._results = results
        self._keep = keep
        self._disks = disks
        self._sound = sound
        self._other = other
        self._numbers: Counter[str] = Counter()
        self._stack = ExitStack()
        self._rig: Rig | None = None
        for known in read_results(results) if results else []:
            self._numbers[known.fault] += 1

    def __enter__(self) -> "Campaign":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, plan: Plan) -> Result:
        """One fault from its recordings to its judgement."""
        rig = self.rig(plan.scale, plan.seed)
        folder = rig.folder / "evidence"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._numbers[plan.name] += 1
        began_at = time.monotonic()
        try:
            _break(rig, plan, folder)
            evidence = Evidence(folder)
            violations, loss_ms = check(evidence), worst_loss_ms(evidence)
            recordings = len(evidence.recordings)
        except Exception:
            violations, loss_ms, recordings = [Violation("kit", traceback.format_exc())], None, 0
        result = Result(
            seed=plan.seed,
            fault=plan.name,
            number=self._numbers[plan.name],
            scale=plan.scale,
            seconds=round(time.monotonic() - began_at, 1),
            invariants=list(CHECKS),
            recordings=recordings,
            loss_ms=None if loss_ms is None else round(loss_ms, 1),
            violations=[f"{violation.invariant}: {violation.words}" for violation in violations],
        )
        self._write(result)
        if violations:
            try:
                self._keep_evidence(rig, plan)
            finally:
                self._drop_rig()
        elif self._other is not None:
            self._drop_rig()
        return result

    def rig(self, scale: float, seed: int) -> Rig:
        """The one that runs, started if there is none of this scale."""
        if self._rig is None or self._rig.system.scale != scale:
            self._drop_rig()
            self._rig = self._stack.enter_context(
                running_rig(scale, seed, disks=self._disks, sound=self._sound, other=self._other)
            )
        return self._rig

    def _drop_rig(self) -> None:
        """A fault that left something behind must not disturb the next one."""
        self._rig = None
        self._stack.close()

    def _keep_evidence(self, rig: Rig, plan: Plan) -> None:
        place = self._keep / f"{plan.seed}-{plan.name}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("evidence", "log"):
            if (rig.folder / name).exists():
                shutil.copytree(rig.folder / name, place / name)
        with suppress(OSError):  # its disk may be without power
            for file in (rig.system.node_folder / "jobs").glob("*/*"):
                if file.suffix in {".json", ".log"}:
                    shutil.copy(file, place / f"{file.parent.name}-{file.name}")
        for file in rig.system.run_folder.glob("owner-*/log"):
            shutil.copy(file, place / f"{file.parent.name}.log")

    def _write(self, result: Result) -> None:
        if self._results is not None:
            with self._results.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")


def read_results(path: Path) -> list[Result]:
    """What a results file holds; none while it does not exist."""
    if not path.exists():
        return []
    return [Result(**json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def _break(rig: Rig, plan: Plan, folder: Path) -> None:
    """Records, breaks, mends, waits until all is delivered, and gathers what is to be judged."""
    chance = Random(plan.seed + 1)
    rig.history = history = History(folder / "history.jsonl")
    rig.heal()
    history.note(
        "plan",
        seed=plan.seed,
        faults=[fault.name for fault in plan.faults],
        phase=plan.phase,
        scale=plan.scale,
        gap_causes=plan.gap_causes,
        may_fail=plan.may_fail,
        may_damage=plan.may_damage,
        delay_seconds=plan.delay_seconds,
    )
    if rig.sleeper is not None:
        history.note("node clock", ahead_ns=rig.sleeper.ahead_ns, slept_seconds=0.0)
    workload = Workload(rig.system, history, chance, folder)
    try:
        _begin(rig, workload, plan, chance)
        scene = Scene(rig, workload, history, chance)
        for fault in plan.faults:
            history.note("fault", name=fault.name)
            fault.inject(scene)
            history.note("mended", name=fault.name)
        rig.heal()
        rig.note_memory()
        time.sleep(chance.uniform(0.2, 1.0))
        for recording in workload.recordings:
            if recording not in workload.stopped | workload.planned:
                workload.stop(recording)
        workload.settle(rig.is_delivered, _patience(rig))
    finally:
        workload.close()
    _write_json(folder / "rows.json", rows_of(rig.system, [*workload.recordings, *workload.refused]))
    _write_json(folder / "node.json", asdict(rig.node_facts()))


def _begin(rig: Rig, workload: Workload, plan: Plan, chance: Random) -> None:
    """Starts the recordings, and lets them come as far as the fault wants them."""
    kinds = [("counter", WAV_PROFILE)] * 3 + [("counter", FLAC_PROFILE)] * 3 + [("counter", MP3_PROFILE)]
    kinds += [("counter-32", WAV_PROFILE)]
    has_end = plan.phase == "starting" or any(fault.loses_contact for fault in plan.faults)
    for _ in range(chance.choice((1, 1, 2, 3))):
        interface, profile = chance.choice(kinds)
        more: dict[str, Any] = {"channels": list(range(4))} if interface == "counter-32" else {}
        if has_end or chance.random() < _PLANNED_SHARE:
            more["duration_ms"] = round(1000 * chance.uniform(*_PLANNED_SECONDS))
        elif chance.random() < _LIMITED_SHARE:
            more["limits"] = chance.choice(_LIMITS)
        recording = workload.start(interface, profile, times=chance.choice((1, 1, 1, 4)), **more)
        if plan.phase != "starting":
            workload.wait_frames(recording, chance.randrange(4_800, 72_000), 20)
    if chance.random() < 0.2:
        workload.start_other(workload.recordings[0])
    if chance.random() < 0.2:
        workload.start_unauthorised()
    if plan.phase == "starting":
        time.sleep(chance.uniform(0.0, 0.5))
    if plan.phase == "finishing":
        for recording in chance.sample(workload.recordings, chance.randrange(1, len(workload.recordings) + 1)):
            workload.stop(recording, times=chance.choice((1, 1, 3)))
        time.sleep(chance.uniform(0.0, 0.4))


def _patience(rig: Rig) -> float:
    limits = rig.timeouts
    return _SETTLE_SECONDS + limits.lease + limits.grace_uploading + limits.rescue_period + limits.orphan_capture


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def replay_command(result: Result, command: str) -> str:
    """What runs the same fault again: this command of the kit, with its seed."""
    return f"{sys.executable} -m reelkeeper.faultkit {command} --seed {result.seed} --count 1 --scale {result.scale:g}"
