"""Sound devices, through PortAudio. Only an owner of such a device imports this, and whoever lists them."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from agent.owner.clock import boottime_ns
from agent.owner.config import Capture, CaptureLike, OwnerConfig, SampleType, format_words
from agent.owner.holding import Holding, Period
from agent.owner.pulse import PlaceWatch, PulseSource, ServerSilentError, own_place, pulse_sources
from agent.owner.sound_names import JACK, card_place, found_as, is_card, label, stable_name
from agent.owner.sources import (
    DeviceBusyError,
    DeviceError,
    DeviceGoneError,
    FormatRefusedError,
    HookRefusedError,
    Sink,
    Source,
)
from core_rs import PcmFormat

try:
    import sounddevice
except OSError as cause:
    raise DeviceError("PortAudio is not installed. Install it (on Debian: libportaudio2).") from cause
except Exception as cause:  # of a class that could not be imported
    raise DeviceError(f"PortAudio does not start ({cause}). Restart the sound of this machine.") from cause

log = logging.getLogger(__name__)

LATENCY_SECONDS = 0.2
"""What a device is asked to hold for a listener that is late."""
RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
SAMPLE_TYPES: tuple[SampleType, ...] = ("s16", "s24", "s32", "f32")
MOST_CHANNELS = 64
_DTYPES = {"s16": "int16", "s24": "int24", "s32": "int32", "f32": "float32"}
_USUAL_HZ = 48_000
_BRIEFLY_SECONDS = 1.0
_BRIEF_PAUSE_SECONDS = 0.1
_LONGEST_AGE_SECONDS = 2.0
_BUSY = {-9985, -16}
_REFUSED = {-9998, -9997, -9994, -9993}
_GONE = {-9996, -19, -6, -5, -2}
"""Of PortAudio and of ALSA below it."""


@dataclass(frozen=True)
class SoundInput:
    """One input as it is now. `device` is PortAudio's index: it holds until PortAudio is initialised again."""

    name: str
    label: str
    device: int
    max_channels: int
    default_rate_hz: int
    is_direct: bool = False
    """No PulseAudio server can stand between."""
    source: PulseSource | None = None


def sound_inputs() -> list[SoundInput]:
    """Every input with a lasting name, once; of cards only those that nobody else has open."""
    found: dict[str, SoundInput] = {}
    for one in _inputs():
        found.setdefault(one.name, one)
    return list(found.values())


def accepted_rates(one: SoundInput) -> list[int]:
    """Sample rates that the device has. A sound server would resample to any other than its source's own."""
    if one.source is not None:
        return [one.source.capture.sample_rate_hz]
    return [rate for rate in RATES_HZ if _accepts(one, rate)]


def default_capture(one: SoundInput, rates: list[int]) -> Capture:
    """What the device says of itself, but no more than two channels."""
    if one.source is not None:
        own = one.source.capture
        return Capture(min(2, own.channels), own.sample_rate_hz, own.sample_type)
    usual = [rate for rate in (_USUAL_HZ, one.default_rate_hz) if rate in rates]
    return Capture(min(2, one.max_channels), (usual or rates)[0], "s16")


class PortAudioBackend:
    """One sound device, found by its stable name each time that it is opened."""

    def __init__(self, config: OwnerConfig) -> None:
        capture = config.capture
        self.format = PcmFormat(capture.channels, capture.sample_rate_hz, capture.sample_type)
        self._capture = capture
        self._name = config.interface.name
        self._has_failed = False
        self._wanted: str | None = None
        """The source of the sound server that this input was when it was first opened."""
        self._own: Capture | None = None
        """What that source had then."""

    def open(self, sink: Sink) -> Source:
        with _quiet() if self._has_failed else nullcontext():
            try:
                source = self._opened(sink) if self._has_failed else self._opened_soon(sink)
            except DeviceError:
                self._has_failed = True
                raise
        self._has_failed = False
        return source

    def hook(self, name: str, value: float) -> None:
        raise HookRefusedError("A sound device is broken by hand only.")

    def _opened_soon(self, sink: Sink) -> "PortAudioSource":
        """Who lists inputs has each of them open for a moment, and hides it meanwhile: no reason to fail a start."""
        gives_up_at = time.monotonic() + _BRIEFLY_SECONDS
        while True:
            try:
                return self._opened(sink)
            except (DeviceBusyError, DeviceGoneError):
                if time.monotonic() > gives_up_at:
                    raise
            time.sleep(_BRIEF_PAUSE_SECONDS)

    def _opened(self, sink: Sink) -> "PortAudioSource":
        _look_again()
        inputs = {one.name: one for one in sound_inputs()}
        one = inputs.get(found_as(self._name, inputs) or "")
        if one is None:
            raise DeviceGoneError(f"“{self._name}” is not there, or another program holds it. Plug it in or free it.")
        if one.source is not None:
            self._check_format(one.source.capture)
            os.putenv("PULSE_SOURCE", one.source.name)
            self._wanted = one.source.name
        try:
            source = PortAudioSource(one, self.format, sink)
        except sounddevice.PortAudioError as fault:
            raise self._translated(fault) from fault
        try:
            self._trust(one, source)
        except BaseException:
            source.close()
            raise
        return source

    def _trust(self, one: SoundInput, source: "PortAudioSource") -> None:
        """A sound server that connected us elsewhere than asked, or than before, gave us the wrong microphone."""
        place = None if one.is_direct else own_place()
        if place is None and self._wanted is None:
            source.holding.trust(0.0)
            return
        if place is None:
            raise DeviceGoneError(f"“{self._name}” leads to no sound server now. Start it again.")
        wanted = self._wanted or place.source.name
        if place.source.name != wanted:
            raise DeviceGoneError(f"“{self._name}” leads to “{place.source.name}” now. Plug the right input in.")
        self._wanted = wanted
        if self._own is not None and place.source.capture != self._own:
            raise self._other_format(place.source.capture, self._own)
        self._own = place.source.capture
        source.watch = PlaceWatch(place, source.holding)

    def _check_format(self, own: Capture) -> None:
        """A sound server would resample, and make up channels. Raises FormatRefusedError."""
        if own.sample_rate_hz != self._capture.sample_rate_hz or own.channels < self._capture.channels:
            raise self._other_format(own, self._capture)

    def _other_format(self, own: Capture, wanted: CaptureLike) -> FormatRefusedError:
        return FormatRefusedError(
            f"“{self._name}” has {format_words(own)} now, and is captured with {format_words(wanted)}. Set it back."
        )

    def _translated(self, fault: "sounddevice.PortAudioError") -> DeviceError:
        codes, words = _codes(fault), fault.args[0]
        if codes & _BUSY:
            return DeviceBusyError(f"“{self._name}” is used by another program ({words}). Close that.")
        if codes & _REFUSED:
            asked = format_words(self._capture)
            return FormatRefusedError(f"“{self._name}” does not give {asked} ({words}). Set the interface to another.")
        if codes & _GONE:
            return DeviceGoneError(f"“{self._name}” does not answer ({words}). Plug it in again.")
        return DeviceError(f"“{self._name}” cannot be opened ({words}). Plug it in again.")


