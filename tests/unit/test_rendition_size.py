"""A rendition never gets longer than its limit, and where it ends hangs on the frames alone."""

import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from agent.files import write_model
from agent.job_folder import JobFolder
from agent.renderer.follow import follow
from agent.states import RenderTask, Rendition
from core_rs import keyed_pcm
from protocol.messages import Encoding, EndReason, FlacEncoding, Mp3Encoding, Origin, WavEncoding
from tests.unit.test_agent_renderer import ENCODINGS, SECOND, Recorded

LIMITS = {WavEncoding: 256 * 1024, FlacEncoding: 256 * 1024, Mp3Encoding: 64 * 1024}
MOST_UNUSED = {WavEncoding: 4608 * 4, FlacEncoding: 70_000, Mp3Encoding: 20_000}


def push_noise(recorded: Recorded, frames: int) -> None:
    """What no codec makes small: the same for the same frames of the take."""
    begin = recorded.writer.next_frame
    for start in range(begin, begin + frames, SECOND):
        length = min(SECOND, begin + frames - start)
        words = np.frombuffer(keyed_pcm(start, length, 2, 7), "<i4")
        recorded.writer.push((words >> 16).astype("<i2").tobytes(), (start + 1) * 1_000_000_000 // SECOND)
        while recorded.writer.durable_frame < start + length:
            assert recorded.writer.fault is None
            time.sleep(0.001)


def ended(end_frame: int) -> dict[str, object]:
    return {"end_frame": end_frame, "end_reason": EndReason.SIZE_LIMIT}


def rendered_to_its_limit(job: JobFolder, task: RenderTask) -> tuple[Rendition, int]:
    """As an agent does: when the renderer says that its file is full, that is the end."""
    write_model(job.render, task)
    renderer = threading.Thread(target=follow, args=(job,))
    renderer.start()
    while (end_frame := job.read_size_end()) is None:
        assert renderer.is_alive()
        time.sleep(0.01)
    write_model(job.render, task.model_copy(update=ended(end_frame)))
    renderer.join(30)
    rendition = job.read_rendition()
    assert rendition is not None
    return rendition, end_frame


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_file_at_its_limit_is_whole_and_a_prefix_of_what_was_captured(tmp_path: Path, encoding: Encoding) -> None:
    recorded = Recorded(tmp_path)
    most_bytes = LIMITS[type(encoding)]
    push_noise(recorded, 7 * SECOND if isinstance(encoding, Mp3Encoding) else 3 * SECOND)
    task = recorded.task(1000, None, encoding, size_limit_bytes=most_bytes)
    rendition, end_frame = rendered_to_its_limit(recorded.job, task)
    assert recorded.job.audio.stat().st_size == rendition.audio.bytes <= most_bytes
    assert rendition.audio.bytes >= most_bytes - MOST_UNUSED[type(encoding)]
    assert (rendition.origin, rendition.facts.end_reason) == (Origin.TRUNCATED, EndReason.SIZE_LIMIT)
    assert rendition.facts.end_frame == end_frame
    audio = recorded.job.audio.read_bytes()
    recorded.job.drop_rendition()
    plain = recorded.render(recorded.task(1000, end_frame, encoding))
    assert recorded.job.audio.read_bytes() == audio
    assert plain.audio == rendition.audio


def test_where_a_file_is_full_does_not_hang_on_how_its_frames_came(tmp_path: Path) -> None:
    draw, ends = random.Random(7), set()
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        recorded = Recorded(folder)
        task = recorded.task(17, None, Mp3Encoding(vbr_quality=5), size_limit_bytes=64 * 1024, hold_back_frames=4_800)
        write_model(recorded.job.render, task)
        renderer = threading.Thread(target=follow, args=(recorded.job,))
        renderer.start()
        while (end_frame := recorded.job.read_size_end()) is None:
            assert renderer.is_alive()
            push_noise(recorded, draw.randrange(1, 2 * SECOND))
        ends.add(end_frame)
        write_model(recorded.job.render, task.model_copy(update=ended(end_frame)))
        renderer.join(30)
    assert len(ends) == 1


def test_end_before_the_limit_is_the_end(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.push(SECOND)
    rendition = recorded.render(recorded.task(0, SECOND // 2, size_limit_bytes=1 << 20))
    assert (rendition.facts.frames, rendition.origin) == (SECOND // 2, Origin.NORMAL)
    assert recorded.job.read_size_end() is None
