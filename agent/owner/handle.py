"""The agent's side of an owner: start or find it, ask it, end it.

Every request ends within `Timeouts.owner_request`, also after the connection stands, and may be repeated.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agent.errors import AgentError
from agent.owner.config import Capture, Interface, OwnerConfig, capture_fields
from agent.owner.events import OwnerEvent
from agent.owner.signal import Silence
from agent.owner.socket import LENGTH_BYTES, Fields, FrameError, body_bytes, decode, encode
from agent.owner.state import (
    OwnerState,
    Process,
    StateError,
    holds_lock,
    list_states,
    owner_lock,
    read_state,
    remove_state,
)
from agent.owner.unpacked import REFUSED, pcm_path, sound_file
from protocol.timeouts import Timeouts

__all__ = [
    "Begun",
    "ChannelLevel",
    "Owner",
    "OwnerConfig",
    "OwnerError",
    "OwnerEvent",
    "OwnerGoneError",
    "OwnerRefusedError",
    "OwnerStartError",
    "OwnerStatus",
    "OwnerUnresponsiveError",
    "Silence",
    "attach",
    "list_states",
    "start_owner",
]

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that an owner finds in its environment, besides where the sound is."""
_PACKAGES = Path(__file__).parents[2]
_POLL_SECONDS = 0.02


class OwnerError(AgentError):
    """A capture process cannot do what was asked."""


class OwnerGoneError(OwnerError):
    """There is no capture process for this interface. Start it."""

    retry_helps = True


class OwnerUnresponsiveError(OwnerError):
    """The capture process may live but does not answer. Try again, or disarm the interface."""

    retry_helps = True


class OwnerStartError(OwnerError):
    """The capture process could not start.

    `code`: device_gone, device_busy, device_failed, format_refused, owner_failed, died.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.retry_helps = code in {"device_gone", "device_busy", "device_failed", "died"}


class OwnerRefusedError(OwnerError):
    """The capture process answered no. `code` is `device_lost`, `take_failed`, `unknown_recording`, `ending` …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.retry_helps = code in {"busy", "device_lost", "ending", "take_failed"}


@dataclass(frozen=True)
class ChannelLevel:
    """None is digital silence."""

    peak_dbfs: float | None
    rms_dbfs: float | None
    zero_frames: int
    clipped_frames: int = 0


@dataclass(frozen=True)
class OwnerStatus:
    pid: int
    interface: Interface
    capture: Capture
    take_id: str | None
    take_folder: Path | None
    next_frame: int
    durable_frame: int
    growth: Literal["growing", "quiet", "stalled"] | None
    fault: str | None
    storage: Literal["usable", "full", "failing"]
    """Where the take is written: `full` while no folder has room."""
    device: Literal["opening", "capturing", "stalled", "lost", "closed"]
    needs: list[str]
    """Recordings whose end is not captured yet."""
    preroll_ms: int
    """That is kept for starts that reach back; 0 while the interface is not armed."""
    silence: Silence | None
    """Of the take that is being written."""
    events: list[OwnerEvent]
    """The newest few, and all conditions that last."""


@dataclass(frozen=True)
class Begun:
    take_id: str
    take_folder: Path
    start_frame: int
    press_frame: int
    """That the recording was asked for; later than its start when it reached back."""


async def start_owner(config: OwnerConfig, environment: Mapping[str, str] | None = None) -> "Owner":
    """Starts a detached owner, or adopts the one that lives; however many start at once, there is one.

    `environment` is what it needs to find the sound of this machine; it gets nothing else. An adopted owner keeps the
    format that it was started with. Raises OwnerStartError, or OwnerUnresponsiveError
    when nothing answers within `Timeouts.owner_start`.
    """
    await _unpack(config)
    deadline = asyncio.get_running_loop().time() + config.timeouts.owner_start
    while True:
        try:
            return await attach(config.state_folder, config.timeouts)
        except OwnerGoneError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await _launch(config, {**ENVIRONMENT, **(environment or {})})
        except OwnerUnresponsiveError:
            if asyncio.get_running_loop().time() > deadline:
                raise


