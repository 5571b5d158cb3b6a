"""Disks that are full, slow, failing, without power, or forgetful of a bit."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from core_rs import AudioError, Take
from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.rig import end_all_in
from reelkeeper.faultkit.volume import Cut
from reelkeeper.faultkit.workload import FLAC_PROFILE

_HEAD_BYTES = 112
"""Of a segment, before its frames."""
_TORN_BYTES = 4096


def fill_disk(scene: Scene) -> None:
    scene.rig.fill_disk(leave_bytes=scene.chance.choice((0, 0, 100_000, 1_000_000)))
    if scene.chance.random() < 0.3:
        scene.workload.start("counter", FLAC_PROFILE, while_full=True)
    scene.pause(0.5, 3.0)
    if scene.chance.random() < 0.3:
        scene.stop_one()
    scene.rig.ballast.unlink(missing_ok=True)


def fail_writes(scene: Scene) -> None:
    """Calls of the capture process answer EIO, once or for a while."""
    call = scene.chance.choice(("fdatasync", "write", "fdatasync,write", "openat"))
    when = scene.chance.choice(("1", "2", f"1+{scene.chance.randrange(2, 6)}"))
    _trace_owners(scene, f"{call}:error=EIO:when={when}", scene.chance.uniform(0.3, 1.0))


def slow_disk(scene: Scene) -> None:
    """Each sync of the capture process takes long."""
    seconds = scene.chance.uniform(0.3, 5.0) * scene.rig.system.scale
    _trace_owners(scene, f"fdatasync,fsync:delay_enter={round(seconds * 1e6)}", scene.chance.uniform(1.0, 2.5))


def cut_power_of_node(scene: Scene) -> None:
    _cut_power(scene, is_node=True, is_controller=False)


def cut_power_of_controller(scene: Scene) -> None:
    _cut_power(scene, is_node=False, is_controller=True)


def cut_power_of_all(scene: Scene) -> None:
    _cut_power(scene, is_node=True, is_controller=True)


def flip_bit_of_rendition(scene: Scene) -> None:
    """A bit of what waits on the node for its upload turns over."""
    _flip(scene, list((scene.rig.system.node_folder / "jobs").glob("*/audio")))


def flip_bit_of_received(scene: Scene) -> None:
    """A bit of what the controller has received so far turns over."""
    _flip(scene, list((scene.rig.system.home / "cache" / "incoming").glob("*/audio")))


def tear_segments(scene: Scene) -> None:
    """Everything of the node dies, and the last segment of each take ends somewhere in its last 4 KiB."""
    rig = scene.rig
    rig.kill_agent()
    rig.kill_owners()
    rig.kill_renderers()
    for folder in (rig.system.node_folder / "takes").iterdir():
        _tear(scene, folder)
    scene.pause(0.0, 0.5)
    rig.start_agent()


def why_no_trace() -> str | None:
    return None if shutil.which("strace") and os.geteuid() == 0 else "It takes strace, and root."


def _cut_power(scene: Scene, *, is_node: bool, is_controller: bool) -> None:
    rig = scene.rig
    cut = scene.chance.choice(list(Cut))
    volumes = [
        volume
        for volume, is_cut in ((rig.recorder, is_node), (rig.library, is_controller))
        if volume is not None and is_cut
    ]
    for volume in volumes:
        volume.cut_power(cut)
    if is_node:
        scene.history.note("capture ended", processes=len(rig.system.owners()))
    if is_node:
        rig.kill_agent()
        rig.kill_renderers()
        for pid in rig.system.owners():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end_all_in(rig.system.run_folder, besides=rig.system.run_folder / "database")
        for folder in rig.system.run_folder.glob("owner-*"):
            shutil.rmtree(folder)
    if is_controller:
        rig.kill_controller()
        rig.kill_database_processes()
    began_at = time.monotonic()
    for volume in volumes:
        volume.restart()
    scene.pause(0.0, 0.5)
    if is_controller:
        rig.start_controller()
        scene.history.note("controller away", seconds=time.monotonic() - began_at + 5)
    rig.start_agent()


def _tear(scene: Scene, folder: Path) -> None:
    """Cuts what is durable of the segment that was being written, and notes what a reader then finds."""
    with contextlib.suppress(OSError, AudioError):  # a take may be nothing but its folder yet
        take = Take.open(folder)
        starts = {name.removeprefix("start:"): at for name, at in take.marks.items() if name.startswith("start:")}
        last = take.segments[-1] if take.segments else None
        if last is None or not last.frames or starts.keys().isdisjoint(scene.workload.recordings):
            return
        end = _HEAD_BYTES + last.frames * take.format.frame_bytes
        is_closed = last.sha256 is not None or any(tear.path == last.path and tear.byte < end for tear in take.tears)
        if is_closed or take.end is not None:
            return
        cut = max(0, end - scene.chance.randrange(1, _TORN_BYTES + 1))
        os.truncate(last.path, cut)
        torn = Take.open(folder)
        scene.history.note(
            "torn",
            file=Path(last.path).name,
            byte=cut,
            frames=take.durable_frame,
            whole_frames=last.start_frame + max(0, cut - _HEAD_BYTES) // take.format.frame_bytes,
            found_frames=torn.durable_frame,
            tears=[[Path(tear.path).name, tear.byte] for tear in torn.tears],
            starts=starts,
        )


def _trace_owners(scene: Scene, injection: str, seconds: float) -> None:
    """Breaks calls of every capture process for a while."""
    calls = injection.split(":")[0]
    tracers = []
    for pid in scene.rig.system.owners():
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={calls}"]
        tracers.append(subprocess.Popen([*command, "-e", f"inject={injection}"]))
    time.sleep(seconds)
    for tracer in tracers:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(10)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def _flip(scene: Scene, files: list[Path]) -> None:
    """One bit of one of these files, behind its head."""
    for path in scene.chance.sample(files, len(files)):
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            size = path.stat().st_size
            if size > 8192:
                at = scene.chance.randrange(4096, size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << scene.chance.randrange(8)]))
                scene.history.note("bit flipped", file=path.name, byte=at)
                return
