"""The check of a counter's take finds what it is there to find."""

from pathlib import Path

import pytest

from core_rs import PcmFormat, Take, TakeWriter, counter_pcm
from tests.owner_room import assert_every_frame_is_accounted_for

FRAME_BYTES = 4


def take_of(folder: Path, *parts: bytes | int) -> Take:
    """A take of these buffers, and between them gaps of so many frames."""
    writer = TakeWriter.create(folder / "take", PcmFormat(2, 48_000, "s16"), facts="{}")
    for part in parts:
        if isinstance(part, int):
            writer.lost(part, "overrun")
        else:
            writer.push(part, 1)
    writer.close("done")
    return Take.open(folder / "take")


def test_true_take_passes(tmp_path: Path) -> None:
    assert_every_frame_is_accounted_for(take_of(tmp_path, counter_pcm(1, 100), 50, counter_pcm(151, 100)))


def flipped(pcm: bytes) -> bytes:
    return pcm[:41] + bytes([pcm[41] ^ 1]) + pcm[42:]


def swapped(pcm: bytes) -> bytes:
    return pcm[:40] + pcm[44:48] + pcm[40:44] + pcm[48:]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([counter_pcm(1, 100), counter_pcm(102, 100)], id="dropped"),
        pytest.param([counter_pcm(1, 100), counter_pcm(100, 100)], id="doubled"),
        pytest.param([swapped(counter_pcm(1, 100))], id="swapped"),
        pytest.param([flipped(counter_pcm(1, 100))], id="flipped"),
        pytest.param([counter_pcm(1, 100), 49, counter_pcm(151, 100)], id="gap too short"),
        pytest.param([counter_pcm(1, 99), 50, counter_pcm(151, 100)], id="gap too early"),
        pytest.param([counter_pcm(1, 100), 50, counter_pcm(101, 100)], id="gap without a loss"),
        pytest.param([bytes(100 * FRAME_BYTES), counter_pcm(101, 100)], id="silence without a gap"),
    ],
)
def test_planted_fault_is_found(tmp_path: Path, parts: list[bytes | int]) -> None:
    with pytest.raises(AssertionError):
        assert_every_frame_is_accounted_for(take_of(tmp_path, *parts))
