"""What must hold of the machine afterwards: nothing is left, nothing is broken, nothing was told."""

from collections.abc import Iterator

from reelkeeper.faultkit.evidence import Evidence

MEMORY_LIMIT_BYTES = 768 << 20


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
        refusals = [
            entry for entry in evidence.entries("start answered", recording=recording) if entry["status"] >= 400
        ]
        if refusals and evidence.of("recording", id=recording):
            yield f"the start of {recording} was refused, and made it all the same"
        if evidence.entries("start asked", recording=recording)[0].get("while_full"):
            job = evidence.last_attempt(recording)
            if job is not None and job["state"] == "failed" and not job["message"]:
                yield f"{recording} was started on a full disk and failed without a word"
            if job is not None and job["state"] == "completed" and evidence.current_file(recording) is None:
                yield f"{recording} was started on a full disk, is completed and has no file"
