"""Real processes killed, real disks full: what was durable stays, and ordinary programs can open it."""

import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core_rs import PcmFormat, Take, TakeWriter, counter_pcm, keyed_pcm
from reelkeeper.faultkit.volume import power_volume, why_no_power_cuts
from tests.faults.store_room import run_campaign
from tests.owner_room import wait_for
from tests.unit.pcm import SAMPLE_TYPES, STEPS, SampleType, decode

REPOSITORY = Path(__file__).parents[2]
RATE = 8_000


@pytest.mark.parametrize("kills", [50, pytest.param(200, marks=pytest.mark.long)])
def test_kills_lose_nothing_that_was_acknowledged(kills: int) -> None:
    counted = run_campaign("takes", kills)
    assert counted["rounds"] == kills
    assert counted["acknowledged_frames"] > kills * RATE


@pytest.fixture(params=SAMPLE_TYPES)
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, SampleType, bytes]:
    """A segment whose writer was killed behind a flush, and the frames that were acknowledged."""
    sample_type: SampleType = request.param
    pcm = pcm_of(sample_type)
    (tmp_path / "pcm").write_bytes(pcm)
    program = f"""
        import os, signal
        from pathlib import Path
        from core_rs import PcmFormat, TakeWriter
        format = PcmFormat(2, {RATE}, {sample_type!r})
        writer = TakeWriter.create("take", format, facts="{{}}", flush_interval_ms=5)
        pcm = Path("pcm").read_bytes()
        writer.push(pcm, 0)
        while writer.durable_frame * format.frame_bytes < len(pcm):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
        """
    died = run_program(program, tmp_path)
    assert died.returncode == -9, died.stderr
    [segment] = (tmp_path / "take").glob("*.wav")
    return segment, sample_type, pcm


def test_a_killed_segment_opens_in_every_program(killed: tuple[Path, SampleType, bytes]) -> None:
    segment, sample_type, pcm = killed
    for reader in (by_sox, by_ffmpeg, by_soundfile):
        assert reader(segment, sample_type) == pcm, reader.__name__


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_finished_segment_opens_in_every_program(tmp_path: Path, sample_type: SampleType, channels: int) -> None:
    format = PcmFormat(channels, RATE, sample_type)
    pcm = pcm_of(sample_type, 1_000)[: 333 * format.frame_bytes]
    writer = TakeWriter.create(tmp_path / "take", format, facts="{}")
    assert writer.push(pcm, 0) == 333
    writer.close("stopped")
    [segment] = (tmp_path / "take").glob("*.wav")
    for reader in (by_sox, by_ffmpeg, by_soundfile):
        assert reader(segment, sample_type) == pcm, reader.__name__


