"""Judges what a fault left behind: one function for each invariant, each says in words what does not hold.

It knows nothing but the evidence: history, rows, downloads, files of the node. It reads no log of ours.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reelkeeper.faultkit.evidence import RATE_HZ, Content, Evidence, Row
from reelkeeper.faultkit.history import Entry
from reelkeeper.faultkit.sound import SILENCE

Check = Callable[[Evidence], Iterator[str]]

TERMINAL = {"completed", "failed", "cancelled"}
PERIOD_FRAMES = 1024
ABSENCE_TOLERANCE_FRAMES = 480
"""What the length of an absence of the device may be off by: 10 ms."""
PRESS_TOLERANCE_SECONDS = 0.5
"""Between a press and the frame it means: what the request was under way."""
FLUSH_ALLOWANCE_SECONDS = 0.5
"""For the flush that runs at the moment of death."""
LATENESS_SECONDS = 2.0
BEAT_LATENESS_SECONDS = 1.0
"""By which the last heartbeat may have been due already."""
MEMORY_LIMIT_BYTES = 768 << 20
HEAD_BYTES = 4096
_LOST_WITH_THE_OWNER = {"owner_died"}


@dataclass(frozen=True)
class Violation:
    invariant: str
    words: str


def check(evidence: Evidence) -> list[Violation]:
    """Everything that does not hold."""
    return [Violation(name, words) for name, judge in CHECKS.items() for words in judge(evidence)]


def worst_loss_ms(evidence: Evidence) -> float | None:
    """The longest stretch that was captured and is not there, None when no capture process died."""
    return max((loss / RATE_HZ * 1000 for _, _, loss in _losses(evidence)), default=None)


# ---- control ----


def i1_every_job_ends_in_time(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("not settled"):
        yield f"{entry['words']} after {entry['seconds']:.0f} s"
    for job in evidence.rows["job"]:
        if job["state"] not in TERMINAL:
            yield f"job {job['id']} is still {job['state']}"
        elif job["state"] == "failed" and job["reason"] not in evidence.plan["may_fail"]:
            yield f"job {job['id']} failed ({job['reason']}: {job['message']}), which nothing explains"
        elif job["state"] == "failed" and job["reason"] == "contact_lost":
            yield from _is_lost_in_time(evidence, job)


def _is_lost_in_time(evidence: Evidence, job: Row) -> Iterator[str]:
    ended = _instant(job["ended_at"])
    lost = [_instant(entry["utc"]) for entry in evidence.entries("contact lost") if _instant(entry["utc"]) <= ended]
    if not lost:
        yield f"job {job['id']} was given up although its node was always there"
        return
    limits = evidence.timeouts
    soonest = limits.lease - limits.heartbeat - BEAT_LATENESS_SECONDS
    away = sum(entry["seconds"] for entry in evidence.entries("controller away"))
    grace = max(limits.grace_capturing, limits.grace_uploading)
    latest = limits.lease + grace + limits.rescue_period + LATENESS_SECONDS + away + (limits.lease if away else 0)
    if ended < lost[0] + timedelta(seconds=soonest):
        yield f"job {job['id']} was given up {ended - lost[0]} after the contact was lost"
    if ended > lost[-1] + timedelta(seconds=latest):
        yield f"job {job['id']} was given up only {ended - lost[-1]} after the contact was lost"


def i2_one_terminal_state(evidence: Evidence) -> Iterator[str]:
    for job in evidence.rows["job"]:
        kinds = [event["kind"] for event in evidence.of("job_event", job_id=job["id"]) if event["kind"] in TERMINAL]
        if job["state"] in TERMINAL and kinds != [job["state"]]:
            yield f"job {job['id']} is {job['state']}, its history says {kinds}"
    ended: dict[str, str] = {}
    for seen in evidence.entries("seen"):
        before = ended.setdefault(seen["job"], seen["state"]) if seen["state"] in TERMINAL else ended.get(seen["job"])
        if before is not None and seen["state"] != before:
            yield f"job {seen['job']} was {before} and then {seen['state']}"


def i9_no_zombie_changes_results(evidence: Evidence) -> Iterator[str]:
    for job in evidence.rows["job"]:
        events = evidence.of("job_event", job_id=job["id"])
        done = [event for event in events if event["kind"] == "completed"]
        if any(event["epoch"] != job["epoch"] for event in done):
            yield f"job {job['id']} of epoch {job['epoch']} was completed under epoch {done[0]['epoch']}"
        for file in evidence.of("cache_file", job_id=job["id"], state="cached"):
            if file["origin"] != "salvaged" and (not done or file["epoch"] != done[0]["epoch"]):
                yield f"cache file {file['id']} of {job['state']} job {job['id']} counts as {file['origin']}"
        epochs = [event["epoch"] for event in events if event["kind"] == "claimed"]
        if sorted(set(epochs)) != epochs:
            yield f"job {job['id']} was claimed under epochs {epochs}"


def i10_starts_are_idempotent(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        answers = [entry for entry in evidence.entries("start answered", recording=recording) if entry["status"] < 300]
        told = {(entry["answer"]["id"], entry["answer"]["job_id"]) for entry in answers}
        if len(told) > 1:
            yield f"equal starts of {recording} were answered with {sorted(told)}"
        rows = evidence.of("recording", id=recording)
        if answers and len(rows) != 1:
            yield f"{len(rows)} recordings came of the start of {recording}"
        first = [job for job in evidence.of("job", recording_id=recording) if job["attempt"] == 1]
        if len(first) != len(rows):
            yield f"{len(first)} first attempts at {recording}"
    for entry in evidence.entries("other start answered"):
        if entry["status"] < 500 and entry["status"] != 409:
            yield f"a start of {entry['recording']} with another body was answered with {entry['status']}"


def i11_a_stop_acts_once(evidence: Evidence) -> Iterator[str]:
    for job in evidence.rows["job"]:
        kinds = Counter(event["kind"] for event in evidence.of("job_event", job_id=job["id"]))
        for wish in ("stop_wished", "cancel_wished"):
            if kinds[wish] > 1:
                yield f"job {job['id']} has {kinds[wish]} times {wish}"
        if not kinds["claimed"] and evidence.of("cache_file", job_id=job["id"]):
            yield f"job {job['id']} was captured although nobody took it"
    for recording in evidence.recordings:
        yield from _is_the_highest_wish(evidence, recording)


def _is_the_highest_wish(evidence: Evidence, recording: str) -> Iterator[str]:
    job = _last_attempt(evidence, recording)
    for wish in ("cancel", "stop"):
        accepted = evidence.entries(f"{wish} answered", recording=recording, status=200)
        if accepted and job is not None:
            if accepted[0]["answer"]["state"] not in TERMINAL and job["wish"] not in {wish, "cancel"}:
                yield f"{wish} of {recording} was accepted, and its wish is {job['wish']}"
            return


def i12_history_is_complete(evidence: Evidence) -> Iterator[str]:
    for job in evidence.rows["job"]:
        events = evidence.of("job_event", job_id=job["id"])
        kinds = [event["kind"] for event in events]
        if kinds[:1] != ["created"]:
            yield f"the history of job {job['id']} begins with {kinds[:1]}"
        if any(_instant(later["at"]) < _instant(earlier["at"]) for earlier, later in pairwise(events)):
            yield f"the history of job {job['id']} is out of order"
        if job["epoch"] > 0 and "claimed" not in kinds:
            yield f"job {job['id']} has epoch {job['epoch']} and was never claimed"
        if job["wish"] != "run" and f"{job['wish']}_wished" not in kinds:
            yield f"job {job['id']} has the wish {job['wish']}, and nobody wished it"
        late = kinds[min((kinds.index(kind) for kind in TERMINAL if kind in kinds), default=len(kinds)) + 1 :]
        if set(late) - {"salvaged", "cancel_wished"}:
            yield f"job {job['id']} went on after its end: {late}"


def i18_denied_requests_change_nothing(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("denied"):
        if entry["status"] < 400:
            yield f"{entry['words']} was answered with {entry['status']}"
        if evidence.of("recording", id=entry["recording"]):
            yield f"{entry['words']} was refused and made recording {entry['recording']}"


# ---- content ----


def i3_nothing_acknowledged_is_lost(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        told = max((seen["frames"] or 0 for seen in evidence.entries("seen", recording=recording)), default=0)
        content, file = evidence.content(recording), evidence.current_file(recording)
        if content is None or file is None:
            if told and _is_wanted(evidence, recording) and not _is_damaged(evidence, recording):
                yield f"{told} frames of {recording} were durable, and no file came"
            continue
        if content.frames != file["facts"]["frames"]:
            yield f"{recording} has {content.frames} frames, {file['facts']['frames']} were sealed"
        yield from _reaches_its_end(evidence, recording, content, file, told)
        yield from _loses_nothing_that_was_told(evidence, recording, file)


def _reaches_its_end(evidence: Evidence, recording: str, content: Content, file: Row, told: int) -> Iterator[str]:
    stop = _press(evidence, recording)
    planned_ms = evidence.body(recording).get("duration_ms")
    if planned_ms is not None and file["facts"]["end_reason"] == "planned end":
        if content.frames != planned_ms * RATE_HZ // 1000:
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
    for seen in evidence.entries("seen", recording=recording):
        for gap in file["facts"]["gaps"]:
            inside = gap["start_frame"] < (seen["frames"] or 0) < gap["start_frame"] + gap["frames"]
            if inside and gap["cause"] in _LOST_WITH_THE_OWNER:
                yield f"{seen['frames']} frames of {recording} were durable; a gap begins at {gap['start_frame']}"


def i4_loss_is_bounded(evidence: Evidence) -> Iterator[str]:
    bound = round((evidence.timeouts.flush + FLUSH_ALLOWANCE_SECONDS) * RATE_HZ) + PERIOD_FRAMES
    for recording, start_frame, loss in _losses(evidence):
        if loss > bound:
            yield f"{loss} captured frames are missing at frame {start_frame} of {recording}, {bound} are allowed"


def _losses(evidence: Evidence) -> Iterator[tuple[str, int, int]]:
    """Recording, first missing frame, frames that had been captured and are missing: each death of a capture."""
    for recording in evidence.recordings:
        content, file = evidence.content(recording), evidence.current_file(recording)
        if content is None or file is None or content.numbers is None:
            continue
        interface = evidence.body(recording)["interface"]["name"]
        deaths = [evidence.frame_at(interface, entry["at_ns"]) for entry in evidence.entries("capture ended")]
        for gap in file["facts"]["gaps"]:
            start, end = gap["start_frame"], gap["start_frame"] + gap["frames"]
            if gap["cause"] in _LOST_WITH_THE_OWNER and start > 0 and end < content.frames:
                before, after = int(content.numbers[start - 1]), int(content.numbers[end])
                inside = [death for death in deaths if before < death <= after]
                if inside:
                    yield recording, start, inside[0] - before


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


def _tolerance(file: Row, before: int, after: int) -> int:
    """Frames by which the gaps between two frames may differ from what is missing: none where the device counted."""
    gaps = [
        gap
        for gap in file["facts"]["gaps"]
        if before < gap["start_frame"] + gap["frames"] and gap["start_frame"] <= after
    ]
    return sum(ABSENCE_TOLERANCE_FRAMES for gap in gaps if gap["uncertainty_frames"] or gap["cause"] != "overrun")


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
            if file["cached_at"] is not None and _instant(file["cached_at"]) <= _instant(entry["utc"])
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


# ---- what is left ----


def i13_memory_is_bounded(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("memory"):
        if entry["bytes"] > MEMORY_LIMIT_BYTES:
            yield f"{entry['process']} took {entry['bytes'] >> 20} MiB"


def i14_nothing_is_left_behind(evidence: Evidence) -> Iterator[str]:
    yield from evidence.node.leftovers
    for entry in evidence.entries("harmed"):
        yield str(entry["words"])
    for lease in evidence.rows["lease"]:
        yield f"the lease of job {lease['job_id']} is left"


def i15_files_parse(evidence: Evidence) -> Iterator[str]:
    yield from evidence.node.broken_files


def i16_shutdown_is_bounded(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("stopped"):
        if entry["seconds"] > entry["limit_seconds"]:
            given = f"it is given {entry['limit_seconds']:.1f} s"
            yield f"the {entry['process']} took {entry['seconds']:.1f} s to stop, {given}"


def i17_helpers_know_no_secret(evidence: Evidence) -> Iterator[str]:
    yield from evidence.node.secrets


def i19_a_full_disk_breaks_nothing_before(evidence: Evidence) -> Iterator[str]:
    for recording in evidence.recordings:
        if evidence.entries("start asked", recording=recording)[0].get("while_full"):
            job = _last_attempt(evidence, recording)
            if job is not None and job["state"] == "failed" and not job["message"]:
                yield f"{recording} was started on a full disk and failed without a word"
            if job is not None and job["state"] == "completed" and evidence.current_file(recording) is None:
                yield f"{recording} was started on a full disk, is completed and has no file"


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


CHECKS: dict[str, Check] = {
    "I1": i1_every_job_ends_in_time,
    "I2": i2_one_terminal_state,
    "I3": i3_nothing_acknowledged_is_lost,
    "I4": i4_loss_is_bounded,
    "I5": i5_no_frame_twice_or_out_of_order,
    "I6": i6_every_gap_is_listed,
    "I7": i7_digests_are_equal_end_to_end,
    "I8": i8_nothing_unfinished_is_served,
    "I9": i9_no_zombie_changes_results,
    "I10": i10_starts_are_idempotent,
    "I11": i11_a_stop_acts_once,
    "I12": i12_history_is_complete,
    "I13": i13_memory_is_bounded,
    "I14": i14_nothing_is_left_behind,
    "I15": i15_files_parse,
    "I16": i16_shutdown_is_bounded,
    "I17": i17_helpers_know_no_secret,
    "I18": i18_denied_requests_change_nothing,
    "I19": i19_a_full_disk_breaks_nothing_before,
    "I20": i20_a_limit_leaves_a_valid_file,
}


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


def _last_attempt(evidence: Evidence, recording: str) -> Row | None:
    return max(evidence.of("job", recording_id=recording), key=lambda job: job["attempt"], default=None)


def _is_wanted(evidence: Evidence, recording: str) -> bool:
    """Whether somebody still wants the content: it was not cancelled."""
    job = _last_attempt(evidence, recording)
    return job is not None and job["wish"] != "cancel" and job["state"] != "cancelled"


def _is_damaged(evidence: Evidence, recording: str) -> bool:
    """Whether the controller says itself that what it has is not what was sealed."""
    return bool(evidence.of("cache_file", recording_id=recording, state="damaged"))


def _press(evidence: Evidence, recording: str) -> tuple[Entry, Entry] | None:
    """When the first stop that counted was pressed, and answered."""
    asked = evidence.entries("stop asked", recording=recording)
    answered = evidence.entries("stop answered", recording=recording, status=200)
    return (asked[0], answered[0]) if asked and answered else None


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
