"""The takes of one interface, and which recordings still need them.

The ledger is the only truth: a recording is its marks `start:<id>` and `end:<id>` (or `drop:<id>`). So an owner that
follows a dead one finds in the takes themselves what is unfinished and what was already begun.
"""

import errno
import json
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict
from uuid import UUID

from agent.owner import clock
from agent.owner.config import OwnerConfig, interface_fields
from agent.owner.events import Events
from core_rs import AudioError, PcmFormat, Take, TakeClosedError, TakeWriter
from protocol.ids import new_id

log = logging.getLogger(__name__)

_RECORDINGS_REMEMBERED = 4096
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IDLE_CLOCK_PAIRS = 6
"""A take that is only kept for pre-roll notes the clock so many times less often."""
_BREAKS_PER_SECOND = 100
"""The length of a break is known to 10 ms."""


class RefusedError(Exception):
    """A request that cannot be done; `code` says why to programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Begun:
    """A recording inside a take; `end_frame` once it is bound, and then for good."""

    take_id: str
    start_frame: int
    press_frame: int
    """That it was asked for; later than its start when it reached back."""
    end_frame: int | None = None


@dataclass(frozen=True)
class Running:
    """The take that is being written."""

    take_id: str
    folder: Path
    writer: TakeWriter


class Takes:
    """Begins, keeps and closes the takes of one interface. Every method may be called from any thread.

    `captured`, `lost` and `interrupted` belong to the device and never wait; all others may wait for the disk.
    """

    def __init__(self, config: OwnerConfig, format: PcmFormat) -> None:
        self._folder = config.takes_folder
        self._interface = config.interface
        self._timeouts = config.timeouts
        self._options = _options(config)
        self._format = format
        self._lock = threading.Lock()
        self._stream = threading.Lock()
        """Held for moments only, never over work on disk: what the device says comes in one order."""
        self._break: str | None = None
        self._running: Running | None = None
        self._held_from_frame = 0
        self._released_before = 0
        """The agent needs no recording that begins before this frame."""
        self._preroll_frames = 0
        """Kept while it is armed; 0: it is not."""
        self._armed_from_frame = 0
        self._unneeded_frame = 0
        self._begun: dict[str, Begun] = {}
        self._needs: set[str] = set()
        self._unneeded_since = 0.0
        self._clock_noted_at = 0.0
        self._clock_steps = clock.StepWatch()
        self._heal_due = 0.0
        self._shut = False
        self.events = Events()
        """What happens to device and takes."""

    # ---- the device's side ----

    def captured(self, buffer: bytes, boottime_ns: int) -> None:
        with self._stream:
            self._break = None
            if running := self._running:
                # Closed: these frames came after the end. Failed for good: `fault` says so to whoever asks.
                with suppress(TakeClosedError, OSError):
                    running.writer.push(buffer, boottime_ns)

    def lost(self, frames: int, cause: str) -> None:
        with self._stream:
            if running := self._running:
                with suppress(TakeClosedError):
                    running.writer.lost(frames, cause)

    def interrupted(self, cause: str) -> None:
        """The device delivers nothing until the next `captured`."""
        with self._stream:
            self._break = self._break or cause
            if running := self._running:
                with suppress(TakeClosedError):
                    running.writer.interrupted(cause)

    # ---- what a dead owner left ----

    def recover(self, cause: str = "owner_died") -> None:
        """Learns what was begun before; goes on with the take that is still needed, closes those that are not.

        `cause` is that of the gap up to the first frame.
        Raises OSError when there is no room to go on with one that is needed: to capture beside it would end it.
        """
        for folder in _takes_newest_first(self._folder):
            try:
                take = Take.open(folder)
                facts = json.loads(take.facts)
            except (OSError, AudioError, ValueError):
                log.exception("%s cannot be read and is left as it is", folder)
                continue
            if (facts.get("backend"), facts.get("name")) == (self._interface.backend, self._interface.name):
                self._learn(folder, take, cause)

    def _learn(self, folder: Path, take: Take, cause: str) -> None:
        found = _begun_in(folder.name, take.marks)
        self._begun = {**found, **self._begun}
        if take.end is not None:
            return
        needs = {
            recording_id
            for recording_id, begun in found.items()
            if f"drop:{recording_id}" not in take.marks
            and (begun.end_frame is None or begun.end_frame > take.durable_frame)
        }
        try:
            writer = self._resume(folder, cause)
            if needs and self._running is None and take.format == self._format:
                self._running, self._needs = Running(folder.name, folder, writer), needs
                self._held_from_frame = take.held_from_frame
                log.warning("take %s goes on after its owner died, for %d recordings", folder.name, len(needs))
            else:
                writer.close("capture died", self._timeouts.owner_drain)
                log.warning("take %s was left open by a dead owner and is closed", folder.name)
        except (OSError, AudioError) as fault:
            if needs and isinstance(fault, OSError) and fault.errno in _NO_ROOM:
                raise
            log.exception("%s cannot be gone on with and is left as it is", folder)

    # ---- the agent's side ----

    def begin(self, recording_id: str, boottime_ns: int, instant: str | None, preroll_ms: int = 0) -> Begun:
        """The recording's take and first frame; the same answer however often and late it is asked.

        It begins `preroll_ms` before that instant, as far as the interface was armed.
        """
        with self._lock:
            if known := self._begun.get(recording_id):
                return known
            if self._shut:
                raise RefusedError("ending", "This capture is ending. Start it again.")
            running = self._running or self._create()
            press_frame = self._frame_at(running.writer, boottime_ns, instant)
            start_frame = self._reached_back(press_frame, preroll_ms)
            if start_frame < press_frame:
                press_frame = running.writer.mark(f"press:{recording_id}", press_frame)
            start_frame = running.writer.mark(f"start:{recording_id}", start_frame)
            self._needs.add(recording_id)
            return self._remember(recording_id, Begun(running.take_id, start_frame, press_frame))

    def end(self, recording_id: str, boottime_ns: int | None, frame: int | None, instant: str | None) -> int:
        """Binds the end, which may lie ahead; the first one stays. The need is over when the take gets there."""
        with self._lock:
            begun = self._known(recording_id)
            if begun.end_frame is not None:
                return begun.end_frame
            running = self._running
            if running is None or begun.take_id != running.take_id:
                return self._closed_end(recording_id, begun)
            if frame is None:
                frame = self._frame_at(
                    running.writer, clock.boottime_ns() if boottime_ns is None else boottime_ns, instant
                )
            end_frame = running.writer.mark(f"end:{recording_id}", max(frame, begun.start_frame))
            self._remember(recording_id, replace(begun, end_frame=end_frame))
            return end_frame

    def drop(self, recording_id: str) -> None:
        """The recording needs its take no longer, and has no end."""
        with self._lock:
            if recording_id in self._needs and self._running:
                writer = self._running.writer
                writer.mark(f"drop:{recording_id}", writer.next_frame)
                self._unneed({recording_id})

    def release(self, take_id: str, before_frame: int) -> int:
        """Unlinks what nobody needs any more. Returns the first frame still held."""
        with self._lock:
            if self._running is None or take_id != self._running.take_id:
                raise RefusedError(
                    "take_closed", f"Take {take_id} is not being written. Remove its folder under its lock."
                )
            starts = [self._begun[recording_id].start_frame for recording_id in self._needs]
            self._released_before = min([before_frame, *starts])
            if self._preroll_frames:
                before_frame = min(before_frame, self._kept_from(self._running.writer))
            self._held_from_frame = self._running.writer.release(min([before_frame, *starts]))
            return self._held_from_frame

    def arm(self, preroll_ms: int) -> None:
        """Keeps so much for starts that reach back, a segment more at most; with 0 no more than recordings need.

        What nobody needs is not kept on: a take that was there for this alone is closed at once.
        """
        with self._lock:
            if self._shut:
                raise RefusedError("ending", "This capture is ending. Start it again.")
            frames = preroll_ms * self._format.sample_rate_hz // 1000
            if frames and not self._preroll_frames:
                self._armed_from_frame = (self._running or self._create()).writer.next_frame
            self._preroll_frames = frames
            if not frames and not self._needs:
                self._close("disarmed", self._timeouts.owner_drain)

    # ---- time goes by ----

    def tick(self, now: float, reading: clock.Reading | None = None) -> None:
        """Does what is due at `now` (CLOCK_BOOTTIME, seconds): heals, ends needs, notes the clock, closes the take.

        `reading` is what both clocks say, by default just now.
        """
        step = self._clock_steps.step(reading or clock.read_both())
        with self._lock:
            if self._running is None:
                self._begin_armed(now)
                return
            if self._running.writer.fault is not None and now >= self._heal_due:
                self._heal_due = now + self._timeouts.growth_stalled
                self._heal(self._running)
            writer = self._running.writer
            self._account_for_break(writer, now, [self._begun[name].end_frame for name in self._needs])
            self._unneed({name for name in self._needs if _is_past(self._begun[name].end_frame, writer.next_frame)})
            if step is not None:
                self._note_step(writer, *step)
            pause = self._timeouts.clock_pair * (1 if self._needs else _IDLE_CLOCK_PAIRS)
            if now - self._clock_noted_at >= pause and writer.next_frame:
                self._note_clock(writer)
            if self._preroll_frames:
                self._keep_preroll(writer)
            elif not self._needs and now - self._unneeded_since >= self._timeouts.take_linger:
                self._close("no longer needed", self._timeouts.owner_drain)

    def retire(self) -> bool:
        """Begins no take any more, unless one is being written. Whether none is."""
        with self._lock:
            self._shut = self._shut or self._running is None
            return self._running is None

    def shut(self, reason: str) -> None:
        """Closes the take and begins none any more. Raises TimeoutError when the disk does not let go in time."""
        asked_at = time.monotonic()
        if not self._lock.acquire(timeout=self._timeouts.owner_drain):
            raise TimeoutError("The take is busy with a slow disk and was left without an end mark.")
        try:
            self._shut = True
            self._close(reason, max(0, asked_at + self._timeouts.owner_drain - time.monotonic()))
        finally:
            self._lock.release()

    # ---- what is seen from outside ----

    @property
    def running(self) -> Running | None:
        """Never waits."""
        return self._running

    @property
    def next_frame(self) -> int | None:
        """That the next push to the running take begins at; None without one."""
        running = self._running
        return running.writer.next_frame if running else None

    @property
    def preroll_ms(self) -> int:
        """That is kept for starts; 0 while the interface is not armed."""
        return self._preroll_frames * 1000 // self._format.sample_rate_hz

    @property
    def silent_ns(self) -> int:
        """For how long the running take has got nothing, by its clock; 0 where that is not known."""
        running = self._running
        if running is None or not running.writer.next_frame:
            return 0
        missing = running.writer.frame_at(clock.boottime_ns()) - running.writer.next_frame
        return max(0, missing) * 1_000_000_000 // self._format.sample_rate_hz

    @property
    def needs(self) -> list[str]:
        return sorted(self._needs.copy())

    def knows(self, recording_id: str) -> bool:
        """Whether it was begun before."""
        return recording_id in self._begun

    def folder_of(self, take_id: str) -> Path:
        return self._folder / take_id

    # ---- under the lock ----

    def _create(self) -> Running:
        take_id = str(new_id())
        facts = json.dumps({"take_id": take_id, **interface_fields(self._interface)})
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.folder_of(take_id)
        writer = TakeWriter.create(folder, self._format, facts=facts, **self._options)
        self._held_from_frame, self._clock_noted_at = 0, 0.0
        self._released_before = self._armed_from_frame = self._unneeded_frame = 0
        self._unneeded_since = clock.boottime_ns() / 1e9
        self._running = Running(take_id, folder, writer)
        return self._running

    def _resume(self, folder: Path, cause: str) -> TakeWriter:
        writer = TakeWriter.resume(folder, cause=cause, **self._options)
        self._note_clock(writer)  # before the first frame: after a restart of the machine only UTC can measure the gap
        return writer

    def _begin_armed(self, now: float) -> None:
        if self._preroll_frames and not self._shut and now >= self._heal_due:
            self._heal_due = now + self._timeouts.growth_stalled
            self._create()

    def _reached_back(self, press_frame: int, preroll_ms: int) -> int:
        """What came before the arming is nobody's to have."""
        if not self._preroll_frames:
            return press_frame
        wanted = press_frame - preroll_ms * self._format.sample_rate_hz // 1000
        return min(press_frame, max(wanted, self._armed_from_frame, self._held_from_frame))

    def _kept_from(self, writer: TakeWriter) -> int:
        """What a start may still want of an armed take, also one that is heard of a little late."""
        lingering_frames = round(self._timeouts.take_linger * self._format.sample_rate_hz)
        return max(0, writer.next_frame - self._preroll_frames - lingering_frames)

    def _keep_preroll(self, writer: TakeWriter) -> None:
        """Bounds an armed take also while no agent does: whole segments go, and recordings hold what they may need.

        Undelivered ones hold all that comes after them too; when that is much, another take begins.
        """
        rate, kept_from = self._format.sample_rate_hz, self._kept_from(writer)
        if kept_from - self._held_from_frame < self._timeouts.segment * rate:
            return
        owed = [begun.start_frame for begun in self._begun.values() if self._may_be_owed(begun)]
        held_from_frame = writer.release(min([kept_from, *owed]))
        is_held = held_from_frame == self._held_from_frame and bool(owed)
        self._held_from_frame = held_from_frame
        idle_frames = kept_from - self._unneeded_frame
        if is_held and not self._needs and idle_frames > self._timeouts.orphan_capture * rate:
            self._close("held by what is not delivered", self._timeouts.owner_drain)
            self._create()

    def _may_be_owed(self, begun: Begun) -> bool:
        """Whether the agent may still need a recording of the running take."""
        assert self._running
        return begun.take_id == self._running.take_id and begun.start_frame >= self._released_before

    def _heal(self, running: Running) -> None:
        """Writing has failed for good: another writer goes on in the same take as soon as the disk lets it."""
        fault = running.writer.fault
        try:
            cause = "disk_full" if running.writer.standing == "full" else "write_error"
            writer = self._resume(running.folder, cause)
        except (OSError, AudioError) as again:
            log.warning("%s cannot be written (%s), nor gone on with: %s", running.folder, fault, again)
            return
        with self._stream:
            if self._break:
                writer.interrupted(self._break)
            self._running = replace(running, writer=writer)
        log.warning("%s goes on after writing had failed: %s", running.folder, fault)

    def _account_for_break(self, writer: TakeWriter, now: float, ends: list[int | None]) -> None:
        """Lists what a silent device has not delivered up to the last of these ends that has passed, so that whoever
        follows the take gets there without waiting for the device."""
        with self._stream:
            if self._break and writer.next_frame:
                present = writer.frame_at(int(now * 1e9))
                passed = max((end for end in ends if end is not None and end <= present), default=0)
                if passed > writer.next_frame:
                    uncertainty_frames = self._format.sample_rate_hz // _BREAKS_PER_SECOND
                    writer.lost(passed - writer.next_frame, self._break, uncertainty_frames)

    def _frame_at(self, writer: TakeWriter, boottime_ns: int, instant: str | None) -> int:
        frame = writer.frame_at(boottime_ns) if self._clock_runs(writer, boottime_ns) else 0
        if instant is not None:
            frame = writer.mark(f"instant:{instant}", max(frame, self._held_from_frame))
        return max(frame, self._held_from_frame)

    def _clock_runs(self, writer: TakeWriter, boottime_ns: int) -> bool:
        """Whether the take knows its clock. An instant that is still to come is worth waiting for the first frame."""
        give_up_ns = clock.boottime_ns() + int(self._timeouts.growth_quiet * 1e9)
        while not writer.next_frame and give_up_ns > clock.boottime_ns() < boottime_ns:
            time.sleep(self._timeouts.device_period / 4)
        return writer.next_frame > 0

    def _remember(self, recording_id: str, begun: Begun) -> Begun:
        self._begun[recording_id] = begun
        if len(self._begun) > _RECORDINGS_REMEMBERED:
            oldest = next(name for name in self._begun if name not in self._needs)
            del self._begun[oldest]
        return begun

    def _known(self, recording_id: str) -> Begun:
        if begun := self._begun.get(recording_id):
            return begun
        raise RefusedError("unknown_recording", f"Recording {recording_id} was never begun here.")

    def _closed_end(self, recording_id: str, begun: Begun) -> int:
        """A take that closed under a recording ends it."""
        mark = Take.open(self.folder_of(begun.take_id)).end
        if mark is None:
            raise RefusedError(
                "take_unfinished", f"Take {begun.take_id} has no end. Start its interface again to close it."
            )
        self._remember(recording_id, replace(begun, end_frame=mark.end_frame))
        return mark.end_frame

    def _unneed(self, recordings: set[str]) -> None:
        if recordings:
            self._needs -= recordings
            self._unneeded_frame = self.next_frame or 0
            self._unneeded_since = clock.boottime_ns() / 1e9

    def _note_clock(self, writer: TakeWriter) -> None:
        reading = clock.read_both()
        self._clock_noted_at = reading.boottime_ns / 1e9
        writer.note_clock(reading.boottime_ns, reading.utc_ns)

    def _note_step(self, writer: TakeWriter, step_ns: int, without: clock.Reading) -> None:
        """A wall clock that was set moves no frame: the map gets the pairs on either side of the step."""
        if writer.next_frame:
            writer.note_clock(without.boottime_ns, without.utc_ns)
            writer.note_clock(without.boottime_ns, without.utc_ns + step_ns)
        self.events.note(
            "clock_stepped",
            "warning",
            f"The clock of this node was set {'forward' if step_ns > 0 else 'back'} by {abs(step_ns) / 1e9:.3f} s. No "
            "frame is lost or moved; times of day follow the new clock from here on. Check its time server.",
            without.boottime_ns,
        )

    def _close(self, reason: str, drain_seconds: float) -> None:
        running = self._running
        if running is None:
            return
        self._needs.clear()
        try:
            now_ns = clock.boottime_ns()
            self._account_for_break(running.writer, now_ns / 1e9, [running.writer.frame_at(now_ns)])
            self._note_clock(running.writer)
            mark = running.writer.close(reason, drain_seconds)
        except (OSError, AudioError):
            log.exception("%s could not be closed: it keeps what is on disk, without an end mark", running.folder)
            return
        finally:
            self._running = None  # not before: who sees no take must find the end mark of the last one
        log.info("%s closed at frame %d, drained %s: %s", running.folder, mark.end_frame, mark.drained, reason)


