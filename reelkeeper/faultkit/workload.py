"""What people do meanwhile: they start, stop, cancel and download, and try again when no answer comes."""

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx

from reelkeeper.faultkit.history import History
from reelkeeper.faultkit.system import TERMINAL, WAV_PROFILE, Json, System, UnexpectedError

FLAC_PROFILE = UUID("00000000-0000-7000-8000-000000000006")
MP3_PROFILE = UUID("00000000-0000-7000-8000-000000000002")
SUFFIXES = {WAV_PROFILE: "wav", FLAC_PROFILE: "flac", MP3_PROFILE: "mp3"}

_TRY_SECONDS = 5.0
_GIVE_UP_SECONDS = 90.0
_PAUSE_SECONDS = 0.2
_LOOK_SECONDS = 0.5


class Workload:
    """The recordings of one fault. Everything that is asked and answered goes into the history."""

    def __init__(self, system: System, history: History, chance: Random, folder: Path) -> None:
        self.recordings: list[str] = []
        self.refused: list[str] = []
        """Starts that were answered with no."""
        self.stopped: set[str] = set()
        self.planned: set[str] = set()
        """Those that end by themselves."""
        self._system = system
        self._history = history
        self._chance = chance
        self._folder = folder
        self._suffixes: dict[str, str] = {}
        self._settled: dict[str, Json] = {}
        self._node_id: str = system.node()["id"]
        self._jobs: dict[str, str] = {}
        """The only attempt at each recording."""
        self._statuses: dict[tuple[str, str], int] = {}
        self._looking = threading.Lock()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        self._done.set()
        self._watcher.join()

    # ---- acts ----

    def start(self, interface: str, profile: UUID, *, times: int = 1, while_full: bool = False, **more: Any) -> str:
        """Starts a recording, so many times at once; its id."""
        body = {
            "id": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            "node_id": self._node_id,
            "name": f"fault {interface}",
            "interface": {"backend": "synthetic", "name": interface},
            "profile_id": str(profile),
            **more,
        }
        recording: str = body["id"]
        self._suffixes[recording] = SUFFIXES[profile]
        self._history.note("start asked", recording=recording, body=body, while_full=while_full)
        self.recordings.append(recording)
        if "duration_ms" in more or "length_ms" in more.get("limits", {}):
            self.planned.add(recording)
        self._at_once(times, lambda: self._ask("start", recording, "/recordings", body))
        if self._is_refused(recording):
            self.recordings.remove(recording)
            self.refused.append(recording)
        return recording

    def start_other(self, recording: str) -> None:
        """Uses the id of a recording for another one, which must be refused."""
        body = {"id": recording, "node_id": self._node_id, "name": "another"}
        self._ask("other start", recording, "/recordings", body)

    def start_unauthorised(self) -> None:
        """Asks for a recording with a token of nobody, which must change nothing."""
        recording = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        body = {"id": recording, "node_id": self._node_id, "name": "by nobody"}
        with contextlib.suppress(httpx.TransportError):
            answer = self._system.request(
                "POST", "/recordings", json=body, timeout=_TRY_SECONDS, headers={"Authorization": "Bearer rkt_nobody"}
            )
            self._history.note(
                "denied", recording=recording, status=answer.status_code, words="a start with a token of nobody"
            )

    def stop(self, recording: str, *, times: int = 1) -> None:
        self.stopped.add(recording)
        self._history.note("stop asked", recording=recording)
        self._at_once(times, lambda: self._ask("stop", recording, f"/recordings/{recording}/stop"))

    def cancel(self, recording: str) -> None:
        self.stopped.add(recording)
        self._history.note("cancel asked", recording=recording)
        self._ask("cancel", recording, f"/recordings/{recording}/cancel")

    def download(self, recording: str) -> int | None:
        """Asks for the file, whole or not; the status, None without an answer."""
        with contextlib.suppress(httpx.TransportError):
            answer = self._system.request("GET", f"/recordings/{recording}/download", timeout=60)
            file = None
            if answer.status_code == 200:
                file = f"{recording}.{self._suffixes[recording]}"
                (self._folder / file).write_bytes(answer.content)
            self._history.note(
                "download",
                recording=recording,
                status=answer.status_code,
                file=file,
                sha256=hashlib.sha256(answer.content).hexdigest(),
            )
            return answer.status_code
        return None

    # ---- waiting ----

    def frames(self, recording: str) -> int:
        """Frames that were told to be durable; 0 while nobody answers."""
        seen = self._look(recording)
        return int(seen["frames"] or 0) if seen else 0

    def wait_frames(self, recording: str, frames: int, seconds: float) -> bool:
        """Whether so many frames became durable within the time; not being so far is not judged here."""
        return self._within(seconds, lambda: self.frames(recording) >= frames)

    def settle(self, is_delivered: Callable[[str], bool], seconds: float) -> None:
        """Waits until every recording ended and its content is whole; what did not is noted."""
        deadline = time.monotonic() + seconds
        for recording in self.recordings:
            left = max(deadline - time.monotonic(), 1)
            is_settled = self._within(left, partial(self._is_settled, recording, is_delivered))
            if not is_settled:
                found = self._recording(recording) or {"state": "out of sight", "cache_state": "out of sight too"}
                words = f"{recording} is {found['state']}, its content is {found['cache_state']}"
                self._history.note("not settled", recording=recording, words=words, seconds=seconds)
            else:
                self.download(recording)

    def _is_settled(self, recording: str, is_delivered: Callable[[str], bool]) -> bool:
        found = self._recording(recording)
        if found is None or found["state"] not in TERMINAL:
            return False
        self._settled[recording] = found
        if found["cache_state"] == "cached":
            return bool(found["cache_file"]["checksum_sha256"])
        if found["cache_state"] == "damaged":
            return False
        return bool(found["state"] != "completed" and is_delivered(recording))

    def _within(self, seconds: float, probe: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while not probe():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True

    # ---- asking ----

    def _is_refused(self, recording: str) -> bool:
        return self._statuses.get(("start", recording), 0) >= 400

    def _at_once(self, times: int, act: Callable[[], None]) -> None:
        with ThreadPoolExecutor(times) as pool:
            for future in [pool.submit(act) for _ in range(times)]:
                future.result()

    def _ask(self, what: str, recording: str, path: str, body: Json | None = None) -> None:
        """Until there is an answer that is not of a server in trouble."""
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = self._system.request("POST", path, json=body, timeout=_TRY_SECONDS)
                if answer.status_code < 500:
                    self._statuses[what, recording] = answer.status_code
                    told = answer.json()
                    self._history.note(
                        f"{what} answered",
                        recording=recording,
                        status=answer.status_code,
                        answer={name: told.get(name) for name in ("id", "job_id", "state", "code")},
                    )
                    return
                self._history.note(f"{what} failed", recording=recording, status=answer.status_code)
            time.sleep(_PAUSE_SECONDS)
        self._history.note(f"{what} given up", recording=recording)

    def _recording(self, recording: str) -> Json | None:
        with contextlib.suppress(httpx.TransportError, UnexpectedError):
            answer = self._system.request("GET", f"/recordings/{recording}", timeout=_TRY_SECONDS)
            if answer.is_success:
                found: Json = answer.json()
                return found
        return None

    def _look(self, recording: str) -> Json | None:
        """What can be seen of a recording now."""
        with self._looking:
            return self._see(recording)

    def _see(self, recording: str) -> Json | None:
        """One after the other, so that the history has them in the order in which they were true."""
        if recording not in self._jobs and (found := self._recording(recording)):
            self._jobs[recording] = found["job_id"]
        if recording not in self._jobs:
            return None
        with contextlib.suppress(httpx.TransportError):
            answer = self._system.request("GET", f"/jobs/{self._jobs[recording]}", timeout=_TRY_SECONDS)
            if answer.is_success:
                job = answer.json()
                seen = {"job": job["id"], "state": job["state"], "phase": job["phase"], "frames": job["frames"]}
                self._history.note("seen", recording=recording, **seen)
                return seen
        return None

    def _watch(self) -> None:
        """Sees what others would see all the time, and tries to get what is not finished."""
        chance = Random(len(self._node_id))
        while not self._done.wait(_LOOK_SECONDS):
            for recording in [one for one in self.recordings if one not in self._settled]:
                self._look(recording)
            if self.recordings and chance.random() < 0.1:
                self.download(self.recordings[-1])