async def attach(state_folder: Path, timeouts: Timeouts | None = None) -> "Owner":
    """The living owner of this folder, known by its answer to the token.

    Raises OwnerGoneError only when there positively is none. A timeout, a reset or a foreign answer is no proof of
    that and raises OwnerUnresponsiveError.
    """
    owner = Owner(state_folder, timeouts or Timeouts())
    try:
        await owner.status()
    finally:
        owner.disconnect()  # the place is free for whoever else found this owner, until one goes on asking
    return owner


class Owner:
    """One capture process. Keeps a connection, and connects again when it is lost; ask it from one event loop."""

    def __init__(self, state_folder: Path, timeouts: Timeouts) -> None:
        self.state_folder = state_folder
        self._timeouts = timeouts
        self._turn = asyncio.Lock()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(self) -> OwnerStatus:
        return _status(await self._ask("status"))

    async def begin(
        self, recording_id: str, boottime_ns: int, instant: str | None = None, preroll_ms: int = 0
    ) -> Begun:
        """Binds the first frame of a recording, starting a take if there is none; the same answer ever after.

        `instant` names the moment for neighbours, which get the same frame. With `preroll_ms` it begins so much
        earlier, as far as the interface was armed.
        """
        answer = await self._ask(
            "begin", recording_id=recording_id, boottime_ns=boottime_ns, instant=instant, preroll_ms=preroll_ms
        )
        start_frame: int = answer["start_frame"]
        press_frame: int = answer.get("press_frame", start_frame)
        return Begun(answer["take_id"], Path(answer["take_folder"]), start_frame, press_frame)

    async def arm(self, preroll_ms: int) -> None:
        """Keeps so much from now on for starts that reach back; 0 keeps nothing, and wipes what nobody needs."""
        await self._ask("arm", preroll_ms=preroll_ms)

    async def end(
        self,
        recording_id: str,
        boottime_ns: int | None = None,
        frame: int | None = None,
        instant: str | None = None,
    ) -> int:
        """Binds the end frame, by default now; it may lie ahead. The first one stays for ever and is the answer."""
        answer = await self._ask(
            "end", recording_id=recording_id, boottime_ns=boottime_ns, frame=frame, instant=instant
        )
        return int(answer["end_frame"])

    async def drop(self, recording_id: str) -> None:
        """The recording needs the capture no longer and gets no end."""
        await self._ask("drop", recording_id=recording_id)

    async def release(self, take_id: str, before_frame: int) -> int:
        """Whole segments before this frame may go; the first frame that is still held. Refused for a closed take."""
        return int((await self._ask("release", take_id=take_id, before_frame=before_frame))["held_from_frame"])

    async def levels(self) -> list[ChannelLevel]:
        """Of each channel since the last asking, with or without a take; empty when nothing was delivered since."""
        return [ChannelLevel(**channel) for channel in (await self._ask("levels"))["channels"]]

    async def hook(self, name: str, value: float) -> None:
        """Breaks a synthetic input: `stall`, `disconnect`, `hang` (seconds from now), `overrun` (frames) and others."""
        await self._ask("hook", name=name, value=value)

    async def retire(self, reason: str) -> bool:
        """Ends the capture as `disarm` does, but only if no take is being written. Whether it ended."""
        is_retired = bool((await self._ask("retire", reason=reason))["is_retired"])
        if is_retired:
            await self.disarm(reason)
        return is_retired

    async def disarm(self, reason: str) -> None:
        """Ends the capture with an end mark for this reason; returns when it is confirmed that nothing runs any more.

        May be repeated, and cleans up after an owner that died. One that does not end in time is killed.
        Raises OwnerUnresponsiveError when even that could not be confirmed.
        """
        before = _process(self.state_folder)
        killed_at = asyncio.get_running_loop().time() + self._timeouts.owner_drain + self._timeouts.flush
        try:
            await self._ask("disarm", reason=reason)
        except OwnerGoneError:
            return _remove_stale(self.state_folder)
        except (OwnerUnresponsiveError, OwnerRefusedError):
            _signal_owner(self.state_folder, signal.SIGTERM)
        finally:
            self.disconnect()
        if not await self._ended_within(killed_at - asyncio.get_running_loop().time(), before):
            _signal_owner(self.state_folder, signal.SIGKILL)
        if not await self._ended_within(self._timeouts.owner_request, before):
            raise OwnerUnresponsiveError(f"The owner of {self.state_folder} cannot be ended. Look into its log there.")
        return _remove_stale(self.state_folder)

    def on_end(self, call: Callable[[], None]) -> None:
        """Has this called once, soon after the process of this owner is gone."""
        process = _process(self.state_folder)
        try:
            descriptor = os.pidfd_open(process.pid) if process and holds_lock(process, self.state_folder) else None
        except OSError:
            descriptor = None
        loop = asyncio.get_running_loop()
        if descriptor is None:
            loop.call_soon(call)
            return

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            call()

        loop.add_reader(descriptor, ended)

    def disconnect(self) -> None:
        """Frees the owner for another agent."""
        connection, self._connection = self._connection, None
        if connection:
            connection[1].close()

    async def _ended_within(self, seconds: float, before: Process | None) -> bool:
        """Whether the owner that was there before has let go of its lock, or another one has taken its place."""
        deadline = asyncio.get_running_loop().time() + seconds
        while _lives(self.state_folder) and _process(self.state_folder) in {before, None}:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _ask(self, do: str, **fields: Any) -> Fields:
        trouble: list[OwnerError] = []
        try:
            async with asyncio.timeout(self._timeouts.owner_request), self._turn:
                return await self._connected({"do": do, **fields}, trouble)
        except TimeoutError as cause:
            last = trouble[-1] if trouble else "No answer came. Try again."
            raise OwnerUnresponsiveError(f"The owner of {self.state_folder} did not answer in time: {last}") from cause

    async def _connected(self, request: Fields, trouble: list[OwnerError]) -> Fields:
        """Asks over the kept connection or a new one, again while it breaks off or another agent holds the place."""
        while True:
            try:
                token = {} if self._connection else {"token": await self._connect()}
                return await self._exchange({**request, **token})
            except OwnerUnresponsiveError as broken:
                trouble.append(broken)
            except OwnerRefusedError as refusal:
                if refusal.code != "busy":
                    raise
                trouble.append(refusal)
            await asyncio.sleep(_POLL_SECONDS)

    async def _connect(self) -> str:
        """A new connection, and the token that its first request must carry."""
        try:
            self._connection = await asyncio.open_unix_connection(self.state_folder / "socket")
        except (FileNotFoundError, ConnectionRefusedError) as cause:
            if not _lives(self.state_folder):
                raise OwnerGoneError from cause
            raise OwnerUnresponsiveError(
                f"The owner of {self.state_folder} is starting or ending. Try again."
            ) from cause
        except OSError as cause:
            raise OwnerUnresponsiveError(f"{cause}. Try again.") from cause
        try:
            return _state(self.state_folder).token
        except OwnerUnresponsiveError:
            self.disconnect()
            raise

    async def _exchange(self, request: Fields) -> Fields:
        """One request and its answer. A connection that was left in the middle is never used again."""
        assert self._connection
        reader, writer = self._connection
        try:
            writer.write(encode(request))
            await writer.drain()
            answer = decode(await reader.readexactly(body_bytes(await reader.readexactly(LENGTH_BYTES))))
        except (OSError, EOFError, FrameError) as cause:
            self.disconnect()
            raise OwnerUnresponsiveError(f"The owner of {self.state_folder} broke off: {cause}. Try again.") from cause
        except BaseException:
            self.disconnect()
            raise
        return self._opened(answer)

    def _opened(self, answer: Fields) -> Fields:
        if error := answer.get("error"):
            if error["code"] in {"busy", "wrong_token"}:
                self.disconnect()
            if error["code"] == "wrong_token":
                raise OwnerUnresponsiveError(
                    f"What answers in {self.state_folder} is not the owner of its state. Try again."
                )
            raise OwnerRefusedError(error["code"], error["message"])
        result: Fields = answer["ok"]
        return result


