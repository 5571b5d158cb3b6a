"""A whole Reelkeeper of real processes in a folder of its own, driven through the JSON API, broken by signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx

from agent.settings import child_environment
from protocol.timeouts import Timeouts

T = TypeVar("T")
Json = dict[str, Any]

TERMINAL = {"completed", "failed", "cancelled"}
WAV_PROFILE = UUID("00000000-0000-7000-8000-000000000001")
"""The built-in profile that keeps what was captured."""
PATIENCE_SECONDS = 60.0
"""A loaded machine is slow; what does not come at all fails all the same."""


class UnexpectedError(AssertionError):
    """The system answered, or ended, as it must not."""


class TooLateError(UnexpectedError):
    """Something did not come true within its bound."""


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Asks until the answer is true; the bound is a failure, never a pass. Raises TooLateError."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TooLateError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_gone(pid: int) -> bool:
    return not is_alive(pid)


def rss_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def _client() -> httpx.Client:
    """One for many requests, since making one is dear; a connection is used once, since controllers come and go."""
    return httpx.Client(verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class System:
    """Controller (with embedded PostgreSQL) and one agent. `scale` shortens every timeout of the product."""

    home: Path
    scale: float = 1.0
    port: int = field(default_factory=free_port)
    agent_url: str | None = None
    """Where the agent finds the controller; through a proxy, say."""
    sound: dict[str, str] | None = None
    """Where the agent finds a sound server. None: it hears nothing of this machine."""
    node_home: Path | None = None
    """Where the agent lives, when that is another disk than the controller's."""
    log_folder: Path | None = None
    more_environment: dict[str, str] = field(default_factory=dict)
    """What every process is told besides."""
    agent_environment: dict[str, str] = field(default_factory=dict)
    """What the agent alone is told besides."""
    agent_python: str = sys.executable
    """That the agent and all that it starts run in."""

    agent_source: Path | None = None
    """The source tree that the agent and all that it starts are of. None: this one."""
    controller_source: Path | None = None
    """That of the controller and of every command."""

    controller: subprocess.Popen[bytes] | None = None
    agent: subprocess.Popen[bytes] | None = None
    token: str = ""
    client: httpx.Client = field(default_factory=_client)

    # ---- processes ----

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def run_folder(self) -> Path:
        return (self.log_folder.parent if self.log_folder else self.home) / "run"

    @property
    def node_folder(self) -> Path:
        """The agent's spool."""
        return (self.node_home or self.home) / "node"

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts().scaled(self.scale)

    def environment(self, command: str = "") -> dict[str, str]:
        is_agent = command == "agent"
        home = self.node_home if is_agent and self.node_home else self.home
        return {
            **child_environment(),
            "REELKEEPER_HOME": str(home),
            "REELKEEPER_RUN_FOLDER": str(self.run_folder),
            "REELKEEPER_PORT": str(self.port),
            "REELKEEPER_CONTROLLER_URL": self.agent_url or self.url,
            "REELKEEPER_TIME_SCALE": str(self.scale),
            "REELKEEPER_PORTAUDIO": str(self.sound is not None),
            **(self.sound or {}),
            **self.more_environment,
            **(self.agent_environment if is_agent else {}),
        }

    def run(self, *arguments: str) -> str:
        """One command to its end, with limits that are not scaled: none of them is tried by it. Its output."""
        done = subprocess.run(
            [sys.executable, "-m", "reelkeeper", *arguments],
            cwd=self.source_of(arguments[0]),
            env={**self.environment(arguments[0]), "REELKEEPER_TIME_SCALE": "1.0"},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise UnexpectedError(f"{arguments} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def spawn(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self._log_file(arguments[0])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                [self.agent_python if arguments[0] == "agent" else sys.executable, "-m", "reelkeeper", *arguments],
                cwd=self.source_of(arguments[0]),
                env={**self.environment(arguments[0]), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def source_of(self, command: str) -> Path | None:
        """Where `python -m` finds the version that runs a command. None: where this process stands."""
        return self.agent_source if command == "agent" else self.controller_source

    def start(self) -> None:
        self.start_controller()
        self.token = self.run("token", "create", f"test-{uuid.uuid4()}")
        self.run("agent", "--code", self.run("node", "add", "Room"), "--join-only")
        self.start_agent()

    def start_controller(self) -> None:
        self.controller = self.spawn("controller")
        wait_for("the controller to be ready", self.is_ready)

    def is_ready(self) -> bool:
        """Whether the controller answers. Raises UnexpectedError once it has ended."""
        if self.controller is None or self.controller.poll() is not None:
            raise UnexpectedError(f"the controller ended: {self.log_of('controller')[-2000:]}")
        with contextlib.suppress(httpx.TransportError):
            return self.client.get(f"{self.url}/readyz", timeout=5).is_success
        return False

    def start_agent(self) -> None:
        """Starts an agent and waits until it has reported."""
        before = self.node()["last_seen_at"]
        self.agent = self.spawn("agent")
        wait_for("the agent to report", self._reported_after(before))

    def _reported_after(self, before: str | None) -> Callable[[], bool]:
        def reported() -> bool:
            node = self.node()
            if self.agent is None or self.agent.poll() is not None:
                raise UnexpectedError(f"the agent ended: {self.log_of('agent')[-2000:]}")
            return node["last_seen_at"] != before and bool(node["interfaces"])

        return reported

    def log_of(self, name: str) -> str:
        return self._log_file(name).read_text(errors="replace")

    def _log_file(self, name: str) -> Path:
        return (self.log_folder or self.home / "log") / f"test-{name}.log"

    def owners(self) -> list[int]:
        """The live capture processes of the node."""
        return [state["process"]["pid"] for state in self.owner_states() if is_alive(state["process"]["pid"])]

    def owner_states(self) -> list[Json]:
        """What owners, living or dead, wrote of themselves."""
        found = []
        for file in sorted(self.run_folder.glob("owner-*/state.json")):
            with contextlib.suppress(FileNotFoundError, ValueError):
                state = json.loads(file.read_text())
                found.append({**state, "folder": str(file.parent)})
        return found

    def renderers(self) -> list[int]:
        """The live renderers of the node; the folder of their job stands in their arguments."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if "agent.renderer" in words and any(word.startswith(str(self.node_folder)) for word in words):
                        found.append(int(entry.name))
        return [pid for pid in found if is_alive(pid)]

    def postmaster(self) -> int:
        return int(self.postmaster_file().read_text().split()[0])

    def postmaster_file(self) -> Path:
        return next(self.home.rglob("postmaster.pid"))

    def stop(self) -> None:
        """Ends everything that this system started, whatever state it is in."""
        for process in (self.agent, self.controller):
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for pid in [*self.renderers(), *self.owners()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for process in (self.agent, self.controller):
            if process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(12)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for pid in [*self.renderers(), *self.owners()]:
            with contextlib.suppress(TooLateError):
                wait_for("an owner to end", partial(is_gone, pid), 8)
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        for file in self.home.rglob("postmaster.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError, IndexError, FileNotFoundError):
                os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)

    # ---- the API ----

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.request(method, f"{self.url}/api/v1{path}", headers=headers, **{"timeout": 60, **options})

    def get(self, path: str) -> Json:
        return _body(self._answered("GET", path))

    def post(self, path: str, body: Json | None = None) -> Json:
        return _body(self._answered("POST", path, json=body))

    def _answered(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Asks again while the controller waits for its database, as programs shall: `scale` makes that wait short."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.request(method, path, **options)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                return answer
            time.sleep(0.2)

    def node(self) -> Json:
        nodes: list[Json] = self.get("/nodes")["items"]
        return self.get(f"/nodes/{nodes[0]['id']}")

    def start_request(self, interface: str = "counter", profile: UUID = WAV_PROFILE, **more: Any) -> Json:
        """In WAV unless another profile is named: only that brings a counter back number by number."""
        return {
            "id": str(uuid.uuid4()),
            "node_id": self.node()["id"],
            "name": interface,
            "interface": {"backend": "synthetic", "name": interface},
            "profile_id": str(profile),
            **more,
        }

    def record(self, interface: str = "counter", **more: Any) -> str:
        """Starts a recording; its id."""
        identifier: str = self.post("/recordings", self.start_request(interface, **more))["id"]
        return identifier

    def recording(self, identifier: str) -> Json:
        return self.get(f"/recordings/{identifier}")

    def job_of(self, identifier: str) -> Json:
        """The newest attempt."""
        return self.get(f"/jobs/{self.recording(identifier)['job_id']}")

    def wait_capturing(self, identifier: str, frames: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        wait_for(
            f"{frames} frames of {identifier}",
            lambda: (self.job_of(identifier).get("frames") or 0) >= frames,
            seconds,
        )

    def stop_recording(self, identifier: str) -> None:
        self.post(f"/recordings/{identifier}/stop")

    def wait_state(self, identifier: str, state: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """Raises UnexpectedError as soon as it ended otherwise."""

        def reached() -> Json | None:
            found = self.recording(identifier)
            if found["state"] in TERMINAL - {state}:
                raise UnexpectedError(f"{identifier} ended {found['state']}: {found}")
            return found if found["state"] == state else None

        try:
            return wait_for(f"{identifier} to be {state}", reached, seconds)
        except UnexpectedError as late:
            folder = self._log_file("agent").parent
            logs = "".join(file.read_text(errors="replace")[-3000:] for file in folder.glob("*.log"))
            raise UnexpectedError(f"{late}\n{self.job_of(identifier)}\n{logs}") from late

    def wait_checksum(self, identifier: str, seconds: float = PATIENCE_SECONDS) -> str:
        checksum: str = wait_for(
            "the checksum", lambda: self.recording(identifier)["cache_file"]["checksum_sha256"], seconds
        )
        return checksum

    def download(self, identifier: str, to: Path) -> Path:
        headers = {"Authorization": f"Bearer {self.token}"}
        with (
            self.client.stream(
                "GET",
                f"{self.url}/api/v1/recordings/{identifier}/download",
                headers=headers,
                timeout=PATIENCE_SECONDS,
            ) as answer,
            to.open("wb") as file,
        ):
            if answer.status_code != 200:
                raise UnexpectedError(f"the download of {identifier} is answered with {answer.status_code}")
            for block in answer.iter_bytes():
                file.write(block)
        return to

    def ledger(self, identifier: str) -> Json:
        return self.get(f"/recordings/{identifier}/ledger")

    def job_folder(self, identifier: str) -> Path:
        for file in (self.node_folder / "jobs").glob("*/job.json"):
            if identifier in file.read_text():
                return file.parent
        raise UnexpectedError(f"no job folder of {identifier}")

    def spooled_job(self, identifier: str) -> Json:
        found: Json = json.loads((self.job_folder(identifier) / "job.json").read_text())
        return found


@contextlib.contextmanager
def running(system: System) -> Iterator[System]:
    try:
        system.start()
        yield system
    finally:
        system.stop()


def _body(answer: httpx.Response) -> Json:
    if not answer.is_success:
        raise UnexpectedError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    body: Json = answer.json()
    return body