class PortAudioSource:
    """An open stream. A device that disappears just stops calling back."""

    def __init__(self, one: SoundInput, format: PcmFormat, sink: Sink) -> None:
        self.holding = Holding(sink)
        self.watch: PlaceWatch | None = None
        self._rate_hz = format.sample_rate_hz
        self._stream = sounddevice.RawInputStream(
            device=one.device,
            channels=format.channels,
            samplerate=format.sample_rate_hz,
            dtype=_DTYPES[format.sample_type],
            latency=LATENCY_SECONDS,
            clip_off=True,
            dither_off=True,
            callback=self._captured,
        )
        try:
            self._stream.start()
        except sounddevice.PortAudioError:
            self._stream.close()
            raise

    def restart(self) -> bool:
        """Not behind a sound server, which may give a stream that begins anew another source."""
        if self.watch is not None:
            return False
        self._stream.abort()
        self._stream.start()
        return True

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self._stream.abort()
        self._stream.close()
        self.holding.flush()

    def _captured(self, buffer: Any, frames: int, device_time: Any, status: "sounddevice.CallbackFlags") -> None:
        now_ns = boottime_ns()
        # Both of PortAudio's instants are of one clock, whichever: only their distance counts.
        age = min(device_time.currentTime - device_time.inputBufferAdcTime, _LONGEST_AGE_SECONDS)
        captured_at_ns = now_ns - int(max(age, frames / self._rate_hz) * 1e9)
        self.holding.push(Period(bytes(buffer), frames, captured_at_ns, now_ns, bool(status.input_overflow)))


def _inputs() -> Iterator[SoundInput]:
    pulse_devices = []
    for index, device in enumerate(sounddevice.query_devices()):
        channels = min(int(device["max_input_channels"]), MOST_CHANNELS)
        if channels < 1:
            continue
        host_api = sounddevice.query_hostapis(device["hostapi"])["name"]
        if (host_api, device["name"]) == ("ALSA", "pulse"):
            pulse_devices.append(index)
        name = stable_name(host_api, device["name"], card_place)
        if name is not None:
            rate_hz = int(device["default_samplerate"])
            is_direct = host_api == JACK or is_card(device["name"])
            yield SoundInput(name, label(name), index, channels, rate_hz, is_direct)
    for index in pulse_devices:
        for source in _answering_sources():
            own = source.capture
            name = f"PulseAudio: {source.name}"
            yield SoundInput(name, source.label, index, own.channels, own.sample_rate_hz, source=source)


def _answering_sources() -> list[PulseSource]:
    """A sound server that is silent takes no card from the list."""
    try:
        return pulse_sources()
    except ServerSilentError as fault:
        log.warning("%s", fault)
        return []


def _look_again() -> None:
    """PortAudio lists devices once, when it is initialised."""
    sounddevice._terminate()
    sounddevice._initialize()


@contextmanager
def _quiet() -> Iterator[None]:
    """What ALSA prints at every try would fill the log of a device that stays away."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _accepts(one: SoundInput, rate_hz: int) -> bool:
    try:
        sounddevice.check_input_settings(
            device=one.device, channels=min(2, one.max_channels), dtype="int16", samplerate=rate_hz
        )
    except sounddevice.PortAudioError:
        return False
    return True


def _codes(fault: "sounddevice.PortAudioError") -> set[int]:
    """PortAudio's own and, behind an “unanticipated host error”, ALSA's."""
    codes = {fault.args[1]} if len(fault.args) > 1 else set()
    if len(fault.args) > 2:
        codes.add(fault.args[2][1])
    return codes
