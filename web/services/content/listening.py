"""Sound from any moment on, also of what still grows, sent as it comes in.

Who may listen others decide. Everything that touches the disk runs in threads, a bounded number at once; nobody holds
one while it waits.
"""

import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from protocol.messages import HEAD_BYTES, SEEK_ENTRY
from web.cache.errors import ContentError
from web.cache.folder import BLOCK_BYTES, CacheFolder
from web.cache.sound import Place, Sound, sound_of
from web.domain.cache_files import CacheFile
from web.domain.errors import NotCachedError, UnavailableError

LEAD_SECONDS = 1.0
"""Without a moment that is asked for, listening begins so long before the newest sound. Chromium plays nothing before
it has a little more than that, so that less would not be heard any earlier."""
BROWSER_BLOCK_BYTES = 32 * 1024
"""Chromium hands sound on to its decoder in blocks of this size, seconds of quiet speech: each is filled up."""
_FIRST_BYTES = 2 * BROWSER_BLOCK_BYTES
"""It looks at so much before it knows what it plays."""
_POLL_SECONDS = 0.1
_QUIET_SECONDS = 3.0
_FIRST_SOUND_SECONDS = 8.0
_LONGEST_FRAME_BYTES = 1024 * 1024
_NEVER = 2**62
_ENTRY_BYTES = struct.calcsize(SEEK_ENTRY)
_T = TypeVar("_T")


