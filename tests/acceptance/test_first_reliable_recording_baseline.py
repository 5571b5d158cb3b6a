"""FIRST_RELIABLE_RECORDING_BASELINE: sound goes in, a verified file comes out; killing things on the way loses nothing.

Scenarios of C9, J4 and J6 on whole systems, and of C1, C2, S3, S4 and S6. Under the same mark: stalls (C5) in
`test_owner_faults.py`, minimum output (C6) in `test_agent_retry.py`, lost devices (C7) in `test_sound_devices.py`, full
disks (C8) in `test_disk_full.py` and `test_agent_limits.py`, orphaned jobs (J7) in `test_rescue.py`, retries (J10) in
`test_retry.py`, and the network in `test_network_faults.py`.
"""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, is_alive, wait_for
from tests import profiles

pytestmark = pytest.mark.first_reliable_recording_baseline

Start = Callable[..., System]
RATE = 48_000
CLOCK_ERROR_FRAMES = 480
"""Ten milliseconds: a process that is held up between reading two clocks maps an instant so much later."""
MOST_SECONDS_UNTIL_AN_OWNER_FOLLOWS = 15
"""Of a machine that starts processes slowly. One that nobody started would be missing for good."""


def delivered(system: System, recording: str, folder: Path) -> Path:
    """Downloads a completed recording and holds it against its checksum and its ledger."""
    checksum = system.wait_checksum(recording)
    file = system.download(recording, folder / f"{recording}.wav")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == checksum
    info = soundfile.info(str(file))
    assert info.frames == system.ledger(recording)["frames"]
    assert info.frames == system.recording(recording)["cache_file"]["content"]["frames"]
    return file


def test_counter_is_delivered_to_the_frame(system: System, tmp_path: Path) -> None:
    recording = system.record()
    system.wait_capturing(recording, 3 * RATE)
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    numbers = counter_of(delivered(system, recording, tmp_path))
    assert breaks_of(numbers) == []
    assert numbers[0] >= 1
    assert len(numbers) >= 3 * RATE
    assert system.ledger(recording)["gaps"] == []


def test_counter_in_flac_is_the_counter_to_the_frame(system: System, tmp_path: Path) -> None:
    recording = system.record(profile=profiles.FLAC_16)
    system.wait_capturing(recording, 3 * RATE)
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    numbers = counter_of(delivered(system, recording, tmp_path))
    assert breaks_of(numbers) == []
    assert len(numbers) >= 3 * RATE


def test_speech_in_mp3_is_as_long_and_as_loud_as_it_was(system: System, tmp_path: Path) -> None:
    spoken, kept = system.record("speech", profile=profiles.VOICE), system.record("speech", profile=profiles.WAV)
    for recording in (spoken, kept):
        system.wait_capturing(recording, 3 * RATE)
    for recording in (spoken, kept):
        system.stop_recording(recording)
        system.wait_state(recording, "completed")
    both_begin = max(system.ledger(recording)["start_frame"] for recording in (spoken, kept))
    heard, source = (
        soundfile.read(delivered(system, recording, tmp_path))[0][
            both_begin - system.ledger(recording)["start_frame"] :
        ]
        for recording in (spoken, kept)
    )
    length = min(len(heard), len(source))
    both = np.array([heard[:length], source[:length]])
    assert length > 2 * RATE
    assert np.sqrt((both[0] ** 2).mean()) == pytest.approx(np.sqrt((both[1] ** 2).mean()), rel=0.02)
    assert np.corrcoef(both)[0, 1] > 0.95


def test_overlapping_recordings_of_one_interface_are_exact_at_both_ends(system: System, tmp_path: Path) -> None:
    first = system.record()
    system.wait_capturing(first, RATE)
    second = system.record()
    system.wait_capturing(second, RATE)
    system.stop_recording(first)
    system.wait_state(first, "completed")
    system.wait_capturing(second, 2 * RATE)
    owners = [one for one in system.owner_states() if is_alive(one["process"]["pid"])]
    assert [one["interface"]["name"] for one in owners].count("counter") == 1
    system.stop_recording(second)
    system.wait_state(second, "completed")
    one, two = (counter_of(delivered(system, each, tmp_path)) for each in (first, second))
    assert breaks_of(one) == breaks_of(two) == []
    facts = [system.ledger(each) for each in (first, second)]
    assert facts[0]["take_id"] == facts[1]["take_id"]
    assert two[0] - one[0] == facts[1]["start_frame"] - facts[0]["start_frame"]
    assert one[0] < two[0] < one[-1] < two[-1]


