"""Inputs that are made: known samples, for tests and demonstrations."""

from agent.owner.config import SYNTHETIC_INTERFACES, OwnerConfig, format_words
from agent.owner.paced import PacedBackend, Signal, loop
from agent.owner.sources import DeviceGoneError, FormatRefusedError
from agent.owner.unpacked import pcm_path, sound_file
from core_rs import PcmFormat, counter_pcm, keyed_pcm, tone_pcm

COUNTER_KEY = 32
"""Of the hash that `counter-32` delivers."""


class SyntheticBackend(PacedBackend):
    """One synthetic input. Raises DeviceGoneError or FormatRefusedError for one that there is not."""

    def __init__(self, config: OwnerConfig) -> None:
        name = config.interface.name
        only = SYNTHETIC_INTERFACES.get(name)
        if only is None:
            raise DeviceGoneError(
                f"There is no synthetic input “{name}”. Choose one of {', '.join(SYNTHETIC_INTERFACES)}."
            )
        if format_words(config.capture) != format_words(only):
            raise FormatRefusedError(
                f"Synthetic input “{name}” has only {format_words(only)}. Set the interface to that."
            )
        format = PcmFormat(only.channels, only.sample_rate_hz, only.sample_type)
        super().__init__(format, _signal(config, format), config.synthetic_folder / f"{name}.clock")


def _signal(config: OwnerConfig, format: PcmFormat) -> Signal:
    match config.interface.name:
        case "counter":
            return counter_pcm
        case "counter-32":
            return lambda start, frames: keyed_pcm(start, frames, format.channels, COUNTER_KEY)
        case "tone":
            return lambda start, frames: tone_pcm(start, frames, format, hz=1000.0, dbfs_peak=-18.0)
    speech = sound_file(config.interface)
    assert speech
    return loop(pcm_path(config.synthetic_folder, speech, config.capture).read_bytes(), format.frame_bytes)
