"""Processes of the node that get no more memory."""

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.system import WAV_PROFILE, is_alive

_LIMITS = (("VmSize", resource.RLIMIT_AS), ("VmData", resource.RLIMIT_DATA))
_ROOM_BYTES = (0, 64 << 10, 512 << 10, 4 << 20)
"""What a process may still take, besides what it has."""
_POLL_SECONDS = 0.05


def limit_memory(scene: Scene) -> None:
    """The agent, the captures or the renderers get nothing any more for a while; what is asked of them meanwhile is
    hard to do, and each may die of it."""
    name, number = scene.chance.choice(_LIMITS)
    wanted = scene.chance.choice(("agent", "owner", "owner", "renderer", "all"))
    room_bytes = scene.chance.choice(_ROOM_BYTES)
    until = time.monotonic() + scene.chance.uniform(1.0, 3.0)
    limited: dict[int, str] = {}
    is_asked = False
    while time.monotonic() < until:
        for part, pid in _parts(scene):
            if pid not in limited and wanted in {part, "all"} and _limit(scene, part, pid, name, number, room_bytes):
                limited[pid] = part
        if not is_asked:
            is_asked = True
            scene.workload.start("counter", WAV_PROFILE, duration_ms=2_000)
        _note_deaths(scene, limited)
        time.sleep(_POLL_SECONDS)
    for _, pid in _parts(scene):
        for _, each in _LIMITS:
            with contextlib.suppress(ProcessLookupError):
                most = resource.prlimit(pid, each)[1]
                resource.prlimit(pid, each, (most, most))
    scene.rig.start_agent()


def _limit(scene: Scene, part: str, pid: int, name: str, number: int, room_bytes: int) -> bool:
    """Whether the process was there to be limited."""
    with contextlib.suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        had_bytes = next(int(line.split()[1]) << 10 for line in status if line.startswith(f"{name}:"))
        resource.prlimit(pid, number, (had_bytes + room_bytes, resource.prlimit(pid, number)[1]))
        scene.history.note("memory limited", process=part, pid=pid, limit=name, bytes=had_bytes + room_bytes)
        if part == "agent":
            scene.history.note("contact lost")  # no answer may have room in it
        return True
    return False


def _note_deaths(scene: Scene, limited: dict[int, str]) -> None:
    for pid in [pid for pid in limited if not is_alive(pid)]:
        part = limited.pop(pid)
        scene.history.note("died of its limit", process=part, pid=pid)
        if part == "owner":
            scene.history.note("capture ended", processes=1)
        if part == "agent":
            scene.history.note("contact lost")


def _parts(scene: Scene) -> Iterator[tuple[str, int]]:
    system = scene.rig.system
    if system.agent is not None and system.agent.poll() is None:
        yield "agent", system.agent.pid
    yield from (("owner", pid) for pid in system.owners())
    yield from (("renderer", pid) for pid in system.renderers())