def test_neighbours_share_the_instant_and_no_frame_is_doubled_or_missing(system: System, tmp_path: Path) -> None:
    opens_the_input = system.record()
    system.wait_capturing(opens_the_input)
    meeting = datetime.now(UTC) + timedelta(seconds=7)
    first = system.record(ends_at=meeting.isoformat())
    second = system.record(starts_at=meeting.isoformat(), ends_at=(meeting + timedelta(seconds=3)).isoformat())
    for each in (first, second):
        system.wait_state(each, "completed")
    one, two = (counter_of(delivered(system, each, tmp_path)) for each in (first, second))
    assert breaks_of(one) == breaks_of(two) == []
    assert two[0] == one[-1] + 1
    assert abs(len(two) - 3 * RATE) <= CLOCK_ERROR_FRAMES


def test_agent_killed_in_the_middle_loses_no_frame(start_system: Start, tmp_path: Path) -> None:
    system = start_system(scale=0.2)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    wait_for("the renderer", system.renderers)
    owners, renderers = system.owners(), system.renderers()
    assert len(owners) == len(renderers) == 1
    assert system.agent is not None
    system.agent.kill()
    system.agent.wait()
    system.start_agent()
    assert (system.owners(), system.renderers()) == (owners, renderers)
    system.wait_capturing(recording, 4 * RATE)
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    assert breaks_of(counter_of(delivered(system, recording, tmp_path))) == []


def test_second_agent_waits_until_the_first_is_gone(system: System) -> None:
    second = system.spawn("agent")
    assert second.wait(60) != 0
    assert system.agent is not None
    assert system.agent.poll() is None


def test_owner_killed_in_the_middle_leaves_one_gap_and_the_rest_exact(start_system: Start, tmp_path: Path) -> None:
    system = start_system(scale=0.2)
    recording = system.record()
    system.wait_capturing(recording, 2 * RATE)
    (owner,) = system.owners()
    os.kill(owner, signal.SIGKILL)
    wait_for("a new owner", lambda: [pid for pid in system.owners() if pid != owner])
    before = system.job_of(recording)["frames"]
    system.wait_capturing(recording, before + 3 * RATE)
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    numbers = counter_of(delivered(system, recording, tmp_path))
    (gap,) = system.ledger(recording)["gaps"]
    start, end = gap["start_frame"], gap["start_frame"] + gap["frames"]
    assert not numbers[start:end].any()
    assert breaks_of(numbers[:start]) == breaks_of(numbers[end:]) == []
    assert abs(int(numbers[end] - numbers[start - 1] - 1) - gap["frames"]) <= 480
    assert gap["frames"] < MOST_SECONDS_UNTIL_AN_OWNER_FOLLOWS * RATE
    assert gap["cause"] == "owner_died"


def test_controller_away_for_longer_than_a_lease_changes_nothing(start_system: Start, tmp_path: Path) -> None:
    system = start_system(scale=0.2)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    assert system.controller is not None
    os.killpg(system.controller.pid, signal.SIGKILL)
    system.controller.wait()
    time.sleep(system.timeouts.lease + 1)
    system.start_controller()
    frames = system.job_of(recording)["frames"]
    system.wait_capturing(recording, frames + 7 * RATE)
    system.stop_recording(recording)
    found = system.wait_state(recording, "completed")
    assert found["mark"] is None
    numbers = counter_of(delivered(system, recording, tmp_path))
    assert breaks_of(numbers) == []
    assert len(numbers) >= 8 * RATE


