"""`python -m agent.owner`: reads an OwnerConfig from its standard input and leaves a detached owner behind.

The last line it prints says what became of it: `{"result": "started" | "taken"}` or `{"error": {"code", "message"}}`.
"""

import json
import logging
import os
import secrets
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from agent.owner import socket as owner_socket
from agent.owner.clock import boottime_ns
from agent.owner.config import Capture, Interface, OwnerConfig, capture_fields, interface_fields
from agent.owner.device import Device
from agent.owner.ending import Ending
from agent.owner.events import OwnerEvent
from agent.owner.service import Service
from agent.owner.sources import Backend, DeviceError, DeviceGoneError
from agent.owner.state import (
    OwnerState,
    Process,
    StateError,
    holds_lock,
    owner_lock,
    read_state,
    remove_state,
    write_state,
)
from agent.owner.takes import Takes
from agent.owner.trouble import Trouble, read_trouble, remove_trouble
from core_rs import AudioError
from protocol.ids import new_id

log = logging.getLogger("agent.owner")

_MOST_LOG_BYTES = 1 << 20


def main() -> None:
    config = OwnerConfig.from_json(sys.stdin.read(owner_socket.MOST_FRAME_BYTES))
    reader, writer = os.pipe()
    if _detached():
        os.close(reader)
        os._exit(_own(config, os.fdopen(writer, "w")))  # past every thread that a hung device may have left behind
    os.close(writer)
    with os.fdopen(reader) as report:
        print(report.read() or json.dumps(owner_socket.error_answer("died", "The owner ended before it said why.")))


def _detached() -> bool:
    """Forks twice; True in the grandchild, which leads a process group in a session without a terminal."""
    if child := os.fork():
        os.waitpid(child, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    os.setpgid(0, 0)
    return True


def _own(config: OwnerConfig, report: TextIO) -> int:
    """The whole life of an owner; its exit code."""
    ending = Ending()
    signal.signal(signal.SIGTERM, lambda *_: ending.ask("node stopped"))
    os.umask(0o077)
    try:
        _make_state_folder(config.state_folder)
        _redirect_output(config.state_folder / "log")
        with owner_lock(config.state_folder) as is_ours:
            if not is_ours or _predecessor_lives(config.state_folder):
                _tell(report, {"result": "taken"})
                return 0
            return _live(config, ending, report)
    except (DeviceError, StateError, OSError, AudioError) as error:
        log.exception("the owner ends")
        code = error.code if isinstance(error, DeviceError) else "owner_failed"
        _tell(report, owner_socket.error_answer(code, str(error)))
        return 1


def _live(config: OwnerConfig, ending: Ending, report: TextIO) -> int:
    backend = _backend(config)
    takes = Takes(config, backend.format)
    state = _new_state(config)
    try:
        listener = owner_socket.bind(state.socket_path)
        write_state(state)
        device = _recovered(config, backend, takes)
        service = Service(config, takes, device, backend, ending)
        owner_socket.Server(listener, state.token, service.answer, config.timeouts).start()
        device.start(must_open=not takes.needs)
        log.warning(
            "capturing %s; detached by two forks, so the end of its container or service ends it", state.interface
        )
        _tell(report, {"result": "started"})
        reason = _keep(takes, device, ending, config.timeouts.flush / 2)
        return _close(device, takes, reason)
    finally:
        state.socket_path.unlink(missing_ok=True)
        remove_state(config.state_folder)
        _end_group()


def _recovered(config: OwnerConfig, backend: Backend, takes: Takes) -> Device:
    """The device, not opened yet, after its takes go on: in the trouble that an earlier owner left, if one did."""
    found = read_trouble(config.state_folder)
    takes.recover(found.event.kind if found and found.processes else "owner_died")
    if not takes.needs:
        remove_trouble(config.state_folder)
        found = None
    elif found is None:
        found = Trouble(_death(config, takes))
    return Device(backend, takes, config.timeouts, config.state_folder, found)


def _death(config: OwnerConfig, takes: Takes) -> OwnerEvent:
    """Of an owner that left recordings behind, and no other reason; since the last frame that is on disk."""
    began_ns = boottime_ns() - takes.silent_ns
    words = (
        f"The capture of {config.interface.name} died. Another one goes on, and the gap is listed with the recording."
    )
    return OwnerEvent(str(new_id()), "capture_died", "critical", f"{words} Look into the log.", began_ns, None)


def _keep(takes: Takes, device: Device, ending: Ending, tick_seconds: float) -> str | None:
    """Lives until somebody asks for the end, or the device leaves no other way; the reason that was given."""
    while (reason := ending.wait(tick_seconds)) is None and not device.is_stuck:
        try:
            takes.tick(boottime_ns() / 1e9)
        except (OSError, AudioError):
            log.exception("the take could not be kept up")
    return reason


def _close(device: Device, takes: Takes, reason: str | None) -> int:
    if reason is None:
        device.leave()
        return 1
    log.info("ending: %s", reason)
    device.close()
    try:
        takes.shut(reason)
    except TimeoutError:
        log.exception("the take was not closed")
        return 1
    return 0


def _backend(config: OwnerConfig) -> Backend:
    """Imports what this interface needs, and nothing later: the installation may be replaced under a living owner."""
    match config.interface.backend:
        case "portaudio":
            from agent.owner.portaudio import PortAudioBackend

            return PortAudioBackend(config)
        case "file":
            from agent.owner.file import FileBackend

            return FileBackend(config)
        case "synthetic":
            from agent.owner.synthetic import SyntheticBackend

            return SyntheticBackend(config)
        case other:
            raise DeviceGoneError(f"There is no backend “{other}”. Choose another interface.")


def _new_state(config: OwnerConfig) -> OwnerState:
    process = Process.of(os.getpid())
    if process is None:
        raise StateError("This process is not in /proc. Mount /proc.")
    return OwnerState(
        folder=config.state_folder,
        process=process,
        token=secrets.token_urlsafe(32),
        interface=Interface(**interface_fields(config.interface)),
        capture=Capture(**capture_fields(config.capture)),
    )


def _predecessor_lives(folder: Path) -> bool:
    """Whether the process in the state lives on although its lock is free, because somebody removed the lock file."""
    try:
        state = read_state(folder)
    except StateError:
        log.exception("the state that was found is replaced")
        return False
    return state is not None and holds_lock(state.process, folder)


def _make_state_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StateError(f"{folder} is not private to this user. Choose another run folder.")


def _redirect_output(path: Path) -> None:
    """Standard output and error go to a file, never to a pipe that somebody must drain."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if os.fstat(descriptor).st_size > _MOST_LOG_BYTES:
        os.ftruncate(descriptor, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(descriptor)
    os.chdir("/")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(message)s")


def _tell(report: TextIO, fields: owner_socket.Fields) -> None:
    """Once; what comes later stands in the log."""
    if report.closed:
        return
    with suppress(BrokenPipeError), report:  # an agent that died meanwhile adopts this owner later
        json.dump(fields, report)


def _end_group() -> None:
    """Ends whatever else this process group holds."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    main()
