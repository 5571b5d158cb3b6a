"""What must hold of files: every frame that was captured is there once, in its place, or is listed as missing."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reelkeeper.faultkit.evidence import FLUSH_ALLOWANCE_SECONDS, RATE_HZ, Content, Evidence, Row
from reelkeeper.faultkit.history import Entry, instant
from reelkeeper.faultkit.sound import SILENCE
from reelkeeper.faultkit.system import TERMINAL

PERIOD_FRAMES = 1024
ABSENCE_TOLERANCE_FRAMES = 480
"""What the length of an absence of the device may be off by: 10 ms."""
PRESS_TOLERANCE_SECONDS = 0.5
"""Between a press and the frame it means: what the request was under way."""
HEAD_BYTES = 4096
_LOST_WITH_THE_OWNER = {"owner_died"}


def i3_nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        told = max((seen["frames"] or 0 for seen in evidence.entries("seen", recording=recording)), default=0)
        content, file = evidence.content(recording), evidence.current_file(recording)
        if content is None or file is None:
            if told and _is_wanted(evidence, recording) and not evidence.is_past_when_mended(recording):
                yield f"{told} frames of {recording} were durable, and no file came"
            continue
        if content.frames != file["facts"]["frames"]:
            yield f"{recording} has {content.frames} frames, {file['facts']['frames']} were sealed"
        yield from _reaches_its_end(evidence, recording, content, file, told)
        yield from _loses_nothing_that_was_told(evidence, recording, file)
    yield from _finds_every_whole_frame_of_what_is_torn(evidence)


def i4_loss_is_bounded(evidence: Evidence) -> Iterator[str]:
    bound = round((evidence.timeouts.flush + FLUSH_ALLOWANCE_SECONDS) * RATE_HZ) + PERIOD_FRAMES
    for recording, start_frame, loss in losses(evidence):
        allowed = bound + max(
            (torn["frames"] - torn["whole_frames"] for torn, _ in _torn(evidence, recording)), default=0
        )
        if loss > allowed:
            yield f"{loss} captured frames are missing at frame {start_frame} of {recording}, {allowed} are allowed"


def i5_no_frame_twice_or_out_of_order(evidence: Evidence) -> Iterator[str]:
    for recording, content, file in _numbered(evidence):
        assert content.numbers is not None
        is_sound = ~_is_in_gap(content.frames, file)
        places = np.flatnonzero(is_sound)
        numbers = content.numbers[is_sound]
        wrong = np.flatnonzero(np.diff(numbers) <= 0)
        if len(wrong):
            at = int(places[wrong[0] + 1])
            yield f"frame {at} of {recording} has number {content.numbers[at]} after {numbers[wrong[0]]}"
        if len(numbers) and numbers.min() <= 0:
            at = int(places[int(numbers.argmin())])
            yield f"frame {at} of {recording} is none that was captured"


def i6_every_gap_is_listed(evidence: Evidence) -> Iterator[str]:
    for recording, content, file in _numbered(evidence):
        assert content.numbers is not None
        in_gap = _is_in_gap(content.frames, file)
        sound_in_gap = np.flatnonzero(in_gap & (content.numbers != SILENCE))
        if len(sound_in_gap):
            yield f"frame {sound_in_gap[0]} of {recording} is there, and listed as missing"
        places = np.flatnonzero(~in_gap & (content.numbers > 0))
        numbers = content.numbers[places]
        missing, listed = np.diff(numbers) - 1, np.diff(places) - 1
        for at in np.flatnonzero((missing > 0) | (listed > 0)):
            first, last = int(places[at]), int(places[at + 1])
            off = int(missing[at] - listed[at])
            if abs(off) > _tolerance(file, first, last):
                yield f"between frames {first} and {last} of {recording} {off} frames are missing that no gap lists"
    for recording in evidence.recordings:
        file_or_none = evidence.current_file(recording)
        for gap in file_or_none["facts"]["gaps"] if file_or_none else []:
            if gap["cause"] not in evidence.plan["gap_causes"]:
                yield f"{recording} has a gap of {gap['frames']} frames ({gap['cause']}), which nothing explains"


def i7_digests_are_equal_end_to_end(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        file, content = evidence.current_file(recording), evidence.content(recording)
        if file is None:
            continue
        if content is None:
            yield f"{recording} is whole, and could not be downloaded"
            continue
        body = content.path.read_bytes()
        sealed = file["parts"]["audio"]
        found = {
            "bytes": len(body),
            "head_sha256": hashlib.sha256(body[:HEAD_BYTES]).hexdigest(),
            "body_sha256": hashlib.sha256(body[HEAD_BYTES:]).hexdigest(),
        }
        for name, value in found.items():
            if sealed[name] != value:
                yield f"{name} of {recording} is {value}, {sealed[name]} was sealed"
        if file["sha256"] not in {None, hashlib.sha256(body).hexdigest()}:
            yield f"the checksum of {recording} is not that of its download"

    for file in evidence.of("cache_file", state="damaged"):
        if not evidence.plan["may_damage"]:
            yield f"cache file {file['id']} is damaged, which nothing explains"


def i8_nothing_unfinished_is_served(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("download", status=200):
        whole = [
            file
            for file in evidence.of("cache_file", recording_id=entry["recording"])
            if file["cached_at"] is not None and instant(file["cached_at"]) <= instant(entry["utc"])
        ]
        if not whole:
            yield f"{entry['recording']} was served before it was finished"
        elif entry["sha256"] not in {file["sha256"] for file in whole}:
            yield f"{entry['recording']} was served with bytes of no finished file"
    for job in evidence.rows["job"]:
        for file in evidence.of("cache_file", job_id=job["id"], state="cached"):
            lost = {gap["cause"] for gap in file["facts"]["gaps"]} & _LOST_WITH_THE_OWNER
            if file["facts"]["end_reason"] == "capture died" and file["origin"] == "normal":
                yield f"cache file {file['id']} ends with the death of its capture and counts as normal ({lost})"


def i20_a_limit_leaves_a_valid_file(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        limits, file = evidence.body(recording).get("limits") or {}, evidence.current_file(recording)
        content = evidence.content(recording)
        if not limits or file is None or content is None:
            continue
        size, length_ms = limits.get("size_bytes"), limits.get("length_ms")
        if size is not None and content.path.stat().st_size > size:
            yield f"{recording} has {content.path.stat().st_size} bytes, {size} are allowed"
        if length_ms is not None and content.frames > length_ms * RATE_HZ // 1000:
            yield f"{recording} has {content.frames} frames, {length_ms} ms are allowed"
        if file["facts"]["end_reason"] in {"length limit", "size limit"} and file["origin"] == "normal":
            yield f"{recording} ended at a limit and counts as normal"


def losses(evidence: Evidence) -> Iterator[tuple[str, int, int]]:
    """Recording, first missing frame, frames that had been captured and are missing: each death of a capture."""
    for recording in evidence.recordings:
        content, file = evidence.content(recording), evidence.current_file(recording)
        if content is None or file is None or content.numbers is None:
            continue
        interface = evidence.body(recording)["interface"]["name"]
        deaths = [evidence.frame_at(interface, entry["at_ns"]) for entry in evidence.entries("capture ended")]
        for start, end in _lost_with_the_owner(file):
            if start > 0 and end < content.frames:
                before, after = int(content.numbers[start - 1]), int(content.numbers[end])
                inside = [death for death in deaths if before < death <= after]
                if inside and before > 0:
                    yield recording, start, inside[0] - before


def _lost_with_the_owner(file: Row) -> list[tuple[int, int]]:
    """Where captures died; several in a row are one when nothing came in between."""
    found: list[tuple[int, int]] = []
    for gap in file["facts"]["gaps"]:
        start, end = gap["start_frame"], gap["start_frame"] + gap["frames"]
        if gap["cause"] not in _LOST_WITH_THE_OWNER:
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


def _reaches_its_end(evidence: Evidence, recording: str, content: Content, file: Row, told: int) -> Iterator[str]:
    stop = _press(evidence, recording)
    planned_ms = evidence.body(recording).get("duration_ms")
    if planned_ms is not None and file["facts"]["end_reason"] == "planned end":
        planned = planned_ms * RATE_HZ // 1000
        may_be_short = file["origin"] == "truncated" or "disk_full" in evidence.plan["gap_causes"]
        if content.frames > planned or (content.frames < planned and not may_be_short):
            yield f"{recording} has {content.frames} frames, {planned_ms} ms were planned"
        return
    if stop is None:
        if content.frames < told and not evidence.body(recording).get("limits"):
            yield f"{told} frames of {recording} were durable, {content.frames} are there"
        return
    if content.numbers is None or file["facts"]["end_reason"] != "stopped" or content.numbers[0] <= 0:
        return
    interface = evidence.body(recording)["interface"]["name"]
    end = int(content.numbers[0]) + content.frames
    tolerance = round((PRESS_TOLERANCE_SECONDS + evidence.plan["delay_seconds"]) * RATE_HZ)
    least, most = (evidence.frame_at(interface, entry["at_ns"]) for entry in stop)
    if end < min(least, int(content.numbers[0]) + told) - tolerance:
        yield f"{recording} ends {(least - end) / RATE_HZ:.2f} s before the stop was pressed"
    if end > most + tolerance:
        yield f"{recording} ends {(end - most) / RATE_HZ:.2f} s after the stop was answered"


def _loses_nothing_that_was_told(evidence: Evidence, recording: str, file: Row) -> Iterator[str]:
    left = min((frames for _, frames in _torn(evidence, recording)), default=None)
    told = [seen["frames"] or 0 for seen in evidence.entries("seen", recording=recording)]
    durable = {frames if left is None else min(frames, left) for frames in told} | {
        frames for frames in [left] if frames
    }
    for frames in sorted(durable):
        for gap in file["facts"]["gaps"]:
            inside = gap["start_frame"] < frames < gap["start_frame"] + gap["frames"]
            if inside and gap["cause"] in _LOST_WITH_THE_OWNER:
                yield f"{frames} frames of {recording} were durable; a gap begins at {gap['start_frame']}"


def _finds_every_whole_frame_of_what_is_torn(evidence: Evidence) -> Iterator[str]:
    for torn in evidence.entries("torn"):
        if torn["found_frames"] != torn["whole_frames"]:
            yield f"{torn['file']} has {torn['whole_frames']} whole frames, {torn['found_frames']} were found"
        if [torn["file"], torn["byte"]] not in torn["tears"]:
            yield f"{torn['file']} is torn at byte {torn['byte']}, and that is not named: {torn['tears']}"


def _torn(evidence: Evidence, recording: str) -> Iterator[tuple[Entry, int]]:
    """Each tear of a take that this recording is of, and how many of its frames come before it."""
    for torn in evidence.entries("torn"):
        start_frame = torn["starts"].get(recording)
        if start_frame is not None:
            yield torn, max(0, torn["whole_frames"] - start_frame)


def _numbered(evidence: Evidence) -> Iterator[tuple[str, Content, Row]]:
    """Recordings whose frames can be told apart, with their file."""
    for recording in evidence.recordings:
        content, file = evidence.content(recording), evidence.current_file(recording)
        if content is not None and file is not None and content.numbers is not None:
            yield recording, content, file


def _is_in_gap(frames: int, file: Row) -> NDArray[np.bool_]:
    in_gap = np.zeros(frames, dtype=bool)
    for gap in file["facts"]["gaps"]:
        in_gap[gap["start_frame"] : gap["start_frame"] + gap["frames"]] = True
    return in_gap


def _tolerance(file: Row, before: int, after: int) -> int:
    """Frames by which the gaps between two frames may differ from what is missing: none where the device counted."""
    gaps = [
        gap
        for gap in file["facts"]["gaps"]
        if before < gap["start_frame"] + gap["frames"] and gap["start_frame"] <= after
    ]
    return sum(ABSENCE_TOLERANCE_FRAMES for gap in gaps if gap["uncertainty_frames"] or gap["cause"] != "overrun")


def _is_wanted(evidence: Evidence, recording: str) -> bool:
    """Whether somebody still wants the content: it was not cancelled."""
    job = evidence.last_attempt(recording)
    return job is not None and job["wish"] != "cancel" and job["state"] != "cancelled"


def _press(evidence: Evidence, recording: str) -> tuple[Entry, Entry] | None:
    """When the first stop that counted was pressed, and answered: one that came before the end of the job."""
    asked = evidence.entries("stop asked", recording=recording)
    answered = [
        entry
        for entry in evidence.entries("stop answered", recording=recording, status=200)
        if entry["answer"]["state"] not in TERMINAL
    ]
    return (asked[0], answered[0]) if asked and answered else None
