"""The first run of an installation: from an empty database to a recording that somebody has heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from protocol.messages import ChannelLevel

CODE_SECONDS = 3_600.0
"""A link of the first run is good for so long."""
TRY_MS = 10_000
SILENT_BELOW_DBFS = -55.0
"""A try whose loudest sample stays below this is called silent."""


class Step(StrEnum):
    """Where the first run is. The account comes before all of them."""

    RECORDER = "recorder"
    INPUT = "input"
    TRY = "try"
    DONE = "done"

    @property
    def number(self) -> int:
        """Counted from 0, for comparing."""
        return list(Step).index(self)


@dataclass(frozen=True)
class Setup:
    """How far the first run is, and what was chosen in it."""

    user_id: UUID
    step: Step
    node_id: UUID | None
    interface_id: UUID | None
    recording_id: UUID | None
    finished_at: datetime | None
    put_away_at: datetime | None


@dataclass(frozen=True)
class Check:
    """One thing that is looked at after the try."""

    is_good: bool
    says: str
    remedy: str = ""
    """What may help when it is not good."""


@dataclass(frozen=True)
class Leftover:
    """Something worth doing after the first run."""

    title: str
    about: str
    page: str
    """The name of the route where it is done."""
    is_done: bool


def checks(
    levels: list[ChannelLevel], sha256: str | None, *, is_cached: bool, gaps_ms: Sequence[float] = ()
) -> list[Check]:
    """Of a try that has ended: not silent, not clipped, saved with its checksum; and what it missed, if anything."""
    loudest = max((level.peak_dbfs for level in levels if level.peak_dbfs is not None), default=None)
    clipped = sum(level.clipped_frames for level in levels)
    return [
        _is_heard(loudest),
        Check(True, "Not overloaded.")
        if not clipped
        else Check(False, f"Overloaded in {clipped} frames.", "Turn the input or the microphone down a little."),
        Check(True, f"Saved, and its checksum is right: {sha256[:16]}…")
        if is_cached and sha256 is not None
        else Check(False, "Not saved as it should be.", "The page of the recording tells more."),
        *([_missed(gaps_ms)] if gaps_ms else []),
    ]


def _missed(gaps_ms: Sequence[float]) -> Check:
    where = "one place" if len(gaps_ms) == 1 else f"{len(gaps_ms)} places"
    return Check(
        False,
        f"The capture was held up in {where}: {sum(gaps_ms) / 1000:.2f} s of sound are missing.",
        "The machine may be too busy, or its disk or sound device too slow; the page of the recording lists each gap.",
    )


def _is_heard(loudest_dbfs: float | None) -> Check:
    remedy = "Is the right input chosen, the microphone on, and nothing muted?"
    if loudest_dbfs is None:
        return Check(False, "Silent: not a single sample.", remedy)
    if loudest_dbfs < SILENT_BELOW_DBFS:
        return Check(False, f"As good as silent: the loudest is {_decibels(loudest_dbfs)}.", remedy)
    return Check(True, f"Something is heard: the loudest is {_decibels(loudest_dbfs)}.")


def _decibels(level_dbfs: float) -> str:
    """`−12 dB`, with the sign that type has for it."""
    return f"{level_dbfs:.0f} dB".replace("-", "−")