async def _launch(config: OwnerConfig, environment: Mapping[str, str]) -> None:
    """Runs the launcher, which leaves the owner behind. Another owner that was quicker is fine."""
    launcher = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent.owner",
        cwd=_PACKAGES,
        env=environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(config.timeouts.owner_start):
            output, errors = await launcher.communicate(config.to_json().encode())
    except TimeoutError as cause:
        raise OwnerUnresponsiveError("The capture process takes too long to start. Try again.") from cause
    finally:
        if launcher.returncode is None:
            launcher.kill()  # the launcher only: an owner that is still starting is adopted later
            await launcher.wait()
    try:
        answer = json.loads(output)
    except ValueError as cause:
        raise OwnerStartError("owner_failed", errors.decode(errors="replace")[-2000:]) from cause
    if error := answer.get("error"):
        raise OwnerStartError(error["code"], error["message"])


async def _unpack(config: OwnerConfig) -> None:
    """Makes the samples of an input that plays a file ready for an owner, which imports no codec."""
    file = sound_file(config.interface)
    if file is None:
        return
    try:
        target = pcm_path(config.synthetic_folder, file, config.capture)
    except OSError as cause:
        raise OwnerStartError("device_gone", f"{file} cannot be read ({cause.strerror}). Put it back.") from cause
    if target.exists():
        return
    asked = json.dumps(capture_fields(config.capture))
    command = (sys.executable, "-m", "agent.owner.unpacked", str(file), str(target), asked)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=_PACKAGES, env=ENVIRONMENT, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        words, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == REFUSED:
        raise OwnerStartError("format_refused", words.decode())
    if process.returncode != 0:
        raise OwnerStartError(
            "device_failed", f"{file} could not be unpacked: {errors.decode(errors='replace')[-2000:]}"
        )


