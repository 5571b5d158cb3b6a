"""What must hold of jobs and their history: started once, ended once, in time, by whoever may."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from reelkeeper.faultkit.evidence import Evidence, Row
from reelkeeper.faultkit.history import instant
from reelkeeper.faultkit.system import TERMINAL

LATENESS_SECONDS = 2.0
BEAT_LATENESS_SECONDS = 1.0
"""By which the last heartbeat may have been due already."""


def i1_every_job_ends_in_time(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("not settled"):
        yield f"{entry['words']} after {entry['seconds']:.0f} s"
    for job in evidence.rows["job"]:
        if job["state"] not in TERMINAL:
            yield f"job {job['id']} is still {job['state']}"
        elif job["state"] == "failed" and job["reason"] not in _excused(evidence, job):
            yield f"job {job['id']} failed ({job['reason']}: {job['message']}), which nothing explains"
        elif job["state"] == "failed" and job["reason"] == "contact_lost":
            yield from _is_lost_in_time(evidence, job)


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


def i12_history_is_complete(evidence: Evidence) -> Iterator[str]:
    for job in evidence.rows["job"]:
        events = evidence.of("job_event", job_id=job["id"])
        kinds = [event["kind"] for event in events]
        if kinds[:1] != ["created"]:
            yield f"the history of job {job['id']} begins with {kinds[:1]}"
        if any(instant(later["at"]) < instant(earlier["at"]) for earlier, later in pairwise(events)):
            yield f"the history of job {job['id']} is out of order"
        if job["epoch"] > 0 and "claimed" not in kinds:
            yield f"job {job['id']} has epoch {job['epoch']} and was never claimed"
        if job["wish"] != "run" and f"{job['wish']}_wished" not in kinds:
            yield f"job {job['id']} has the wish {job['wish']}, and nobody wished it"
        late = kinds[min((kinds.index(kind) for kind in TERMINAL if kind in kinds), default=len(kinds)) + 1 :]
        allowed = {"salvaged", "cancel_wished"}
        if evidence.of("cache_file", job_id=job["id"], state="damaged"):
            allowed |= {"delivered_again"}
        if set(late) - allowed:
            yield f"job {job['id']} went on after its end: {late}"


def i18_denied_requests_change_nothing(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries("denied"):
        if entry["status"] < 400:
            yield f"{entry['words']} was answered with {entry['status']}"
        if evidence.of("recording", id=entry["recording"]):
            yield f"{entry['words']} was refused and made recording {entry['recording']}"


def _excused(evidence: Evidence, job: Row) -> set[str]:
    excused = set(evidence.plan["may_fail"])
    return excused | {"below_minimum"} if evidence.is_past_when_mended(job["recording_id"]) else excused


def _is_lost_in_time(evidence: Evidence, job: Row) -> Iterator[str]:
    ended = instant(job["ended_at"])
    lost = [instant(entry["utc"]) for entry in evidence.entries("contact lost") if instant(entry["utc"]) <= ended]
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


def _is_the_highest_wish(evidence: Evidence, recording: str) -> Iterator[str]:
    job = evidence.last_attempt(recording)
    for wish in ("cancel", "stop"):
        accepted = evidence.entries(f"{wish} answered", recording=recording, status=200)
        if accepted and job is not None:
            if accepted[0]["answer"]["state"] not in TERMINAL and job["wish"] not in {wish, "cancel"}:
                yield f"{wish} of {recording} was accepted, and its wish is {job['wish']}"
            return