@pytest.mark.skipif(why_no_power_cuts() is not None, reason="only root can cut the power of a disk")
def test_how_far_a_spilled_segment_got_is_known_after_a_power_cut_without_its_disk(tmp_path: Path) -> None:
    spill, flushed = tmp_path / "spill", 2_048
    spill.mkdir()
    with power_volume(tmp_path) as volume:
        folder = volume.path / "take"
        writer = TakeWriter.create(folder, PcmFormat(2, RATE, "s16"), facts="{}", spill_folders=[spill])
        (folder / "000000-00000000000000.wav").write_bytes(b"in the way")
        for done in range(2):
            writer.push(counter_pcm(done * flushed, flushed), done * flushed * 1_000_000_000 // RATE)
            wait_for("a flush", partial(_reaches, writer, (done + 1) * flushed))
            writer.note_clock((done + 1) * flushed * 1_000_000_000 // RATE, 0)
        volume.cut_power()
        del writer
        volume.restart()
        spill.rename(tmp_path / "away")
        writer = TakeWriter.resume(folder, cause="owner_died", spill_folders=[spill])
        assert writer.next_frame >= flushed  # what was drawn of the second flush may not have been synced yet
        del writer


def _reaches(writer: TakeWriter, frame: int) -> bool:
    return writer.durable_frame == frame


def test_a_write_that_fails_once_loses_nothing(tmp_path: Path) -> None:
    program = f"""
        import resource
        from core_rs import PcmFormat, Take, TakeWriter, counter_pcm
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        writer = TakeWriter.create("take", PcmFormat(2, {RATE}, "s16"), facts="{{}}", flush_interval_ms=1)
        for block in range(300):
            writer.push(counter_pcm(1 + block * 500, 500), block * 500 * 1_000_000_000 // {RATE})
            while writer.durable_frame < (block + 1) * 500:
                assert writer.fault is None, writer.fault
        print(writer.close("stopped"))
        take = Take.open("take")
        assert take.read(0, 150_000) == counter_pcm(1, 150_000)
        assert take.gaps == [] and len(take.segments) >= 6
        assert all("too large" in tear.reason for tear in take.tears) and len(take.tears) >= 5
        """
    done = run_program(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "drained=True" in done.stdout


def test_a_write_that_keeps_failing_is_a_fault_and_never_an_end_on_purpose(tmp_path: Path) -> None:
    program = f"""
        import resource
        from core_rs import PcmFormat, TakeWriter, counter_pcm
        writer = TakeWriter.create("take", PcmFormat(2, {RATE}, "s16"), facts="{{}}", flush_interval_ms=1)
        writer.push(counter_pcm(1, 1_000), 0)
        while writer.durable_frame < 1_000:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
        writer.push(counter_pcm(1_001, 40_000), 1_000 * 1_000_000_000 // {RATE})
        while writer.fault is None:
            pass
        try:
            writer.push(counter_pcm(1, 1), 0)
        except OSError as fault:
            print(fault)
        print(writer.close("stopped"))
        """
    done = run_program(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "writing take failed for good" in done.stdout
    take = Take.open(tmp_path / "take")
    assert take.end is not None
    assert (take.end.drained, take.end.end_frame, take.end.gap_frames) == (False, 41_000, 40_000)
    [gap] = take.gaps
    assert (gap.start_frame, gap.frames, gap.cause) == (1_000, 40_000, "write_error")
    assert take.read(0, 1_000) == counter(1_000)


# Mounting takes root. Others meet the same code through the kills and the file limit above, which always run.
if os.geteuid() == 0:

    def test_power_cuts_lose_nothing_that_was_acknowledged() -> None:
        counted = run_campaign("takes", 40, "--power")
        assert counted["rounds"] == 40
        assert counted["acknowledged_frames"] > 40 * RATE


def counter(frames: int, start: int = 1) -> bytes:
    return np.arange(start, start + frames, dtype="<u4").tobytes()


def pcm_of(sample_type: SampleType, frames: int = 3_000) -> bytes:
    words = np.frombuffer(keyed_pcm(0, frames, 2, 7), "<i4")
    if sample_type == "f32":
        return ((words >> 8) / 2.0**23).astype("<f4").tobytes()
    width = {"s16": 2, "s24": 3, "s32": 4}[sample_type]
    return words.view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()


def by_sox(path: Path, sample_type: SampleType) -> bytes:
    kind = {"s16": "s16", "s24": "s24", "s32": "s32", "f32": "f32"}[sample_type]
    return converted(["sox", "-D", str(path), "-t", kind, "-L", "-"])


def by_ffmpeg(path: Path, sample_type: SampleType) -> bytes:
    return converted(["ffmpeg", "-v", "error", "-i", str(path), "-f", f"{sample_type}le", "-"])


def by_soundfile(path: Path, sample_type: SampleType) -> bytes:
    channels = soundfile.info(path).channels
    if sample_type == "f32":
        return soundfile.read(path, dtype="float32")[0].astype("<f4").tobytes()
    words = soundfile.read(path, dtype="int32", always_2d=True)[0].astype("<i4")
    width = {"s16": 2, "s24": 3, "s32": 4}[sample_type]
    pcm = words.reshape(-1).view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()
    assert np.array_equal(decode(pcm, channels, sample_type) * 2.0**31 / STEPS[sample_type], words)
    return pcm


def converted(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def run_program(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
