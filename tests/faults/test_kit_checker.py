"""Evidence with one lie in it: the checker of the fault kit must find every one, and nothing in evidence without."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from reelkeeper.faultkit.checker import CHECKS, check, worst_loss_ms
from reelkeeper.faultkit.evidence import Evidence
from reelkeeper.faultkit.sound import COUNTER_KEY, SILENCE, UNKNOWN, keyed, keyed_of

RATE = 48_000
RECORDING, JOB, FILE = "recording-1", "job-1", "file-1"
FIRST = 100_000
GAP = (30_000, 12_000)
FRAMES = 96_000
SECOND_NS = 1_000_000_000

Story = dict[str, Any]


def utc(seconds: float) -> str:
    return f"2026-11-21T10:00:{seconds:09.6f}+00:00"


def at(frame: int) -> int:
    """The boottime of a frame of the source."""
    return (frame - 1) * SECOND_NS // RATE


def entry(what: str, frame: int, **facts: Any) -> Story:
    return {"at_ns": at(frame), "utc": utc(frame / RATE), "what": what, **facts}


def true_story() -> Story:
    """A recording of `counter` whose owner was killed once, stopped by somebody, and delivered."""
    gap_start, gap_frames = GAP
    numbers = np.arange(FIRST, FIRST + FRAMES)
    numbers[gap_start : gap_start + gap_frames] = 0
    answer = {"id": RECORDING, "job_id": JOB, "state": "queued", "code": None}
    end = FIRST + FRAMES
    body = {"id": RECORDING, "interface": {"backend": "synthetic", "name": "counter"}}
    history = [
        entry(
            "plan",
            FIRST,
            scale=1.0,
            gap_causes=["owner_died"],
            may_fail=["contact_lost"],
            may_damage=False,
            delay_seconds=0.0,
        ),
        entry("start asked", FIRST - 10, recording=RECORDING, body=body, while_full=False),
        entry("start answered", FIRST, recording=RECORDING, status=201, answer=answer),
        entry("start answered", FIRST, recording=RECORDING, status=200, answer=answer),
        entry("other start answered", FIRST, recording=RECORDING, status=409, answer={}),
        entry("denied", FIRST, recording="recording-9", status=401, words="a start of nobody"),
        entry("seen", FIRST + 20_000, recording=RECORDING, job=JOB, state="running", phase="capturing", frames=20_000),
        entry("download", FIRST + 20_000, recording=RECORDING, status=409, file=None, sha256="x"),
        entry("capture ended", FIRST + gap_start + 4_000, processes=1),
        entry("stop asked", end - 100, recording=RECORDING),
        entry("stop answered", end + 100, recording=RECORDING, status=200, answer={**answer, "state": "recording"}),
        entry("stopped", end, process="agent", seconds=1.0, limit_seconds=5.0),
        entry("memory", end, process="agent", bytes=80 << 20),
        entry("seen", end + RATE, recording=RECORDING, job=JOB, state="completed", phase=None, frames=None),
    ]
    events = [("created", 0), ("claimed", 1), ("stop_wished", 1), ("completed", 1)]
    gaps = [{"start_frame": gap_start, "frames": gap_frames, "cause": "owner_died", "uncertainty_frames": 1}]
    rows = {
        "recording": [{"id": RECORDING, "state": "completed"}],
        "job": [
            {
                "id": JOB,
                "recording_id": RECORDING,
                "attempt": 1,
                "state": "completed",
                "wish": "stop",
                "epoch": 1,
                "reason": None,
                "message": None,
                "ended_at": utc(5),
            }
        ],
        "job_event": [
            {"id": number, "job_id": JOB, "epoch": epoch, "kind": kind, "at": utc(2 + number)}
            for number, (kind, epoch) in enumerate(events)
        ],
        "lease": [],
        "cache_file": [
            {
                "id": FILE,
                "recording_id": RECORDING,
                "job_id": JOB,
                "epoch": 1,
                "origin": "normal",
                "state": "cached",
                "is_current": True,
                "cached_at": utc(5),
                "facts": {"frames": FRAMES, "gaps": gaps, "end_reason": "stopped"},
            }
        ],
        "health_event": [],
    }
    node = {"broken_files": [], "leftovers": [], "secrets": [], "clocks": {"counter": 0, "counter-32": 0}}
    return {"history": history, "rows": rows, "node": node, "numbers": numbers}


def evidence_of(story: Story, folder: Path) -> Evidence:
    """The story as a campaign would have left it, sealed and downloaded as it is."""
    path = folder / f"{RECORDING}.wav"
    soundfile.write(path, samples_of(story), RATE, subtype="PCM_16")
    content = path.read_bytes()
    for file in story["rows"]["cache_file"]:
        file.setdefault("sha256", hashlib.sha256(content).hexdigest())
        head, body = content[:4096], content[4096:]
        digests = {"head_sha256": hashlib.sha256(head).hexdigest(), "body_sha256": hashlib.sha256(body).hexdigest()}
        file.setdefault("parts", {"audio": {"bytes": len(content), **digests}})
    digest = hashlib.sha256(content).hexdigest()
    served = entry("download", FIRST + 6 * RATE, recording=RECORDING, status=200, file=path.name, sha256=digest)
    history = [*story["history"], *([] if story.get("unserved") else [served])]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    (folder / "rows.json").write_text(json.dumps(story["rows"]))
    (folder / "node.json").write_text(json.dumps(story["node"]))
    if after := story.get("after"):
        after(path)
    return Evidence(folder)


def samples_of(story: Story) -> np.ndarray[Any, Any]:
    numbers = np.asarray(story["numbers"], dtype=np.int64)
    return np.stack([numbers & 0xFFFF, numbers >> 16], axis=1).astype(np.uint16).view(np.int16)


def facts(story: Story) -> Story:
    found: Story = story["rows"]["cache_file"][0]["facts"]
    return found


def change_frames(story: Story, numbers: np.ndarray[Any, Any]) -> None:
    story["numbers"] = numbers
    facts(story)["frames"] = len(numbers)


def drop_a_frame(story: Story) -> None:
    change_frames(story, np.delete(story["numbers"], 60_000))


def drop_a_frame_and_forget_its_length(story: Story) -> None:
    story["numbers"] = np.delete(story["numbers"], 60_000)


def double_a_frame(story: Story) -> None:
    change_frames(story, np.insert(story["numbers"], 60_000, story["numbers"][60_000]))


def swap_two_frames(story: Story) -> None:
    story["numbers"][[60_000, 60_001]] = story["numbers"][[60_001, 60_000]]


def flip_a_bit_of_a_frame(story: Story) -> None:
    story["numbers"][60_000] ^= 4


def silence_a_frame(story: Story) -> None:
    story["numbers"][60_000] = 0


def shift_the_gap(story: Story) -> None:
    facts(story)["gaps"][0]["start_frame"] += 1


def shift_the_gap_back(story: Story) -> None:
    facts(story)["gaps"][0]["start_frame"] -= 1


def drop_the_gap(story: Story) -> None:
    facts(story)["gaps"].clear()


def invent_a_gap(story: Story) -> None:
    facts(story)["gaps"].append({"start_frame": 60_000, "frames": 500, "cause": "owner_died", "uncertainty_frames": 0})


def miscount_the_gap(story: Story) -> None:
    """Half a second more is missing than the gap says."""
    story["numbers"][GAP[0] + GAP[1] :] += RATE // 2


def miscount_an_overrun_by_one(story: Story) -> None:
    facts(story)["gaps"][0].update(cause="overrun", uncertainty_frames=0)
    story["history"][0]["gap_causes"] = ["overrun"]
    story["numbers"][GAP[0] + GAP[1] :] += 1


def leave_a_gap_unexplained(story: Story) -> None:
    story["history"][0]["gap_causes"] = []


def lose_what_was_acknowledged(story: Story) -> None:
    story["history"][6]["frames"] = GAP[0] + 100


def lose_more_than_a_second(story: Story) -> None:
    start, end = 100, 80_000
    story["numbers"][start:end] = 0
    facts(story)["gaps"][0].update(start_frame=start, frames=end - start)
    story["history"][6]["frames"] = start
    story["history"][8] = entry("capture ended", FIRST + end - 1_000, processes=1)


def end_before_the_plan(story: Story) -> None:
    story["history"][1]["body"]["duration_ms"] = 2_500
    facts(story)["end_reason"] = "planned end"


def end_too_early(story: Story) -> None:
    change_frames(story, story["numbers"][: FRAMES - RATE])
    story["history"][6]["frames"] = FRAMES - 100


def end_too_late(story: Story) -> None:
    tail = np.arange(FIRST + FRAMES, FIRST + FRAMES + 2 * RATE)
    change_frames(story, np.concatenate([story["numbers"], tail]))


def deliver_nothing(story: Story) -> None:
    story["rows"]["cache_file"].clear()
    story["unserved"] = True


def seal_another_digest(story: Story) -> None:
    story["rows"]["cache_file"][0]["sha256"] = "0" * 64


def flip_a_bit_of_the_download(story: Story) -> None:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[50_000] ^= 1
        path.write_bytes(content)

    story["after"] = flip


def find_damage(story: Story) -> None:
    story["rows"]["cache_file"][0]["state"] = "damaged"


def never_send_damage_again(story: Story) -> None:
    find_damage(story)
    story["history"][0]["may_damage"] = True


def deliver_again_what_was_whole(story: Story) -> None:
    add_event(story, "delivered_again")


def cut_the_download(story: Story) -> None:
    story["after"] = lambda path: path.write_bytes(path.read_bytes()[:-400])


def serve_a_growing_file(story: Story) -> None:
    story["history"].insert(7, {**entry("download", FIRST + 50), "recording": RECORDING, "status": 200})
    story["history"][7].update(file=f"{RECORDING}.wav", sha256="1" * 64)


def serve_other_bytes(story: Story) -> None:
    early = entry("download", FIRST + 6 * RATE, recording=RECORDING, status=200)
    story["history"].append({**early, "file": f"{RECORDING}.wav", "sha256": "2" * 64})


def not_serve_what_is_whole(story: Story) -> None:
    story["unserved"] = True


def call_a_death_normal(story: Story) -> None:
    facts(story)["end_reason"] = "capture died"


def add_event(story: Story, kind: str, epoch: int = 1) -> None:
    events = story["rows"]["job_event"]
    events.append({"id": len(events), "job_id": JOB, "epoch": epoch, "kind": kind, "at": utc(20 + len(events))})


def end_twice(story: Story) -> None:
    add_event(story, "failed")


def end_otherwise_than_written(story: Story) -> None:
    story["rows"]["job"][0].update(state="failed", reason="contact_lost", message="gone")


def rise_from_the_dead(story: Story) -> None:
    story["history"].append(
        entry("seen", FIRST + 300_000, recording=RECORDING, job=JOB, state="running", phase="capturing", frames=1)
    )


def complete_under_an_old_epoch(story: Story) -> None:
    story["rows"]["job"][0]["epoch"] = 2


def seal_under_an_old_epoch(story: Story) -> None:
    story["rows"]["cache_file"][0]["epoch"] = 0


def claim_twice_under_one_epoch(story: Story) -> None:
    events = story["rows"]["job_event"]
    events.insert(2, {**events[1], "id": 9})


def start_two_jobs(story: Story) -> None:
    story["history"][3]["answer"] = {**story["history"][3]["answer"], "job_id": "job-2"}


def accept_another_body(story: Story) -> None:
    story["history"][4]["status"] = 201


def stop_twice(story: Story) -> None:
    events = story["rows"]["job_event"]
    events.insert(3, {**events[2], "id": 9})


def forget_a_stop(story: Story) -> None:
    story["rows"]["job"][0]["wish"] = "run"


def forget_who_wished(story: Story) -> None:
    del story["rows"]["job_event"][2]


def go_on_after_the_end(story: Story) -> None:
    add_event(story, "claimed", epoch=2)


def write_history_backwards(story: Story) -> None:
    story["rows"]["job_event"][2]["at"] = utc(1)


def obey_a_stranger(story: Story) -> None:
    story["rows"]["recording"].append({"id": "recording-9", "state": "queued"})


def answer_a_stranger(story: Story) -> None:
    story["history"][5]["status"] = 201


def fail_without_a_cause(story: Story) -> None:
    story["rows"]["job"][0].update(state="failed", reason="capture_not_started", message="no")
    story["rows"]["job_event"][3]["kind"] = "failed"


def give_up_a_node_that_is_there(story: Story) -> None:
    story["rows"]["job"][0].update(state="failed", reason="contact_lost", message="gone")
    story["rows"]["job_event"][3]["kind"] = "failed"


def give_up_too_soon(story: Story) -> None:
    give_up_a_node_that_is_there(story)
    story["history"].append(entry("contact lost", 4 * RATE))


def never_end(story: Story) -> None:
    story["rows"]["job"][0].update(state="running", ended_at=None)
    del story["rows"]["job_event"][3]


def not_settle(story: Story) -> None:
    story["history"].append(entry("not settled", FIRST, recording=RECORDING, words="it is running", seconds=60.0))


def take_much_memory(story: Story) -> None:
    story["history"][12]["bytes"] = 2 << 30


def leave_a_process(story: Story) -> None:
    story["node"]["leftovers"].append("renderer 42 is left")


def leave_a_lease(story: Story) -> None:
    story["rows"]["lease"].append({"job_id": JOB})


def harm_a_stranger(story: Story) -> None:
    story["history"].append(entry("harmed", FIRST, words="process 7 was ended"))


def break_a_state_file(story: Story) -> None:
    story["node"]["broken_files"].append("node/jobs/1/job.json does not parse")


def stop_for_ever(story: Story) -> None:
    story["history"][11]["seconds"] = 31.0


def tell_a_secret(story: Story) -> None:
    story["node"]["secrets"].append("process 7 has the node token in its environ")


def fail_on_a_full_disk_without_a_word(story: Story) -> None:
    story["history"][1]["while_full"] = True
    story["history"][0]["may_fail"] = ["disk_full"]
    story["rows"]["job"][0].update(state="failed", reason="disk_full", message="")
    story["rows"]["job_event"][3]["kind"] = "failed"


def make_what_was_refused(story: Story) -> None:
    story["history"][3]["status"] = 409


def go_beyond_a_limit_of_size(story: Story) -> None:
    story["history"][1]["body"]["limits"] = {"size_bytes": 100_000}


def go_beyond_a_limit_of_length(story: Story) -> None:
    story["history"][1]["body"]["limits"] = {"length_ms": 1000}


def tear(story: Story, whole_frames: int, **facts_of_it: Any) -> None:
    """The take ends before its frame at the death, as the surgery left it."""
    story["history"].insert(
        9,
        entry(
            "torn",
            FIRST + GAP[0] + 4_000,
            **{
                "file": "0.wav",
                "byte": 112 + 4 * whole_frames + 1,
                "frames": GAP[0] + 1_000,
                "whole_frames": whole_frames,
                "found_frames": whole_frames,
                "tears": [["0.wav", 112 + 4 * whole_frames + 1]],
                "starts": {RECORDING: 0},
                **facts_of_it,
            },
        ),
    )


def lose_whole_frames_of_what_was_torn(story: Story) -> None:
    tear(story, GAP[0] + 500)


def find_less_in_what_was_torn(story: Story) -> None:
    tear(story, GAP[0], found_frames=GAP[0] - 1)


def not_name_a_tear(story: Story) -> None:
    tear(story, GAP[0], tears=[])


LIES: dict[Callable[[Story], None], str] = {
    fail_without_a_cause: "I1",
    give_up_a_node_that_is_there: "I1",
    give_up_too_soon: "I1",
    never_end: "I1",
    not_settle: "I1",
    end_twice: "I2",
    end_otherwise_than_written: "I2",
    rise_from_the_dead: "I2",
    drop_a_frame_and_forget_its_length: "I3",
    lose_what_was_acknowledged: "I3",
    end_before_the_plan: "I3",
    end_too_early: "I3",
    end_too_late: "I3",
    deliver_nothing: "I3",
    lose_whole_frames_of_what_was_torn: "I3",
    find_less_in_what_was_torn: "I3",
    not_name_a_tear: "I3",
    lose_more_than_a_second: "I4",
    double_a_frame: "I5",
    swap_two_frames: "I5",
    flip_a_bit_of_a_frame: "I5",
    silence_a_frame: "I5",
    drop_the_gap: "I5",
    shift_the_gap: "I5",
    shift_the_gap_back: "I6",
    drop_a_frame: "I6",
    invent_a_gap: "I6",
    miscount_the_gap: "I6",
    miscount_an_overrun_by_one: "I6",
    leave_a_gap_unexplained: "I6",
    seal_another_digest: "I7",
    flip_a_bit_of_the_download: "I7",
    cut_the_download: "I7",
    find_damage: "I7",
    never_send_damage_again: "I3",
    not_serve_what_is_whole: "I7",
    serve_a_growing_file: "I8",
    serve_other_bytes: "I8",
    call_a_death_normal: "I8",
    complete_under_an_old_epoch: "I9",
    seal_under_an_old_epoch: "I9",
    claim_twice_under_one_epoch: "I9",
    start_two_jobs: "I10",
    accept_another_body: "I10",
    stop_twice: "I11",
    forget_a_stop: "I11",
    forget_who_wished: "I12",
    deliver_again_what_was_whole: "I12",
    go_on_after_the_end: "I12",
    write_history_backwards: "I12",
    take_much_memory: "I13",
    leave_a_process: "I14",
    leave_a_lease: "I14",
    harm_a_stranger: "I14",
    break_a_state_file: "I15",
    stop_for_ever: "I16",
    tell_a_secret: "I17",
    obey_a_stranger: "I18",
    answer_a_stranger: "I18",
    fail_on_a_full_disk_without_a_word: "I19",
    make_what_was_refused: "I19",
    go_beyond_a_limit_of_size: "I20",
    go_beyond_a_limit_of_length: "I20",
}


def test_true_story_is_believed(tmp_path: Path) -> None:
    evidence = evidence_of(true_story(), tmp_path)
    assert check(evidence) == []
    assert worst_loss_ms(evidence) == pytest.approx(4_000 / RATE * 1000, abs=0.1)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_lie_is_found(lie: Callable[[Story], None], tmp_path: Path) -> None:
    story = true_story()
    lie(story)
    assert LIES[lie] in {violation.invariant for violation in check(evidence_of(story, tmp_path))}


def test_what_was_torn_off_may_be_missing_although_it_was_acknowledged(tmp_path: Path) -> None:
    story = true_story()
    lose_what_was_acknowledged(story)
    tear(story, GAP[0])
    assert check(evidence_of(story, tmp_path)) == []


def test_clock_of_a_node_that_slept_is_ahead_of_that_of_the_history(tmp_path: Path) -> None:
    story = true_story()
    slept_frames = 5 * RATE
    story["numbers"][GAP[0] + GAP[1] :] += slept_frames
    facts(story)["gaps"][0].update(frames=GAP[1] + slept_frames, cause="suspended")
    numbers = story["numbers"]
    change_frames(story, np.insert(numbers, GAP[0], np.zeros(slept_frames, dtype=numbers.dtype)))
    story["history"][0]["gap_causes"] = ["suspended"]
    slept = entry("node clock", FIRST + GAP[0], ahead_ns=5 * SECOND_NS, slept_seconds=5.0)
    story["history"].insert(8, slept)
    assert check(evidence_of(story, tmp_path)) == []
    story["history"].remove(slept)
    assert "I3" in {violation.invariant for violation in check(evidence_of(story, tmp_path))}


def test_every_invariant_has_a_lie_that_it_finds() -> None:
    assert set(LIES.values()) == set(CHECKS)


def test_frames_of_many_channels_are_known_again_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    frames = np.arange(70_000, 72_000, dtype=np.uint64)
    words = np.stack([keyed(frames, channel, COUNTER_KEY) for channel in range(3)], axis=1)
    words[500] = 0
    words[600, 2] ^= 1
    words[[700, 701]] = words[[701, 700]]
    path = tmp_path / "three.wav"
    soundfile.write(path, words.view(np.int32), RATE, subtype="PCM_32")
    found = keyed_of(path, 1, 100_000)
    expected = frames.astype(np.int64)
    expected[500], expected[600] = SILENCE, UNKNOWN
    expected[[700, 701]] = expected[[701, 700]]
    assert found.tolist() == expected.tolist()


def test_owner_that_dies_again_before_it_kept_anything_lost_no_more_than_the_first(tmp_path: Path) -> None:
    story = true_story()
    start, frames = GAP
    first = {**facts(story)["gaps"][0], "frames": 5_000}
    facts(story)["gaps"] = [first, {**first, "start_frame": start + 5_000, "frames": frames - 5_000}]
    story["history"].insert(9, entry("capture ended", FIRST + start + 11_000, processes=1))
    evidence = evidence_of(story, tmp_path)
    assert check(evidence) == []
    assert worst_loss_ms(evidence) == pytest.approx(4_000 / RATE * 1000, abs=0.1)


@pytest.mark.parametrize(
    ("planned_ms", "died_after", "found"),
    [(1_500, 0.2, set()), (60_000, 0.2, {"I1", "I3"}), (1_500, 1.3, {"I1", "I3"})],
)
def test_only_what_passed_whole_while_nothing_captured_may_come_to_nothing(
    planned_ms: int, died_after: float, found: set[str], tmp_path: Path
) -> None:
    story = true_story()
    deliver_nothing(story)
    story["rows"]["job"][0].update(state="failed", reason="below_minimum", wish="run")
    story["rows"]["job_event"][2:] = [{**story["rows"]["job_event"][3], "id": 2, "kind": "failed"}]
    story["history"][1]["body"]["duration_ms"] = planned_ms
    story["history"] = [one for one in story["history"] if one["what"] not in ("stop asked", "stop answered")]
    story["history"][8]["at_ns"] = story["history"][1]["at_ns"] + round(died_after * SECOND_NS)
    story["history"].insert(9, entry("mended", FIRST + 3 * RATE, name="power_cut_all"))
    story["history"][-1]["state"] = "failed"
    assert {violation.invariant for violation in check(evidence_of(story, tmp_path))} == found