def _state(folder: Path) -> OwnerState:
    try:
        state = read_state(folder)
    except StateError as cause:
        raise OwnerUnresponsiveError(f"{cause} Stop the process that holds {folder / 'lock'}.") from cause
    if state is None:
        raise OwnerUnresponsiveError(f"The owner of {folder} is starting or ending. Try again.")
    return state


def _lives(folder: Path) -> bool:
    """Whether somebody holds the lock, or held it when its file was removed."""
    if (process := _process(folder)) and holds_lock(process, folder):
        return True
    if not (folder / "lock").exists():
        return False
    with owner_lock(folder) as is_free:
        return not is_free


def _remove_stale(folder: Path) -> None:
    """Takes away the state of an owner that died; a new owner that began meanwhile keeps its own."""
    if not folder.exists():
        return
    with owner_lock(folder) as is_free:
        if is_free:
            (folder / "socket").unlink(missing_ok=True)
            remove_state(folder)


def _process(folder: Path) -> Process | None:
    """Who the state names; None when it names nobody that could be known."""
    try:
        state = read_state(folder)
    except StateError:
        return None
    return state.process if state else None


def _signal_owner(folder: Path, number: signal.Signals) -> None:
    """Only to the process of the state that also holds the lock; a kill goes to its whole group."""
    process = _process(folder)
    if process is None or not holds_lock(process, folder):
        return
    with suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)


def _status(answer: Fields) -> OwnerStatus:
    """An owner lives on through upgrades of its agent: what it does not know yet has a default."""
    return OwnerStatus(
        pid=answer["pid"],
        interface=Interface(**answer["interface"]),
        capture=Capture(**answer["capture"]),
        take_id=answer["take_id"],
        take_folder=Path(answer["take_folder"]) if answer["take_folder"] else None,
        next_frame=answer["next_frame"],
        durable_frame=answer["durable_frame"],
        growth=answer["growth"],
        fault=answer["fault"],
        storage=answer.get("storage", "usable"),
        device=answer["device"],
        needs=answer["needs"],
        preroll_ms=answer.get("preroll_ms", 0),
        silence=_silence(answer.get("silence")),
        events=_events(answer["events"]),
    )


def _events(found: list[Fields]) -> list[OwnerEvent]:
    """What an owner of another version tells in a form of its own is left to its log."""
    events = []
    for fields in found:
        with suppress(TypeError):
            events.append(OwnerEvent(**fields))
    return events


def _silence(fields: Fields | None) -> Silence | None:
    return Silence(fields["judged_frame"], tuple(fields["since_frames"])) if fields else None
