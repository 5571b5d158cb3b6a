"""What is drawn of a recording, from the waveform that its node draws along, also while it grows.

A waveform is read in blocks and made coarser by the core, so that memory does not depend on its length.
"""

import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread

from core_rs import coarser_waveform
from protocol.messages import HEAD_BYTES_OF
from web.cache.checks import FRAMES_PER_BIN
from web.cache.folder import CacheFolder
from web.domain.cache_files import CacheFile
from web.domain.errors import NotDrawnError
from web.domain.previews import COLUMNS, preview_level
from web.domain.states import CacheState

COARSER = 4
"""Each level has so many bins of the one below in one."""
LEVEL_LIMIT = 12
TILE_LIMIT_BINS = 4096
_HEAD_BYTES = HEAD_BYTES_OF["waveform"]
_BLOCK_BYTES = 1024 * 1024
_AT_ONCE = COARSER**5
"""The most bins that are made one in the first step."""
_BINS_A_COLUMN = 4
"""An overview is made of at least so many bins a column, where there are."""
_REMEMBERED_OVERVIEWS = 256
_MOST_CHANNELS = 64
_T = TypeVar("_T")


@dataclass(frozen=True)
class Tile:
    """Some bins of one level."""

    bins: bytes
    """Signed 8-bit pairs, the least and the greatest sample, channel by channel, bin by bin."""
    channels: int
    sample_rate_hz: int
    frames_per_bin: int
    frames: int
    """That are drawn so far, of the whole recording."""


@dataclass(frozen=True)
class Overview:
    """The least and the greatest sample of all channels, of each column, from -128 to 127."""

    lows: list[int]
    highs: list[int]


class Waveforms:
    """The waveforms of one controller's store. A bounded number is read at once."""

    def __init__(self, folder: CacheFolder, workers: int) -> None:
        self._folder = folder
        self._workers = CapacityLimiter(workers)
        self._overviews: OrderedDict[tuple[UUID, int], Overview] = OrderedDict()

    async def tile(self, cache_file: CacheFile, level: int, start_bin: int, bins: int) -> Tile:
        """Bins of FRAMES_PER_BIN × 4^level frames from `start_bin` on, as many as there are; at most TILE_LIMIT_BINS.

        A bin of what grows is given once all of it is there, and never changes. Raises OSError where nothing is
        drawn, NotDrawnError where nothing is drawn yet.
        """
        factor = COARSER**level

        def read() -> Tile:
            with _Drawing(self._folder, cache_file) as drawing:
                there = drawing.bins // factor if drawing.grows else -(-drawing.bins // factor)
                stop = min(start_bin + bins, there)
                data = drawing.coarser(start_bin * factor, min(stop * factor, drawing.bins), factor)
                return Tile(
                    data, drawing.channels, drawing.sample_rate_hz, FRAMES_PER_BIN * factor, drawing.frames(cache_file)
                )

        return await self._work(read)

    async def overview(self, cache_file: CacheFile, columns: int) -> Overview:
        """The whole recording in so many columns, of what is drawn so far. Raises as `tile`."""
        key = (cache_file.id, columns)
        if cache_file.state is not CacheState.CACHED:
            return await self._work(lambda: self._overview(cache_file, columns))
        if key not in self._overviews:
            self._overviews[key] = await self._work(lambda: self._overview(cache_file, columns))
        self._overviews.move_to_end(key)
        if len(self._overviews) > _REMEMBERED_OVERVIEWS:
            self._overviews.popitem(last=False)
        return self._overviews[key]

    async def preview(self, cache_file: CacheFile) -> list[int]:
        """The levels that lists show. Raises as `tile`."""
        overview = await self._work(lambda: self._overview(cache_file, COLUMNS))
        return [preview_level(low, high) for low, high in zip(overview.lows, overview.highs, strict=True)]

    def _overview(self, cache_file: CacheFile, columns: int) -> Overview:
        with _Drawing(self._folder, cache_file) as drawing:
            factor = 1
            while drawing.bins // (factor * COARSER) >= columns * _BINS_A_COLUMN:
                factor *= COARSER
            samples = memoryview(drawing.coarser(0, drawing.bins, factor)).cast("b")
            pairs = 2 * drawing.channels
        bins = len(samples) // pairs
        lows, highs = [], []
        for column in range(columns if bins else 0):
            start = bins * column // columns
            stop = max(bins * (column + 1) // columns, start + 1)
            lows.append(min(samples[start * pairs : stop * pairs : 2]))
            highs.append(max(samples[start * pairs + 1 : stop * pairs : 2]))
        return Overview(lows, highs)

    async def _work(self, act: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(act, limiter=self._workers)


class _Drawing:
    """One open waveform. Everything blocks."""

    def __init__(self, folder: CacheFolder, cache_file: CacheFile) -> None:
        self.grows = cache_file.state is not CacheState.CACHED
        self._file = folder.open_for_reading(cache_file.id, "waveform")

    def __enter__(self) -> "_Drawing":
        try:
            head = os.pread(self._file, _HEAD_BYTES, 0).ljust(_HEAD_BYTES, b"\0")
            _, _, self.sample_rate_hz, _, _, self.channels = struct.unpack("<iIiiIi", head)
            drawn_bytes = os.fstat(self._file).st_size - _HEAD_BYTES
            if drawn_bytes < 0 or self.sample_rate_hz < 1 or not 1 <= self.channels <= _MOST_CHANNELS:
                raise NotDrawnError
        except BaseException:
            os.close(self._file)
            raise
        self._bin_bytes = 2 * self.channels
        self.bins = drawn_bytes // self._bin_bytes
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def frames(self, cache_file: CacheFile) -> int:
        return self.bins * FRAMES_PER_BIN if cache_file.facts is None else cache_file.facts.frames

    def coarser(self, start: int, stop: int, factor: int) -> bytes:
        """The bins from `start` to `stop` with so many made one; the last may be of fewer."""
        first = min(factor, _AT_ONCE)
        block = max(1, _BLOCK_BYTES // (first * self._bin_bytes)) * first
        made = bytearray()
        for at in range(start, stop, block):
            made += self._made_coarser(self._bins(at, min(at + block, stop)), first)
        return self._made_coarser(bytes(made), factor // first)

    def _bins(self, start: int, stop: int) -> bytes:
        return os.pread(self._file, (stop - start) * self._bin_bytes, _HEAD_BYTES + start * self._bin_bytes)

    def _made_coarser(self, bins: bytes, factor: int) -> bytes:
        return bins if factor == 1 else coarser_waveform(bins, self.channels, 8, factor)