@pytest.mark.long
def test_agent_away_for_longer_than_lease_and_grace_fails_the_job_and_its_audio_becomes_salvage(
    start_system: Start, tmp_path: Path
) -> None:
    system = start_system(scale=0.1)
    recording = system.record(duration_ms=18_000)
    system.wait_capturing(recording, RATE)
    assert system.agent is not None
    system.agent.send_signal(signal.SIGSTOP)
    failed = system.wait_state(recording, "failed", 40)
    assert "contact" in system.job_of(recording)["reason"]
    assert failed["cache_state"] != "cached"
    system.agent.send_signal(signal.SIGCONT)
    wait_for("the salvage", lambda: system.recording(recording)["mark"] == "salvaged", 60)
    found = system.recording(recording)
    assert (found["state"], found["reason"], found["cache_state"]) == ("failed", "contact_lost", "cached")
    numbers = counter_of(delivered(system, recording, tmp_path))
    assert (len(numbers), breaks_of(numbers)) == (18 * RATE, [])


def test_postgres_killed_in_the_middle_loses_nothing(start_system: Start, tmp_path: Path) -> None:
    system = start_system(scale=0.2)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    postmaster = system.postmaster()
    os.kill(postmaster, signal.SIGKILL)
    wait_for("the database to be started again", lambda: _other_postmaster(system, postmaster))
    wait_for("the controller to answer again", system.is_ready)
    frames = system.job_of(recording)["frames"]
    system.wait_capturing(recording, frames + 2 * RATE)
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    assert breaks_of(counter_of(delivered(system, recording, tmp_path))) == []


def _other_postmaster(system: System, old: int) -> bool:
    try:
        found = system.postmaster()
    except (StopIteration, FileNotFoundError, IndexError, ValueError):
        return False
    return found != old and is_alive(found)


def test_ten_identical_starts_make_one_recording_also_after_it_ended(system: System) -> None:
    body = system.start_request(duration_ms=2000)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: system.post("/recordings", body)["id"], range(10)))
    assert set(answers) == {body["id"]}
    ended = system.wait_state(body["id"], "completed")
    assert ended["cache_file"]["content"]["frames"] == 2 * RATE
    assert system.post("/recordings", body)["state"] == "completed"
    assert len(system.get(f"/jobs?recording_id={body['id']}")["items"]) == 1
    other = system.request("POST", "/recordings", json={**body, "duration_ms": 3000})
    assert other.status_code == 409


def test_stop_before_anything_was_captured_is_cancelled_with_a_reason(system: System) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    recording = system.record(starts_at=later.isoformat())
    system.stop_recording(recording)
    system.wait_state(recording, "cancelled")
    assert not system.renderers()


def test_cancel_delivers_nothing_and_keeps_what_was_captured_on_the_node(system: System) -> None:
    recording = system.record()
    system.wait_capturing(recording, RATE)
    system.post(f"/recordings/{recording}/cancel")
    system.wait_state(recording, "cancelled")
    assert system.request("GET", f"/recordings/{recording}/download").status_code in (404, 409)
    take_id = system.spooled_job(recording)["take_id"]
    assert list((system.home / "node" / "takes" / take_id).glob("*.wav"))


@pytest.mark.parametrize("interface", ["tone", "counter-32"])
def test_other_interfaces_are_delivered_as_they_were_captured(system: System, tmp_path: Path, interface: str) -> None:
    more = {} if interface == "tone" else {"channels": list(range(32))}
    recording = system.record(interface, duration_ms=2000, **more)
    system.wait_state(recording, "completed")
    pcm, _ = soundfile.read(delivered(system, recording, tmp_path), dtype="float64", always_2d=True)
    assert len(pcm) == 2 * RATE
    if interface == "tone":
        rms_dbfs = 20 * np.log10(np.sqrt(np.mean(pcm**2, axis=0)))
        assert np.allclose(rms_dbfs, -18 - 3.01, atol=0.05)
    else:
        assert pcm.shape[1] == 32
        assert np.abs(np.corrcoef(pcm.T) - np.eye(32)).max() < 0.05