def _takes_newest_first(folder: Path) -> list[Path]:
    """All of them, since the unfinished one may be months old; names sort by when a take was begun."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _is_take(path)), reverse=True)


def _is_take(path: Path) -> bool:
    try:
        return path.is_dir() and str(UUID(path.name)) == path.name
    except ValueError:
        return False


def _begun_in(take_id: str, marks: dict[str, int]) -> dict[str, Begun]:
    names = [key.removeprefix("start:") for key in marks if key.startswith("start:")]
    return {name: _begun(take_id, name, marks) for name in names}


def _begun(take_id: str, name: str, marks: dict[str, int]) -> Begun:
    start_frame = marks[f"start:{name}"]
    return Begun(take_id, start_frame, marks.get(f"press:{name}", start_frame), marks.get(f"end:{name}"))


def _is_past(end_frame: int | None, next_frame: int) -> bool:
    return end_frame is not None and end_frame <= next_frame


class _Options(TypedDict):
    flush_interval_ms: int
    segment_seconds: int
    ring_seconds: int
    spill_folders: list[Path]
    reserve_bytes: int


def _options(config: OwnerConfig) -> _Options:
    timeouts = config.timeouts
    return {
        "flush_interval_ms": round(timeouts.flush * 1000),
        "segment_seconds": max(1, round(timeouts.segment)),
        "ring_seconds": max(1, round(timeouts.ring)),
        "spill_folders": list(config.spill_folders),
        "reserve_bytes": config.reserve_bytes,
    }