class Listening:
    """Everybody who listens at one controller."""

    def __init__(self, folder: CacheFolder, workers: int, limit: int) -> None:
        self._folder = folder
        self._workers = CapacityLimiter(workers)
        self._places = limit
        self._is_stopping = False

    def stop(self) -> None:
        """Nobody waits for a first sound any more."""
        self._is_stopping = True

    @asynccontextmanager
    async def opened(self, cache_file: CacheFile, from_seconds: float | None) -> AsyncIterator["Listener"]:
        """Begins at the last encoded frame at or before that moment, or near the newest sound.

        Waits a little for the first sound. Raises UnavailableError when none comes or too many listen already,
        NotCachedError for what cannot be heard, OSError when there is no such file.
        """
        if self._places <= 0:
            raise UnavailableError("As many listen to this controller as it can bear; ask again in a moment.")
        self._places -= 1
        try:
            file = await self._work(lambda: _GrowingFile(self._folder, cache_file))
            try:
                try:
                    sound, place = await self._first_place(file, from_seconds)
                except ContentError as odd:
                    raise NotCachedError(cache_file.state, f"What is here cannot be heard. {odd}") from odd
                yield Listener(file, sound, place, self._workers)
            finally:
                with CancelScope(shield=True):
                    await self._work(file.close)
        finally:
            self._places += 1

    async def _first_place(self, file: "_GrowingFile", from_seconds: float | None) -> tuple[Sound, Place]:
        """Raises UnavailableError, and ContentError for what is no sound."""
        with anyio.move_on_after(_FIRST_SOUND_SECONDS):
            while True:
                found = await self._work(lambda: file.place_at(from_seconds))
                if found is not None:
                    return found
                if self._is_stopping:
                    raise UnavailableError("The controller is stopping; ask again in a moment.")
                await anyio.sleep(_POLL_SECONDS)
        raise UnavailableError("Nothing of this recording can be heard yet; ask again in a moment.")

    async def _work(self, act: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(act, limiter=self._workers)


class Listener:
    """One who listens."""

    def __init__(self, file: "_GrowingFile", sound: Sound, place: Place, workers: CapacityLimiter) -> None:
        self._file = file
        self._sound = sound
        self._place = place
        self._workers = workers

    @property
    def start_seconds(self) -> float:
        """Which moment of the recording is heard first; below 0 for what a decoder gives before it begins."""
        return self._place.frame / self._sound.sample_rate_hz

    async def blocks(self, goes_on: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """What is there from the place on, and what comes, up to the end of the recording.

        `goes_on` is asked when nothing came for a while: whether there is more to wait for.
        """
        rest = _Rest(self._file, self._sound, self._place.byte)
        quiet_since = anyio.current_time()
        yield self._sound.head
        while (block := await to_thread.run_sync(rest.next_block, limiter=self._workers)) is not None:
            if block:
                quiet_since = anyio.current_time()
                yield block
                continue
            if anyio.current_time() - quiet_since > _QUIET_SECONDS:
                if not await goes_on():
                    break
                quiet_since = anyio.current_time()
            await anyio.sleep(_POLL_SECONDS)
        yield rest.held_back


class _Rest:
    """What is sent of a file from one byte on. What may still grow is cut at encoded frames, to be padded there."""

    def __init__(self, file: "_GrowingFile", sound: Sound, byte: int) -> None:
        self._file = file
        self._sound = sound
        self._byte = byte
        self._sent_bytes = len(sound.head)
        self._pads = sound.takes_padding and not file.is_whole()
        self.held_back = b""
        """The start of an encoded frame that is not there whole."""

    def next_block(self) -> bytes | None:
        """What comes next, empty while nothing does, None at the end."""
        is_whole = self._file.is_whole()
        data = self._file.read(self._byte, BLOCK_BYTES)
        self._byte += len(data)
        if not data and (is_whole or self._file.is_lost(self._byte)):
            return None
        block = self._cut(data) if data else self._padding()
        self._sent_bytes += len(block)
        return block

    def _cut(self, data: bytes) -> bytes:
        if not self._pads:
            return data
        data = self.held_back + data
        whole_bytes = self._sound.whole_bytes(data)
        self._pads = whole_bytes > 0 or len(data) < _LONGEST_FRAME_BYTES
        self.held_back = data[whole_bytes:] if self._pads else b""
        return data[:whole_bytes] if self._pads else data

    def _padding(self) -> bytes:
        if not self._pads:
            return b""
        return bytes(max(_FIRST_BYTES - self._sent_bytes, -self._sent_bytes % BROWSER_BLOCK_BYTES))


class _GrowingFile:
    """The audio of a cache file and its seek index. Everything blocks."""

    def __init__(self, folder: CacheFolder, cache_file: CacheFile) -> None:
        self._folder = folder
        self._id = cache_file.id
        self._codec = cache_file.codec
        self._audio = folder.open_for_reading(self._id, "audio")

    def close(self) -> None:
        os.close(self._audio)

    def is_whole(self) -> bool:
        """Whether nothing is added any more."""
        return self._folder.installed_path(self._id, "audio").exists()

    def is_lost(self, byte: int) -> bool:
        """Whether it was removed, or begun again before this byte."""
        return os.fstat(self._audio).st_nlink == 0 or self.length() < byte

    def length(self) -> int:
        return os.fstat(self._audio).st_size

    def read(self, byte: int, most: int) -> bytes:
        return os.pread(self._audio, most, byte)

    def place_at(self, seconds: float | None) -> tuple[Sound, Place] | None:
        """The place for that moment, or for a little before the newest sound; None while there is nothing to hear.

        What is whole is heard from its start when no moment is asked for. Raises ContentError for what is no sound.
        """
        is_whole = self.is_whole()
        if self.length() < HEAD_BYTES and not is_whole:
            return None
        sound = sound_of(self._codec, self.read(0, HEAD_BYTES))
        if seconds is None and not is_whole:
            newest = self._place_before(sound, _NEVER)
            seconds = None if newest is None else newest.frame / sound.sample_rate_hz - LEAD_SECONDS
        place = self._place_before(sound, int(max(seconds or 0.0, 0.0) * sound.sample_rate_hz))
        return None if place is None else (sound, place)

    def _place_before(self, sound: Sound, frame: int) -> Place | None:
        entry = self._entry(frame // sound.sample_rate_hz) if sound.needs_index else Place(0, 0)
        return None if entry is None else sound.place_before(frame, entry, self)

    def _entry(self, second: int) -> Place | None:
        """The newest entry of the seek index for this second or before that leads to what is here."""
        try:
            index = self._folder.open_for_reading(self._id, "seek")
        except FileNotFoundError:
            return None
        try:
            number = min(second, os.fstat(index).st_size // _ENTRY_BYTES - 1)
            while number >= 0:
                place = Place(*struct.unpack(SEEK_ENTRY, os.pread(index, _ENTRY_BYTES, number * _ENTRY_BYTES)))
                if place.byte < self.length():
                    return place
                number -= 1
            return None
        finally:
            os.close(index)
