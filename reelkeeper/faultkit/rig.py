"""A running Reelkeeper on disks of its own behind a proxy, with a handle on every part that can break."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from agent.owner.socket import LENGTH_BYTES, body_bytes, decode, encode
from protocol.timeouts import Timeouts
from reelkeeper.faultkit.evidence import NodeFacts
from reelkeeper.faultkit.history import History
from reelkeeper.faultkit.proxy import PASS, Proxy
from reelkeeper.faultkit.sleeper import Sleeper, why_no_sleep
from reelkeeper.faultkit.system import Json, System, UnexpectedError, free_port, is_alive, is_gone, rss_bytes, wait_for
from reelkeeper.faultkit.volume import PowerVolume, power_volume, why_no_power_cuts
from web.settings import ControllerSettings
from web.store.cluster import Place, find_place, processes_of

CANARY = "canary-that-no-helper-may-see"
"""Planted in the environment of the agent."""
CAPACITY = 16
_VOLUME_MEBIBYTES = 1024
_TIDY_SECONDS = 20.0
_STOP_ALLOWANCE_SECONDS = 2.0
"""For a machine that has other things to do."""


Part = Literal["agent", "controller"]


@dataclass
class Rig:
    """`history` is that of the fault that runs; before the first one there is none."""

    folder: Path
    system: System
    proxy: Proxy
    database: Place
    library: PowerVolume | None = None
    """The controller's disk, where power can be cut."""
    recorder: PowerVolume | None = None
    """The node's."""
    sleeper: Sleeper | None = None
    """What suspends the node's machine, where that can be."""
    other: Path | None = None
    """The source tree of another version, which everything began with."""
    _history: History | None = field(default=None)

    @property
    def history(self) -> History:
        if self._history is None:
            raise UnexpectedError("no fault runs")
        return self._history

    @history.setter
    def history(self, history: History) -> None:
        self._history = history

    @property
    def timeouts(self) -> Timeouts:
        return self.system.timeouts

    # ---- the agent ----

    def kill_agent(self) -> None:
        agent = self._running(self.system.agent)
        self.history.note("contact lost")
        agent.kill()
        agent.wait()

    def stop_agent(self) -> None:
        """In order, and timed."""
        self.history.note("contact lost")
        self._stop("agent", self._running(self.system.agent), Timeouts().agent_stop)

    def start_agent(self) -> None:
        """Does nothing while one runs. Does not wait for its report."""
        if self.system.agent is None or self.system.agent.poll() is not None:
            self.system.agent = self.system.spawn("agent")

    def suspend(self, seconds: float, halt_seconds: float) -> None:
        """The node's machine sleeps for so long, by its clocks; its processes stand still for `halt_seconds`.

        What the node's clock has gained is noted. The rig must have a sleeper.
        """
        if self.sleeper is None:
            raise UnexpectedError("the machine of this rig cannot be suspended")
        pids = [self._running(self.system.agent).pid, *self.system.owners(), *self.system.renderers()]
        self.history.note("contact lost")
        _signal_all(pids, signal.SIGSTOP)
        try:
            time.sleep(halt_seconds)
            self.sleeper.sleep(seconds)
            self.history.note("node clock", ahead_ns=self.sleeper.ahead_ns, slept_seconds=seconds)
        finally:
            _signal_all(pids, signal.SIGCONT)

    # ---- its helpers ----

    def kill_owners(self) -> int:
        """How many capture processes died; from here on nothing is captured until new ones start."""
        states = self.system.owner_states()
        pids = [state["process"]["pid"] for state in states]
        killed = 0
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        self.history.note("capture ended", processes=killed)
        for pid in pids:
            wait_for(f"owner {pid} to be gone", partial(is_gone, pid), 10)
        return killed

    def kill_renderers(self) -> int:
        pids = self.system.renderers()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def hook(self, interface: str, name: str, value: float) -> bool:
        """Breaks a synthetic input as `Owner.hook` does; whether there is an owner that took it."""
        for state in self.system.owner_states():
            if state["interface"]["name"] == interface and is_alive(state["process"]["pid"]):
                with contextlib.suppress(OSError):
                    answer = ask_owner(state, {"do": "hook", "name": name, "value": value})
                    self.history.note("hook", interface=interface, name=name, value=value, answer=answer)
                    return "ok" in answer
        return False

    # ---- the controller and its database ----

    def kill_controller(self) -> None:
        """The database server is left behind, as a kill does it."""
        controller = self._running(self.system.controller)
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()

    def stop_controller(self) -> None:
        self._stop("controller", self._running(self.system.controller), Timeouts().controller_stop)

    def start_controller(self) -> None:
        """Does nothing while one runs; returns once it answers."""
        if self.system.controller is None or self.system.controller.poll() is not None:
            self.system.start_controller()
        wait_for("the controller to answer", self.system.is_ready, 60)

    def signal_database(self, number: signal.Signals) -> None:
        """Returns when another server runs."""
        before = self.system.postmaster()
        os.kill(before, number)
        wait_for("another database server", lambda: self._other_postmaster(before), 60)
        wait_for("the controller to answer", self.system.is_ready, 60)

    def kill_database_processes(self) -> None:
        """All of the server at once, as a power cut does it."""
        for pid in list(processes_of(self.database)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for("the database to be gone", lambda: not any(processes_of(self.database)), 10)

    # ---- versions ----

    def change_version(self, part: Part, *, is_other: bool, is_killed: bool) -> None:
        """Ends the agent or the controller, and starts it from the other source, or from this one."""
        source = self.other if is_other else None
        if part == "agent":
            (self.kill_agent if is_killed else self.stop_agent)()
            self.system.agent_source = source
            self.system.start_agent()
        else:
            (self.kill_controller if is_killed else self.stop_controller)()
            self.system.controller_source = source
            self.start_controller()
            self.history.note("controller away", seconds=5)
        process = self._running(self.system.agent if part == "agent" else self.system.controller)
        self.history.note(
            "version",
            part=part,
            version=str(source or "this one"),
            is_killed=is_killed,
            runs_in=str(Path(f"/proc/{process.pid}/cwd").readlink()),
            owners=self.system.owners(),
        )

    # ---- everything ----

    def heal(self) -> None:
        """Ends whatever is broken: every part runs again, the network passes, the disks have room."""
        self.proxy.become(PASS)
        self.proxy.obey()
        self.ballast.unlink(missing_ok=True)
        self.start_controller()
        self.start_agent()

    @property
    def ballast(self) -> Path:
        """A file that takes the room of the node's disk."""
        return self.system.node_folder / "ballast"

    def fill_disk(self, leave_bytes: int = 0) -> None:
        """Nothing but so much can be written on the node's disk any more. It must be one of its own."""
        if self.recorder is None:
            raise UnexpectedError("this rig has no disk of its own that could be filled")
        with self.ballast.open("wb") as file:
            free = os.statvfs(self.system.node_folder)
            size = max(0, free.f_bavail * free.f_frsize - leave_bytes)
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
            if leave_bytes == 0:
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file.fileno(), bytes(4096))

    def is_delivered(self, recording: str) -> bool:
        """Whether the node owes nothing of this recording any more."""
        return all(stage == "kept" for found, stage in self._jobs() if found == recording)

    def node_facts(self) -> NodeFacts:
        """What is on the node once it had time to tidy up."""
        deadline = time.monotonic() + _TIDY_SECONDS
        while (leftovers := self._leftovers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return NodeFacts(
            broken_files=self._broken_files(),
            leftovers=leftovers,
            secrets=self._leaks(),
            clocks=self._clocks(),
        )

    def note_memory(self) -> None:
        parts = {"agent": self.system.agent, "controller": self.system.controller}
        pids = [(name, part.pid) for name, part in parts.items() if part is not None and part.poll() is None]
        pids += [("owner", pid) for pid in self.system.owners()] + [
            ("renderer", pid) for pid in self.system.renderers()
        ]
        for name, pid in pids:
            with contextlib.suppress(OSError, StopIteration):
                self.history.note("memory", process=name, bytes=rss_bytes(pid))

    # ---- how ----

    def _stop(self, name: str, process: subprocess.Popen[bytes], limit_seconds: float) -> None:
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(limit_seconds + 30)
        self.history.note(
            "stopped",
            process=name,
            seconds=time.monotonic() - asked_at,
            limit_seconds=limit_seconds + _STOP_ALLOWANCE_SECONDS,
        )
        if process.poll() is None:
            process.kill()
            process.wait()

    def _running(self, process: subprocess.Popen[bytes] | None) -> subprocess.Popen[bytes]:
        if process is None:
            raise UnexpectedError("it was never started")
        return process

    def _other_postmaster(self, before: int) -> bool:
        try:
            found = self.system.postmaster()
        except (StopIteration, FileNotFoundError, IndexError, ValueError):
            return False
        return found != before and is_alive(found)

    def _jobs(self) -> Iterator[tuple[str, str]]:
        """Recording and stage of each job on the node."""
        for file in (self.system.node_folder / "jobs").glob("*/job.json"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                state: Json = json.loads(file.read_text())
                yield state["claimed"]["recording_id"], state["stage"]

    def _leftovers(self) -> list[str]:
        node = self.system.node_folder
        found = [
            f"the node still has a job of {recording} ({stage})" for recording, stage in self._jobs() if stage != "kept"
        ]
        found += [f"renderer {pid} is left" for pid in self.system.renderers()]
        found += [f"{file.relative_to(node)} is left" for file in _files_in(node, "") if _is_left_aside(file)]
        found += [f"claim {file.stem} is left" for file in (node / "claims").glob("*.json")]
        found += [f"event {file.stem} was never told" for file in (node / "events").glob("*.json")]
        owners = [state["interface"]["name"] for state in self.system.owner_states()]
        found += [f"{owners.count(name)} owners of {name}" for name in set(owners) if owners.count(name) > 1]
        return found

    def _broken_files(self) -> list[str]:
        files = [*_files_in(self.system.node_folder, ".json"), *self.system.run_folder.glob("owner-*/state.json")]
        return [f"{file.relative_to(self.folder)} does not parse" for file in files if not _parses(file)]

    def _leaks(self) -> list[str]:
        token = json.loads((self.system.node_folder / "node.json").read_text())["token"]
        secrets = {"node token": token, "API token": self.system.token, "canary": CANARY}
        found = []
        for pid in [*self.system.owners(), *self.system.renderers()]:
            for name in ("environ", "cmdline"):
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
                    found += [
                        f"process {pid} has the {what} in its {name}" for what, one in secrets.items() if one in words
                    ]
        return found

    def _clocks(self) -> dict[str, int]:
        return {
            file.stem: int(json.loads(file.read_text())["epoch_ns"])
            for file in (self.system.node_folder / "synthetic").glob("*.clock")
        }


@contextlib.contextmanager
def running_rig(
    scale: float, seed: int, *, disks: bool = True, sound: dict[str, str] | None = None, other: Path | None = None
) -> Iterator[Rig]:
    """A rig that runs; with disks of its own where this machine can mount them. Nothing of it is left in the end.

    `sound` is where its agent finds the sound of this machine; None: it hears nothing of it. With
    `other`, the source tree of another version, everything begins with that one.
    """
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        library = recorder = None
        home, node_home = folder / "library" / "disk", folder / "recorder" / "disk"
        if disks and why_no_power_cuts() is None:
            library = stack.enter_context(power_volume(folder / "library", _VOLUME_MEBIBYTES))
            recorder = stack.enter_context(power_volume(folder / "recorder", _VOLUME_MEBIBYTES))
        else:
            home.mkdir(parents=True)
            node_home.mkdir(parents=True)
        sleeper = Sleeper(folder / "python") if disks and why_no_sleep() is None else None
        port = free_port()
        proxy = stack.enter_context(Proxy(port, seed=seed))
        system = System(
            home=home,
            scale=scale,
            port=port,
            sound=sound,
            agent_url=f"http://127.0.0.1:{proxy.port}",
            node_home=node_home,
            log_folder=folder / "log",
            more_environment={"REELKEEPER_DISK_RESERVE_BYTES": str(64 << 20)},
            agent_environment={"REELKEEPER_CANARY": CANARY},
            agent_python=sleeper.python if sleeper else sys.executable,
            agent_source=other,
            controller_source=other,
        )
        stack.callback(_stop_all, system)
        system.start()
        system.request("PATCH", f"/nodes/{system.node()['id']}", json={"capacity": CAPACITY})
        settings = ControllerSettings(home=home, run_folder=system.run_folder)
        database = find_place(settings.database_folder, settings.database_sockets_folder)
        yield Rig(folder, system, proxy, database, library, recorder, sleeper, other)


def ask_owner(state: Json, request: Json, seconds: float = 5.0) -> Json:
    """One request over a connection of its own. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        client.connect(f"{state['folder']}/socket")
        client.sendall(encode({**request, "token": state["token"]}))
        header = _received(client, LENGTH_BYTES)
        return decode(_received(client, body_bytes(header)))


def end_all_in(folder: Path, *, besides: Path | None = None) -> None:
    """Kills every process that works in a folder or has a file of it open, but for those of one folder in it."""
    for pid in users_of(folder, besides=besides):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def users_of(folder: Path, *, besides: Path | None = None) -> Iterator[int]:
    """Every other process that works in a folder or has a file of it open, but for those of one folder in it."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and _uses(entry, folder, besides):
                yield int(entry.name)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _received(client: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = client.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("the owner closed")
        parts += part
    return parts


def _files_in(folder: Path, ending: str) -> list[Path]:
    """With this ending, however deep. The node may be removing folders meanwhile."""
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names if name.endswith(ending)]


def _is_left_aside(file: Path) -> bool:
    """Whether it is the unfinished `.name.pid-n` of a process that is gone. The next agent looks after jobs."""
    found = re.fullmatch(r"\..+\.(\d+)-\d+", file.name)
    stays = (file.parent / "job.json").exists()
    return found is not None and not stays and not is_alive(int(found[1])) and file.exists()


def _parses(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    return True


def _stop_all(system: System) -> None:
    """Owners that died meanwhile left no state; whoever has a file of the folder open belongs to this system."""
    try:
        system.stop()
    except OSError:  # its disk is without power
        for process in (system.agent, system.controller):
            if process is not None:
                process.kill()
                process.wait()
    end_all_in(system.run_folder.parent)


def _uses(process: Path, folder: Path, besides: Path | None) -> bool:
    """Whether a process works in a folder, or has a file of it open."""
    used = [(process / "cwd").readlink(), *(entry.readlink() for entry in (process / "fd").iterdir())]
    return any(path.is_relative_to(folder) and not (besides and path.is_relative_to(besides)) for path in used)
