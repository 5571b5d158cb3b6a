"""What a file says of the frames that its source numbered."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
"""The number that the source gave to each frame; SILENCE where there is none, UNKNOWN where it is no frame of it."""

SILENCE = 0
UNKNOWN = -1
COUNTER_KEY = 32
"""Of the hash that `counter-32` delivers."""
_TABLE_FRAMES = 1 << 20


def counter_of(path: Path) -> Numbers:
    """The frame numbers that a recording of `counter` carries."""
    pcm, _ = soundfile.read(path, dtype="int16", always_2d=True)
    unsigned = pcm.astype(np.uint16).astype(np.int64)
    joined: Numbers = unsigned[:, 0] | unsigned[:, 1] << 16
    return joined


def keyed_of(path: Path, first: int, last: int, key: int = COUNTER_KEY) -> Numbers:
    """The frame numbers that a recording of the first channels of `counter-32`, two at least, carries.

    They are looked for in a range.
    """
    pcm, _ = soundfile.read(path, dtype="int32", always_2d=True)
    found = pcm.view(np.uint32)
    numbers = np.full(len(found), UNKNOWN, dtype=np.int64)
    numbers[~found.any(axis=1)] = SILENCE
    for start in range(first, last, _TABLE_FRAMES):
        frames = np.arange(start, min(start + _TABLE_FRAMES, last), dtype=np.uint64)
        words = _pair(keyed(frames, 0, key), keyed(frames, 1, key))
        order = np.argsort(words)
        places = np.searchsorted(words[order], _pair(found[:, 0], found[:, 1]))
        places[places == len(words)] = 0
        candidates = frames[order[places]]
        is_frame = np.ones(len(found), dtype=bool)
        for channel in range(found.shape[1]):
            is_frame &= keyed(candidates, channel, key) == found[:, channel]
        numbers[is_frame] = candidates[is_frame].astype(np.int64)
        if (numbers != UNKNOWN).all():
            break
    return numbers


def keyed(frames: NDArray[np.uint64], channel: int, key: int) -> NDArray[np.uint32]:
    """The samples of `counter-32` in these frames: the upper half of SplitMix64 of (64 × frame + channel) xor key."""
    word = (frames * np.uint64(64) + np.uint64(channel)) ^ np.uint64(key)
    with np.errstate(over="ignore"):
        word = word + np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word = word ^ (word >> np.uint64(31))
    return (word >> np.uint64(32)).astype(np.uint32)


def frames_of(path: Path) -> int:
    """How many frames a decoder finds."""
    return int(soundfile.info(str(path)).frames)


def breaks_of(numbers: Numbers) -> list[int]:
    """The positions after which the next number is not the successor."""
    return [int(at) for at in np.flatnonzero(np.diff(numbers) != 1)]


def _pair(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """What tells one frame from a million others, as one sample alone does not."""
    pair: NDArray[np.uint64] = left.astype(np.uint64) << np.uint64(32) | right
    return pair
