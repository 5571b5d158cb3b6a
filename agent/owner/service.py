"""What an owner answers to its agent."""

import dataclasses
import errno
import logging
import math
import os
from collections.abc import Callable
from typing import Any

from agent.owner.clock import boottime_ns
from agent.owner.config import OwnerConfig, capture_fields, interface_fields
from agent.owner.device import Device
from agent.owner.ending import Ending
from agent.owner.socket import Fields, error_answer
from agent.owner.sources import Backend, HookRefusedError
from agent.owner.takes import RefusedError, Takes
from core_rs import AudioError, ChannelLevels

log = logging.getLogger(__name__)


class Service:
    """Turns requests into acts on takes and device. Its limits are those of the socket."""

    def __init__(self, config: OwnerConfig, takes: Takes, device: Device, backend: Backend, ending: Ending) -> None:
        self._config = config
        self._takes = takes
        self._device = device
        self._backend = backend
        self._ending = ending
        self._acts: dict[str, Callable[[Fields], Any]] = {
            "status": self._status,
            "begin": self._begin,
            "end": self._end,
            "drop": self._drop,
            "release": self._release,
            "levels": self._levels,
            "retire": self._retire,
            "arm": self._arm,
            "disarm": self._disarm,
            "hook": self._hook,
        }

    def answer(self, request: Fields) -> Fields:
        """The whole answer; every fault is an answer too."""
        act = self._acts.get(str(request.get("do")))
        if act is None:
            return error_answer("unknown_request", f"An owner cannot “{request.get('do')}”.")
        try:
            return {"ok": act(request)}
        except RefusedError as error:
            return error_answer(error.code, str(error))
        except HookRefusedError as error:
            return error_answer("no_hook", str(error))
        except (KeyError, TypeError, ValueError) as error:
            return error_answer("invalid", f"The request is not complete: {error!r}.")
        except (OSError, AudioError) as error:
            log.exception("%s failed", request.get("do"))
            is_full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
            return error_answer("disk_full" if is_full else "take_failed", str(error))

    def _status(self, request: Fields) -> Fields:
        running = self._takes.running
        writer = running.writer if running else None
        return {
            "pid": os.getpid(),
            "interface": interface_fields(self._config.interface),
            "capture": capture_fields(self._config.capture),
            "take_id": running.take_id if running else None,
            "take_folder": str(running.folder) if running else None,
            "next_frame": writer.next_frame if writer else 0,
            "durable_frame": writer.durable_frame if writer else 0,
            "growth": writer.growth if writer else None,
            "fault": writer.fault if writer else None,
            "storage": writer.standing if writer else "usable",
            "device": self._device.standing,
            "needs": self._takes.needs,
            "preroll_ms": self._takes.preroll_ms,
            "silence": dataclasses.asdict(silence) if (silence := self._device.signal.silence) else None,
            "events": [dataclasses.asdict(event) for event in self._takes.events.newest()],
        }

    def _begin(self, request: Fields) -> Fields:
        recording_id, preroll_ms = _text(request, "recording_id"), _optional_number(request, "preroll_ms") or 0
        if not self._takes.knows(recording_id) and self._would_record_nothing(preroll_ms):
            raise RefusedError("device_lost", "The device delivers nothing. Check that it is plugged in.")
        begun = self._takes.begin(
            recording_id, _number(request, "boottime_ns"), _optional_text(request, "instant"), preroll_ms
        )
        return {
            "take_id": begun.take_id,
            "take_folder": str(self._takes.folder_of(begun.take_id)),
            "start_frame": begun.start_frame,
            "press_frame": begun.press_frame,
        }

    def _would_record_nothing(self, preroll_ms: int) -> bool:
        """Such a start is no success. One that reaches back to sound, or has neighbours, is."""
        silent_since_ns = self._device.silent_since_ns
        if silent_since_ns is None or self._takes.needs:
            return False
        if self._takes.running is None or not self._takes.preroll_ms:
            return self._takes.running is None
        return boottime_ns() - silent_since_ns > preroll_ms * 1_000_000

    def _end(self, request: Fields) -> Fields:
        end_frame = self._takes.end(
            _text(request, "recording_id"),
            boottime_ns=_optional_number(request, "boottime_ns"),
            frame=_optional_number(request, "frame"),
            instant=_optional_text(request, "instant"),
        )
        return {"end_frame": end_frame}

    def _drop(self, request: Fields) -> Fields:
        self._takes.drop(_text(request, "recording_id"))
        return {}

    def _release(self, request: Fields) -> Fields:
        return {"held_from_frame": self._takes.release(_text(request, "take_id"), _number(request, "before_frame"))}

    def _levels(self, request: Fields) -> Fields:
        return {"channels": [_level_fields(level) for level in self._device.levels()]}

    def _retire(self, request: Fields) -> Fields:
        reason = _text(request, "reason")
        is_retired = self._takes.retire()
        if is_retired:
            self._ending.ask(reason)
        return {"is_retired": is_retired}

    def _arm(self, request: Fields) -> Fields:
        self._takes.arm(_number(request, "preroll_ms"))
        return {}

    def _disarm(self, request: Fields) -> Fields:
        self._ending.ask(_text(request, "reason"))
        return {}

    def _hook(self, request: Fields) -> Fields:
        self._backend.hook(_text(request, "name"), float(request["value"]))
        return {}


def _level_fields(level: ChannelLevels) -> Fields:
    """JSON has no infinity: None is digital silence."""
    return {
        "peak_dbfs": level.peak_dbfs if math.isfinite(level.peak_dbfs) else None,
        "rms_dbfs": level.rms_dbfs if math.isfinite(level.rms_dbfs) else None,
        "clipped_frames": level.clipped_frames,
        "zero_frames": level.zero_frames,
    }


def _text(request: Fields, name: str) -> str:
    value = request[name]
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ValueError(f"{name} is a text of 1 to 200 characters")
    return value


def _number(request: Fields, name: str) -> int:
    value = request[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError(f"{name} is a number from 0")
    return value


def _optional_text(request: Fields, name: str) -> str | None:
    return None if request.get(name) is None else _text(request, name)


def _optional_number(request: Fields, name: str) -> int | None:
    return None if request.get(name) is None else _number(request, name)
