"""Content for stores: a short take, and real renditions of it."""

from pathlib import Path
from uuid import UUID

from agent.files import write_model
from agent.job_folder import JobFolder
from agent.renderer.encoders import encoder_version
from agent.renderer.follow import follow
from agent.states import RenderTask, Rendition
from core_rs import Digest, PcmFormat, Take, TakeWriter, counter_pcm, sha256_file
from protocol.ids import new_id
from protocol.messages import HEAD_BYTES_OF, CaptureFormat, Encoding, EndReason, PartName

RATE = 48_000
CAPTURE = CaptureFormat(channels=2, sample_rate_hz=RATE, sample_type="s16")


def make_take(folder: Path, frames: int) -> None:
    """A finished take of the counter, named by an id."""
    with_id = folder / str(new_id())
    folder.mkdir(parents=True)
    writer = TakeWriter.create(with_id, PcmFormat(2, RATE, "s16"), facts="{}", flush_interval_ms=10, ring_seconds=30)
    assert writer.push(counter_pcm(1, frames), 1_000_000_000) == frames
    writer.close("stopped")


def render_task(takes: Path, encoding: Encoding) -> RenderTask:
    """All of the take in this folder."""
    [folder] = takes.iterdir()
    return RenderTask(
        recording_id=new_id(),
        take_id=UUID(folder.name),
        take_folder=str(folder),
        start_frame=0,
        end_frame=Take.open(folder).durable_frame,
        end_reason=EndReason.STOPPED,
        capture=CAPTURE,
        channel_map=[[1.0, 0.0], [0.0, 1.0]],
        encoding=encoding,
        encoder_version=encoder_version(encoding),
    )


def render(job: JobFolder, task: RenderTask) -> Rendition:
    """The rendition of the task, in the job's folder."""
    job.path.mkdir(parents=True, exist_ok=True)
    write_model(job.render, task)
    follow(job)
    rendition = job.read_rendition()
    assert rendition is not None
    return rendition


def provisional(part: PartName, content: bytes) -> bytes:
    """A part as it is sent: its head will only be true with the seal."""
    head_bytes = min(HEAD_BYTES_OF[part], len(content))
    return bytes(head_bytes) + content[head_bytes:]


def require_intact(job: JobFolder, rendition: Rendition) -> None:
    """Raises AssertionError when a file of the rendition is not the one that was made."""
    for part, head_bytes in HEAD_BYTES_OF.items():
        path, seal = job.part(part), rendition.part(part)
        head = Digest()
        head.update(path.read_bytes()[:head_bytes])
        assert path.stat().st_size == seal.bytes, f"{path} has {path.stat().st_size} bytes, {seal.bytes} were sealed"
        assert head.hexdigest() == seal.head_sha256, f"the head of {path} is not the one that was sealed"
        assert sha256_file(path, min(head_bytes, seal.bytes), seal.bytes) == seal.body_sha256, f"{path} differs"
