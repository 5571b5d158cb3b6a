"""Five minutes of faults on a user's own machine, against spare recordings, and what came of them in words.

Everything lies in a folder of its own and speaks over a port of its own; what runs on this machine already is left
alone. The input of the recordings is synthetic, so that every frame is known.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from agent.settings import sound_environment
from reelkeeper.faultkit.campaign import Campaign, Result, plan_of
from reelkeeper.faultkit.rig import Rig
from reelkeeper.faultkit.system import Json, UnexpectedError

CLASSES = {
    "agent_kill": "the agent was killed",
    "owner_kill": "the capture process was killed",
    "both_kill": "agent and capture process were killed",
    "renderer_kill": "the renderer was killed",
    "controller_kill": "the controller was killed",
    "database_kill": "the database was killed",
    "partition_short": "the network was away for a while",
    "partition_beyond_lease": "the network was away for long",
    "slow_network": "the network was slow, or broke off",
    "upload_damage": "an upload was damaged",
    "device_loss": "the input was unplugged and came back",
    "overrun": "the input dropped frames",
    "repeated_requests": "requests came twice, late or not at all",
    "race": "many people stopped and cancelled at once",
    "hostile_owner": "strangers knocked at the capture process",
}
"""What is run, in turn, and how a report calls it."""

_ENDS_CAPTURE = {"owner_kill", "both_kill"}
WHOLE_SECONDS = 270.0
QUICK = ("owner_kill", "upload_damage")
SCALE = 0.2
REHEARSAL_SECONDS = 5.0
_CLIPPED_WORDS = "it is overloaded; turn it down"


@dataclass(frozen=True)
class Report:
    """In words, and whether everything held."""

    lines: list[str]
    held: bool


def selftest(*, quick: bool, interface: str | None, say: Callable[[str], None]) -> Report:
    """Runs it; `say` hears of each fault as it happens. `interface` is a real input, BACKEND:NAME.

    Raises UnexpectedError when the system does not start, or knows no such input.
    """
    keep = Path(tempfile.mkdtemp(prefix="reelkeeper-selftest-"))
    results: list[Result] = []
    lines: list[str] = []
    with Campaign(None, keep, disks=False, sound=sound_environment() if interface else None) as campaign:
        if interface:
            lines += rehearse(campaign.rig(SCALE, seed=1), interface)
        for name in _turns(quick=quick):
            result = campaign.run(plan_of(len(results) + 1, [name], SCALE))
            say(f"{CLASSES[name]}: {'nothing is lost' if not result.violations else 'SOMETHING DID NOT HOLD'}")
            results.append(result)
    lines += report_in_words(results)
    violated = [result for result in results if result.violations]
    if violated:
        lines.append(f"What shows it lies in {keep}; send it with your report.")
    else:
        keep.rmdir()
    return Report(lines, not violated)


def rehearse(rig: Rig, interface: str) -> list[str]:
    """Records a real input for a few seconds: what each channel heard, in words. Raises UnexpectedError."""
    backend, _, name = interface.partition(":")
    known = [f"{one['backend']}:{one['name']}" for one in rig.system.node()["interfaces"] if one["is_present"]]
    if interface not in known:
        raise UnexpectedError(f"There is no input {interface}. There are: {', '.join(known)}.")
    real = {"backend": backend, "name": name}
    length_ms = round(REHEARSAL_SECONDS * 1000)
    recording = rig.system.post("/recordings", {**rig.system.start_request(duration_ms=length_ms), "interface": real})[
        "id"
    ]
    rig.system.wait_state(recording, "completed", 60)
    return [f"{interface}, {REHEARSAL_SECONDS:.0f} s:", *_heard(rig.system.ledger(recording))]


def report_in_words(results: Sequence[Result]) -> list[str]:
    """A line for each class, and one for all."""
    lines = []
    for name, words in CLASSES.items():
        mine = [result for result in results if result.fault == name]
        if not mine:
            continue
        times = "Once" if len(mine) == 1 else f"{len(mine)} times"
        faults = [violation for result in mine for violation in result.violations]
        losses = [result.loss_ms for result in mine if result.loss_ms is not None]
        end = "nothing was lost."
        if name in _ENDS_CAPTURE:
            end = "nothing that was on disk was lost."
        if losses:
            end = f"at most {max(losses):.0f} ms of sound are missing, and listed."
        lines.append(f"{times} {words}: {end if not faults else 'THIS DID NOT HOLD:'}")
        lines += [f"    {fault}" for fault in faults]
    recordings, seconds = sum(result.recordings for result in results), sum(result.seconds for result in results)
    violated = sum(1 for result in results if result.violations)
    verdict = "everything held" if not violated else f"{violated} did not hold"
    lines.append(f"{len(results)} faults, {recordings} recordings, {seconds:.0f} s: {verdict}.")
    return lines


def _turns(*, quick: bool) -> Iterator[str]:
    """All in turn, again and again, until the time is over; each once at least."""
    if quick:
        yield from QUICK
        return
    end = time.monotonic() + WHOLE_SECONDS
    yield from CLASSES
    for name in cycle(CLASSES):
        if time.monotonic() > end:
            return
        yield name


def _heard(ledger: Json) -> list[str]:
    lines = []
    for number, level in enumerate(ledger["levels"], start=1):
        if level["peak_dbfs"] is None:
            words = "exact zeros; nothing is plugged in, or it is muted"
        else:
            words = f"peak {level['peak_dbfs']:.1f} dBFS, level {level['rms_dbfs']:.1f} dBFS"
            if level["clipped_frames"]:
                words += f"; {_CLIPPED_WORDS}"
        lines.append(f"    channel {number}: {words}")
    if ledger["gaps"]:
        lines.append(f"    {sum(gap['frames'] for gap in ledger['gaps'])} frames are missing")
    return lines
