"""A sound file as an input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.owner.config import Capture, Interface, OwnerConfig
from agent.owner.file import FileBackend
from agent.owner.paced import PERIOD_FRAMES, loop
from agent.owner.sources import DeviceError, DeviceGoneError
from agent.owner.unpacked import REFUSED, capture_of, main, pcm_path, unpack
from protocol.timeouts import Timeouts
from tests.unit.test_owner_synthetic import FakeSink


def config(file: Path, capture: Capture) -> OwnerConfig:
    folder = file.parent
    return OwnerConfig(Interface("file", str(file)), capture, folder, folder, folder / "made", Timeouts())


def unpacked(file: Path) -> OwnerConfig:
    made = config(file, capture_of(file))
    unpack(file, pcm_path(made.synthetic_folder, file, made.capture), made.capture.sample_type)
    return made


@pytest.mark.parametrize(
    ("subtype", "sample_type"), [("PCM_16", "s16"), ("PCM_24", "s24"), ("PCM_32", "s32"), ("FLOAT", "f32")]
)
def test_file_is_unpacked_bit_for_bit_in_its_own_format(tmp_path: Path, subtype: str, sample_type: str) -> None:
    file = tmp_path / "one.wav"
    samples = np.random.default_rng(1).integers(-(2**31), 2**31, (70_000, 2), dtype=np.int32)
    soundfile.write(file, samples / 2**31 if subtype == "FLOAT" else samples, 44_100, subtype=subtype)
    made = unpacked(file)
    assert made.capture == Capture(2, 44_100, sample_type)  # type: ignore[arg-type]
    with file.open("rb") as wav:
        body = wav.read()
    assert body[body.index(b"data") + 8 :].startswith(pcm_path(made.synthetic_folder, file, made.capture).read_bytes())


def test_short_file_is_played_again_and_again_without_a_seam(tmp_path: Path) -> None:
    file = tmp_path / "tick.wav"
    samples = np.arange(1, 101, dtype=np.int16)
    soundfile.write(file, samples, 48_000)
    sink = FakeSink()
    source = FileBackend(unpacked(file)).open(sink)
    first, second = sink.next("captured"), sink.next("captured")
    source.close()
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    heard = np.frombuffer(first + second, "<i2")
    assert (heard == np.resize(samples, 2 * PERIOD_FRAMES)).all()


def test_loop_begins_anywhere_in_the_recording() -> None:
    signal = loop(b"abcdefgh", 2)
    assert signal(1, 3) == b"abcdef"
    assert signal(4, 3) == b"ghabcd"
    assert signal(9, 4) == b"abcdefgh"


def test_changed_file_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "one.wav"
    soundfile.write(file, np.zeros(100, "<i2"), 48_000)
    made = unpacked(file)
    before = pcm_path(made.synthetic_folder, file, made.capture)
    soundfile.write(file, np.zeros(101, "<i2"), 48_000)
    assert pcm_path(made.synthetic_folder, file, made.capture) != before
    with pytest.raises(DeviceGoneError, match="changed"):
        FileBackend(made)


def test_samples_of_a_file_before_it_changed_are_not_kept(tmp_path: Path) -> None:
    file, neighbour = tmp_path / "one.wav", tmp_path / "two.wav"
    soundfile.write(neighbour, np.zeros(100, "<i2"), 48_000)
    kept = pcm_path(tmp_path / "made", neighbour, unpacked(neighbour).capture)
    for frames in (100, 101, 102):
        soundfile.write(file, np.zeros(frames, "<i2"), 48_000)
        last = pcm_path(tmp_path / "made", file, unpacked(file).capture)
    assert set((tmp_path / "made").iterdir()) == {kept, last}


def test_file_that_is_gone_or_empty_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "one.wav"
    soundfile.write(file, np.zeros(0, "<i2"), 48_000)
    empty = unpacked(file)
    with pytest.raises(DeviceError, match="no sound"):
        FileBackend(empty)
    file.unlink()
    with pytest.raises(DeviceGoneError, match="not there"):
        FileBackend(empty)


def test_another_format_than_the_files_own_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.wav"
    soundfile.write(file, np.zeros(100, "<i2"), 48_000)
    asked = replace(capture_of(file), channels=2)
    assert main(file, tmp_path / "one.pcm", asked) == REFUSED
    assert "1 channels of s16 at 48000 Hz" in capsys.readouterr().out
    assert not (tmp_path / "one.pcm").exists()
