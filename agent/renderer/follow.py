"""Following one take: encode what became durable, until the end of the recording is reached."""

import base64
import time

from agent.errors import RendererError
from agent.files import write_model
from agent.job_folder import JobFolder
from agent.renderer.encoders import Encoder, encoder_version, open_encoder, output_format
from agent.renderer.facts import end_within, facts, gaps_within, origin
from agent.renderer.parts import SeekFile, WaveformFile, write_ledger
from agent.renderer.size import SizeGate
from agent.states import RenderTask, Rendition, SizeEnd
from core_rs import Take
from protocol.ledger import AudioDigests, ledger_text
from protocol.messages import PartSeal

BLOCK_BYTES = 2 * 1024 * 1024
NEAR_END_SECONDS = 0.01


class AbandonedError(Exception):
    """Nobody wants this rendition any more."""


def follow(folder: JobFolder) -> None:
    """Makes the rendition of a job folder from its first frame to its last; `rendition.json` says that it is done.

    Raises AbandonedError, or RendererError for a task that cannot be done.
    """
    task = TaskFile(folder)
    while not _made(folder, task):
        pass


def _made(folder: JobFolder, task: "TaskFile") -> bool:
    """One pass over the recording. False when it turned out to end before what was encoded already, or to lack other
    parts."""
    take, given_up = Take.open(task.now.take_folder), task.now.given_up
    for path in given_up:
        take.give_up(path)
    waveform, seek = WaveformFile(folder.waveform, task.now), SeekFile(folder.seek)
    encoder = open_encoder(task.now.encoding, task.now.capture, task.now.channel_map, folder.audio, waveform.drawing)
    block = _block_frames(task.now)
    frame = task.now.start_frame
    gate = SizeGate.of(task.now)
    while (end := _end(take, task.now)) is None or frame < end:
        if task.now.given_up != given_up:
            break
        known = take.durable_frame - task.now.hold_back_frames if end is None else min(take.durable_frame, end)
        if frame < (reach := min(known, gate.open_until(frame, folder.audio))):
            until = min(frame + block, reach)
            bins, entries = encoder.feed(take, frame, until)
            waveform.append(bins)
            seek.append(entries)
            frame = until
        else:
            if gate.is_shut_at(frame) and folder.read_size_end() != frame:
                write_model(folder.size_end, SizeEnd(end_frame=frame))
            time.sleep(NEAR_END_SECONDS if end is not None else task.now.poll_ms / 1000)
        take.refresh()
        task.look()
    if end is None or frame != end or task.now.given_up != given_up:
        waveform.close()
        seek.close()
        return False
    _finish(folder, task.now, take, end, encoder, waveform, seek)
    return True


class TaskFile:
    """The render task, read again when it was replaced."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self.now: RenderTask
        self.look()

    def look(self) -> None:
        try:
            found = self._folder.render.stat()
        except FileNotFoundError as cause:
            raise AbandonedError from cause
        if (found.st_ino, found.st_mtime_ns) == self._seen:
            return
        task = self._folder.read_render()
        if task is None:
            raise AbandonedError
        if task.encoder_version != encoder_version(task.encoding):
            raise RendererError(f"The task is for encoder {task.encoder_version}. Let the agent write it again.")
        self._seen = (found.st_ino, found.st_mtime_ns)
        self.now = task


def _end(take: Take, task: RenderTask) -> int | None:
    """The last frame, None while it is not known."""
    if task.end_frame is None:
        return None
    asked = task.end_frame if task.cut_frame is None else min(task.end_frame, task.cut_frame)
    return end_within(take, task.start_frame, asked)


def _finish(
    folder: JobFolder,
    task: RenderTask,
    take: Take,
    end_frame: int,
    encoder: Encoder,
    waveform: WaveformFile,
    seek: SeekFile,
) -> None:
    audio = encoder.finish()
    seek.append(audio.seek)
    found = facts(task, take, end_frame, encoder.levels(), encoder.integrated_lufs())
    gap_frames = sum(gap.frames for gap in gaps_within(take, task.start_frame, end_frame))
    frame_bytes = output_format(task.encoding, task.capture, task.channel_map).frame_bytes
    digests = AudioDigests(
        bytes=audio.bytes,
        head_bytes=len(audio.head),
        head_sha256=audio.head_sha256,
        body_sha256=audio.body_sha256,
        block_crc32=audio.body_block_sums,
    )
    rendition = Rendition(
        origin=origin(task, end_frame),
        audio=PartSeal(
            bytes=audio.bytes,
            head=base64.b64encode(audio.head).decode(),
            head_sha256=audio.head_sha256,
            body_sha256=audio.body_sha256,
        ),
        waveform=waveform.finish(),
        seek=seek.finish(),
        ledger=write_ledger(folder.ledger, ledger_text(found, digests)),
        facts=found,
        captured_bytes=(found.frames - gap_frames) * frame_bytes,
    )
    write_model(folder.rendition, rendition)


def _block_frames(task: RenderTask) -> int:
    """Frames of one step, so that memory does not depend on how far behind the renderer is."""
    widest = max(task.capture.channels, len(task.channel_map)) * 4
    return max(1, BLOCK_BYTES // widest)
