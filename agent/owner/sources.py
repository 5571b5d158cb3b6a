"""What a backend must offer, so that its samples can be captured."""

from typing import Protocol

from core_rs import PcmFormat


class DeviceError(Exception):
    """A device cannot be captured; the message ends with what the operator can do."""

    code = "device_failed"


class DeviceGoneError(DeviceError):
    """The device is not there. It may come back."""

    code = "device_gone"


class DeviceBusyError(DeviceError):
    """Something else uses the device. It may let go."""

    code = "device_busy"


class FormatRefusedError(DeviceError):
    """The device does not have this format."""

    code = "format_refused"


class HookRefusedError(Exception):
    """This backend has no such hook."""


class Sink(Protocol):
    """Where a source delivers; called from the source's own thread, never waits."""

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        """Whole frames; the first of them was captured at this instant of the device's clock."""

    def lost(self, frames: int, cause: str) -> None:
        """The device dropped exactly this many frames here."""

    def skipped(self, cause: str) -> None:
        """The device dropped frames here, nobody knows how many: the instant of the next ones tells."""

    def failed(self, cause: str) -> None:
        """The device says that it delivers nothing more."""


class Source(Protocol):
    """An open device."""

    def restart(self) -> bool:
        """Stops and starts the stream without opening the device anew. False where that cannot be done safely."""

    def close(self) -> None:
        """Nothing is delivered after this returned."""


class Backend(Protocol):
    """A way to reach devices, bound to one of them."""

    @property
    def format(self) -> PcmFormat: ...

    def open(self, sink: Sink) -> Source:
        """Raises DeviceError. May take as long as the device likes."""

    def hook(self, name: str, value: float) -> None:
        """Breaks the device in a known way. Raises HookRefusedError where that cannot be done."""
