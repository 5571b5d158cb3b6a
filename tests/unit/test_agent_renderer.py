"""A renderer follows a take and makes the same bytes however it is cut, killed or told late."""

import base64
import json
import threading
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from agent.errors import DoesNotFitError
from agent.files import write_model
from agent.job_folder import JobFolder
from agent.renderer.__main__ import main
from agent.renderer.encoders import check_fit, encoder_version
from agent.renderer.follow import AbandonedError, follow
from agent.states import RenderTask, Rendition
from core_rs import PcmFormat, TakeWriter, counter_pcm
from protocol.ids import new_id
from protocol.messages import (
    HEAD_BYTES_OF,
    CaptureFormat,
    Encoding,
    EndReason,
    FlacEncoding,
    Mp3Encoding,
    Origin,
    WavEncoding,
)

STEREO = CaptureFormat(channels=2, sample_rate_hz=48_000, sample_type="s16")
WAV = WavEncoding()
ENCODINGS: list[Encoding] = [
    WAV,
    FlacEncoding(bits=16),
    FlacEncoding(bits=24),
    Mp3Encoding(vbr_quality=5),
    Mp3Encoding(bitrate_kbps=96),
]
IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
SECOND = 48_000


class Recorded:
    """A take of the counter and the folder of one job on it."""

    def __init__(self, folder: Path) -> None:
        self.take_folder = folder / str(new_id())
        self.job = JobFolder(folder / "job")
        self.job.path.mkdir()
        self.writer = TakeWriter.create(
            self.take_folder, PcmFormat(2, 48_000, "s16"), facts="{}", flush_interval_ms=10, segment_seconds=1
        )

    def push(self, frames: int) -> None:
        """In steps that the ring holds, made durable."""
        begin = self.writer.next_frame
        for start in range(begin, begin + frames, SECOND):
            length = min(SECOND, begin + frames - start)
            self.writer.push(counter_pcm(start + 1, length), (start + 1) * 1_000_000_000 // SECOND + 10**9)
            while self.writer.durable_frame < start + length:
                pass

    def task(self, start_frame: int, end_frame: int | None, encoding: Encoding = WAV, **changes: object) -> RenderTask:
        fields: dict[str, object] = {
            "recording_id": new_id(),
            "take_id": UUID(self.take_folder.name),
            "take_folder": str(self.take_folder),
            "start_frame": start_frame,
            "end_frame": end_frame,
            "end_reason": None if end_frame is None else EndReason.STOPPED,
            "capture": STEREO,
            "channel_map": IDENTITY,
            "encoding": encoding,
            "encoder_version": encoder_version(encoding),
            "poll_ms": 5,
        }
        return RenderTask.model_validate({**fields, **changes})

    def render(self, task: RenderTask) -> Rendition:
        write_model(self.job.render, task)
        follow(self.job)
        rendition = self.job.read_rendition()
        assert rendition is not None
        return rendition

    def values(self) -> np.ndarray:  # type: ignore[type-arg]
        return np.frombuffer(self.job.audio.read_bytes()[4096:], dtype="<u4")


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def test_range_of_a_growing_take_is_rendered_to_the_frame(recorded: Recorded) -> None:
    recorded.push(3 * SECOND)
    rendition = recorded.render(recorded.task(1000, 100_000))
    assert list(recorded.values()) == list(range(1001, 100_001))
    assert rendition.facts.frames == 99_000
    assert rendition.origin is Origin.NORMAL
    assert rendition.captured_bytes == 99_000 * 4
    assert [segment.start_frame for segment in rendition.facts.segments] == [0, SECOND, 2 * SECOND]
    assert json.loads(recorded.job.ledger.read_bytes())["take_id"] == recorded.take_folder.name


def test_segment_is_named_also_where_only_its_end_behind_a_gap_was_recorded(recorded: Recorded) -> None:
    recorded.push(1_000)
    recorded.writer.lost(700, "overrun")
    recorded.push(1_000)
    rendition = recorded.render(recorded.task(2_100, 2_700))
    assert [(segment.start_frame, segment.frames) for segment in rendition.facts.segments] == [(0, 2_000)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_renderer_that_follows_makes_the_bytes_of_one_that_came_late(tmp_path: Path, encoding: Encoding) -> None:
    (tmp_path / "a").mkdir()
    recorded = Recorded(tmp_path / "a")
    write_model(recorded.job.render, recorded.task(10, None, encoding))
    following = threading.Thread(target=follow, args=(recorded.job,))
    following.start()
    for _ in range(20):
        recorded.push(5000)
    write_model(recorded.job.render, recorded.task(10, 90_000, encoding))
    following.join()
    files = (recorded.job.audio, recorded.job.waveform, recorded.job.seek)
    followed = [path.read_bytes() for path in files]
    recorded.job.drop_rendition()
    recorded.render(recorded.task(10, 90_000, encoding))
    assert [path.read_bytes() for path in files] == followed


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_waveform_and_levels_are_those_of_the_frames_before_they_are_encoded(
    recorded: Recorded, encoding: Encoding
) -> None:
    recorded.push(2 * SECOND)
    left_alone = [[1.0, 0.0], [0.0, 0.0]]
    plain = recorded.render(recorded.task(7, 90_007, channel_map=left_alone))
    drawn = recorded.job.waveform.read_bytes()
    recorded.job.drop_rendition()
    encoded = recorded.render(recorded.task(7, 90_007, encoding, channel_map=left_alone))
    assert recorded.job.waveform.read_bytes() == drawn
    assert encoded.facts.levels == plain.facts.levels


def test_end_before_what_was_encoded_already_cuts_there(recorded: Recorded) -> None:
    write_model(recorded.job.render, recorded.task(0, None))
    following = threading.Thread(target=follow, args=(recorded.job,))
    following.start()
    recorded.push(2 * SECOND)
    while not recorded.job.audio.exists() or recorded.job.audio.stat().st_size < 4096 + SECOND * 8:
        pass
    write_model(recorded.job.render, recorded.task(0, 30_000))
    following.join()
    rendition = recorded.job.read_rendition()
    assert rendition is not None
    assert rendition.facts.frames == 30_000
    assert list(recorded.values()) == list(range(1, 30_001))
    assert rendition.audio.bytes == recorded.job.audio.stat().st_size


def test_frames_are_held_back_while_the_end_is_unknown(recorded: Recorded) -> None:
    write_model(recorded.job.render, recorded.task(0, None, hold_back_frames=SECOND))
    following = threading.Thread(target=follow, args=(recorded.job,))
    following.start()
    recorded.push(3 * SECOND)
    while not recorded.job.audio.exists() or recorded.job.audio.stat().st_size < 4096 + 2 * SECOND * 4:
        pass
    assert recorded.job.audio.stat().st_size == 4096 + 2 * SECOND * 4
    write_model(recorded.job.render, recorded.task(0, 3 * SECOND))
    following.join()
    assert len(recorded.values()) == 3 * SECOND


def test_gaps_are_listed_in_frames_of_the_recording_and_are_silence(recorded: Recorded) -> None:
    recorded.push(10_000)
    recorded.writer.lost(5_000, "overrun")
    recorded.push(10_000)
    recorded.writer.lost(3_000, "overrun")
    recorded.push(10_000)
    rendition = recorded.render(recorded.task(12_000, 26_000))
    assert [(gap.start_frame, gap.frames, gap.cause) for gap in rendition.facts.gaps] == [
        (0, 3_000, "overrun"),
        (13_000, 1_000, "overrun"),
    ]
    assert (recorded.values()[:3_000] == 0).all()
    assert (recorded.values()[3_000:13_000] > 0).all()
    assert rendition.captured_bytes == (14_000 - 4_000) * 4
    assert rendition.origin is Origin.NORMAL


def test_take_that_ended_early_truncates_the_recording(recorded: Recorded) -> None:
    recorded.push(20_000)
    recorded.writer.close("node stopped")
    rendition = recorded.render(recorded.task(0, 30_000))
    assert rendition.facts.end_frame == 20_000
    assert rendition.origin is Origin.TRUNCATED


def test_take_that_never_gets_there_is_cut_where_it_stands(recorded: Recorded) -> None:
    recorded.push(20_000)
    rendition = recorded.render(recorded.task(0, 30_000, cut_frame=20_000))
    assert rendition.facts.end_frame == 20_000
    assert rendition.origin is Origin.TRUNCATED


@pytest.mark.parametrize(
    ("reason", "origin"),
    [
        (EndReason.STOPPED, Origin.NORMAL),
        (EndReason.PLANNED_END, Origin.NORMAL),
        (EndReason.NODE_STOPPED, Origin.TRUNCATED),
        (EndReason.CAPTURE_DIED, Origin.RECOVERED),
    ],
)
def test_only_what_was_ended_on_purpose_is_normal(recorded: Recorded, reason: EndReason, origin: Origin) -> None:
    recorded.push(1000)
    assert recorded.render(recorded.task(0, 1000, end_reason=reason)).origin is origin


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("frames", [1, 10_000])
def test_seals_are_the_digests_of_the_files(recorded: Recorded, encoding: Encoding, frames: int) -> None:
    recorded.push(frames)
    rendition = recorded.render(recorded.task(0, frames, encoding))
    for part, head in HEAD_BYTES_OF.items():
        content, seal = recorded.job.part(part).read_bytes(), rendition.part(part)
        assert len(content) == seal.bytes
        assert base64.b64decode(seal.head) == content[:head]
        assert sha256(content[:head]).hexdigest() == seal.head_sha256
        assert sha256(content[head:]).hexdigest() == seal.body_sha256


def test_recording_without_a_frame_has_no_audio(recorded: Recorded) -> None:
    recorded.push(1000)
    rendition = recorded.render(recorded.task(500, 500))
    assert rendition.captured_bytes == 0
    assert rendition.audio.bytes == 4096


def test_levels_are_those_of_the_mapped_channels(recorded: Recorded) -> None:
    recorded.push(SECOND)
    left_twice_and_nothing = [[1.0, 0.0], [0.0, 0.0]]
    rendition = recorded.render(recorded.task(0, SECOND, channel_map=left_twice_and_nothing))
    loud, silent = rendition.facts.levels
    assert loud.peak_dbfs is not None
    assert loud.peak_dbfs > -0.1
    assert (silent.peak_dbfs, silent.rms_dbfs) == (None, None)


def test_renderer_without_a_task_ends(recorded: Recorded) -> None:
    recorded.push(1000)
    with pytest.raises(AbandonedError):
        follow(recorded.job)
    assert main([str(recorded.job.path)]) == 0
    assert not recorded.job.rendition.exists()


def test_finished_rendition_is_not_touched_again(recorded: Recorded) -> None:
    recorded.push(1000)
    recorded.render(recorded.task(0, 1000))
    before = recorded.job.audio.stat().st_mtime_ns
    assert main([str(recorded.job.path)]) == 0
    assert recorded.job.audio.stat().st_mtime_ns == before


def test_seek_index_has_an_entry_for_each_second_that_begins(recorded: Recorded) -> None:
    recorded.push(3 * SECOND + 1)
    for encoding in ENCODINGS:
        rendition = recorded.render(recorded.task(0, 3 * SECOND, encoding))
        assert rendition.seek.bytes == 3 * 16
        recorded.job.drop_rendition()
        rendition = recorded.render(recorded.task(0, 3 * SECOND + 1, encoding))
        assert rendition.seek.bytes == 4 * 16
        recorded.job.drop_rendition()


@pytest.mark.parametrize(
    ("encoding", "channels", "rate", "words"),
    [
        (Mp3Encoding(vbr_quality=5), 3, 48_000, "1 or 2 channels"),
        (Mp3Encoding(vbr_quality=5), 2, 96_000, "96000 Hz"),
        (Mp3Encoding(bitrate_kbps=320), 2, 16_000, "not 320"),
        (FlacEncoding(bits=16), 9, 48_000, "1 to 8 channels"),
    ],
)
def test_what_a_codec_does_not_take_is_refused_with_what_it_takes(
    encoding: Encoding, channels: int, rate: int, words: str
) -> None:
    capture = CaptureFormat(channels=channels, sample_rate_hz=rate, sample_type="s16")
    identity = [[float(row == column) for column in range(channels)] for row in range(channels)]
    with pytest.raises(DoesNotFitError, match=words):
        check_fit(encoding, capture, identity)


@pytest.mark.parametrize("rows", [[], [[1.0]], [[1.0, 0.0], [1.0]], [[1.0, 0.0]] * 65])
def test_map_that_does_not_fit_is_refused_with_what_to_do(rows: list[list[float]]) -> None:
    with pytest.raises(DoesNotFitError, match="Choose"):
        check_fit(WAV, STEREO, rows)


def test_segment_that_is_given_up_is_a_listed_gap_and_all_else_is_there(recorded: Recorded) -> None:
    recorded.push(3 * SECOND)
    recorded.writer.close("test")
    lost = sorted(recorded.take_folder.glob("*.wav"))[1]
    lost.unlink()
    rendition = recorded.render(recorded.task(0, 3 * SECOND, given_up=(str(lost),)))
    gap = {"start_frame": SECOND, "frames": SECOND, "cause": "disk_away", "uncertainty_frames": 0}
    assert [one.model_dump() for one in rendition.facts.gaps] == [gap]
    assert rendition.origin is Origin.RECOVERED
    values = recorded.values()
    assert not values[SECOND : 2 * SECOND].any()
    values = np.delete(values, slice(SECOND, 2 * SECOND))
    assert list(values) == [*range(1, SECOND + 1), *range(2 * SECOND + 1, 3 * SECOND + 1)]
