"""A node of one test: its folders, its agent as a process, and everything it leaves running, which is ended."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.daemon import stop_owners
from agent.files import read_model
from agent.job_folder import JobFolder
from agent.joining import enrol
from agent.owner.config import SYNTHETIC_INTERFACES
from agent.owner.handle import Owner
from agent.owner.state import list_states
from agent.owner.writing import KIND as BUSY_DISK
from agent.renderer.handle import renderer_pid
from agent.settings import AgentSettings
from agent.states import JobState
from protocol.messages import CaptureFormat, InterfaceRef, JobSettings, RecordingFacts, WavEncoding
from protocol.timeouts import Timeouts
from tests.integration.fake_controller import FakeController

HEAD_BYTES = 4096


@dataclass
class AgentRoom:
    settings: AgentSettings
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sound_environment: dict[str, str] = field(default_factory=dict)
    """Where its sound server is, for a test that has one."""

    def enrol(self) -> None:
        asyncio.run(enrol(self.settings.model_copy(update={"time_scale": 1.0}), "rkc_code"))

    def start_agent(
        self, *, url: str | None = None, drain: bool = False, before: str = "", within: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """`before` is Python that this agent runs first; `within` is a command that runs the agent."""
        command = (
            f"{before}\nimport asyncio, sys; from agent.daemon import run; from agent.settings import AgentSettings; "
        )
        command += f"sys.exit(asyncio.run(run(AgentSettings(), drain={drain})))"
        with (self.settings.home / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [*within, sys.executable, "-c", command],
                env=self._environment(url),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.agents.append(agent)
        return agent

    @property
    def log(self) -> str:
        return (self.settings.home / "agent.log").read_text(errors="replace")

    def owner_pids(self) -> list[int]:
        run_folder = self.settings.private_run_folder()
        return [state.process.pid for state in list_states(run_folder) if state.process.is_alive()]

    def renderer_pids(self) -> list[int]:
        folders = sorted((self.settings.node_folder / "jobs").glob("*/"))
        return [pid for folder in folders if (pid := renderer_pid(JobFolder(folder))) is not None]

    def job_states(self) -> list[JobState]:
        """Of the jobs that are still there; one may go while they are looked at."""
        states = []
        for path in sorted((self.settings.node_folder / "jobs").glob("*/job.json")):
            with suppress(FileNotFoundError):
                states.append(read_model(path, JobState))
        return states

    async def hook(self, name: str, value: float) -> None:
        """Breaks the device of the only owner, also while an agent holds it."""
        (state,) = list_states(self.settings.private_run_folder())
        owner = Owner(state.folder, Timeouts(owner_request=30.0))
        await owner.hook(name, value)
        owner.disconnect()

    def end(self) -> None:
        """By pid, whatever state the test left."""
        for agent in self.agents:
            if agent.poll() is None:
                agent.kill()
            agent.wait(10)
        asyncio.run(stop_owners(self.settings))
        wait_for("nothing to be left", self._is_gone)

    def _is_gone(self) -> bool:
        """Ends what still lives, also what was only being started before, and takes the folder away."""
        for pid in (*self.owner_pids(), *self.renderer_pids()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.settings.home, ignore_errors=True)
        return not self.settings.home.exists()

    def _environment(self, url: str | None) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "REELKEEPER_HOME": str(self.settings.home),
            "REELKEEPER_RUN_FOLDER": str(self.settings.run_folder),
            "REELKEEPER_TIME_SCALE": str(self.settings.time_scale),
            "REELKEEPER_CONTROLLER_URL": url or str(self.settings.controller_url),
            "REELKEEPER_PORTAUDIO": str(self.settings.portaudio),
            "REELKEEPER_RESERVE_BYTES": str(self.settings.reserve_bytes),
            "REELKEEPER_SPILL_FOLDERS": json.dumps([str(path) for path in self.settings.spill_folders]),
            "REELKEEPER_FILE_INPUTS": json.dumps([str(path) for path in self.settings.file_inputs]),
            **self.sound_environment,
        }


@contextmanager
def agent_room(url: str, time_scale: float = 1.0, **more: Any) -> Iterator[AgentRoom]:
    """A node that is enrolled with this controller; it hears nothing of this machine unless told so."""
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    told: dict[str, Any] = {
        "controller_url": url,
        "time_scale": time_scale,
        "portaudio": False,
        "reserve_bytes": 1 << 20,
        **more,
    }
    settings = AgentSettings(home=home, run_folder=home / "run", **told)
    room = AgentRoom(settings)
    try:
        room.enrol()
        yield room
    finally:
        room.end()


def job_settings(name: str = "counter", **changes: Any) -> JobSettings:
    """A recording of a synthetic input, all its channels as they are."""
    only = SYNTHETIC_INTERFACES[name]
    capture = CaptureFormat.model_validate(
        {"channels": only.channels, "sample_rate_hz": only.sample_rate_hz, "sample_type": only.sample_type}
    )
    usual: dict[str, Any] = {
        "interface": InterfaceRef(backend="synthetic", name=name),
        "capture": capture,
        "channel_map": [[float(row == column) for column in range(only.channels)] for row in range(only.channels)],
        "encoding": WavEncoding(),
    }
    return JobSettings(**{**usual, **changes})


def counter_values(wav: bytes) -> NDArray[np.uint32]:
    """The number in every frame of a rendition of `counter`; 0 where there is silence."""
    return np.frombuffer(bytes(wav[HEAD_BYTES:]), dtype="<u4").astype(np.uint32)


def assert_nothing_is_missing(wav: bytes, frames: int) -> None:
    """Every frame is there, once and in order, without a gap."""
    values = counter_values(wav)
    assert len(values) == frames
    assert values[0] > 0
    assert (np.diff(values) == 1).all()


def kinds_told(controller: FakeController) -> list[str]:
    """Of the events; a busy machine may tell of its disk besides."""
    return [event.kind for event in controller.events if event.kind != BUSY_DISK]


def wait_for(what: str, question: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)
    return answer


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def assert_only_gaps_are_missing(wav: bytes, facts: RecordingFacts) -> None:
    """For a machine that may lose sound of its own under load: what is not listed as a gap is there, in its place."""
    values = counter_values(wav)
    is_gap = np.zeros(len(values), dtype=bool)
    for gap in facts.gaps:
        is_gap[gap.start_frame : gap.start_frame + gap.frames] = True
    present = values[~is_gap]
    assert len(values) == facts.frames
    assert not values[is_gap].any()
    assert (present > 0).all()
    assert (present[1:] > present[:-1]).all()


@contextmanager
def controller_and_room(time_scale: float = 1.0, **more: Any) -> Iterator[tuple[FakeController, AgentRoom]]:
    """A fake controller that runs, and a node that belongs to it."""
    controller = FakeController()
    controller.start()
    try:
        with agent_room(controller.url, time_scale, **more) as room:
            yield controller, room
    finally:
        controller.stop()
