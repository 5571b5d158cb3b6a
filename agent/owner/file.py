"""A sound file that is played at real speed, again and again, as if it were heard."""

from mmap import ACCESS_READ, mmap
from pathlib import Path

from agent.owner.config import OwnerConfig
from agent.owner.paced import PacedBackend, loop
from agent.owner.sources import DeviceError, DeviceGoneError
from agent.owner.unpacked import file_key, pcm_path
from core_rs import PcmFormat


class FileBackend(PacedBackend):
    """One file, whose samples lie unpacked beside. Raises DeviceGoneError, or DeviceError for a file without sound."""

    def __init__(self, config: OwnerConfig) -> None:
        file, capture = Path(config.interface.name), config.capture
        format = PcmFormat(capture.channels, capture.sample_rate_hz, capture.sample_type)
        try:
            with pcm_path(config.synthetic_folder, file, capture).open("rb") as unpacked:
                pcm = mmap(unpacked.fileno(), 0, access=ACCESS_READ)
        except FileNotFoundError as cause:
            raise DeviceGoneError(f"{file} is not there, or was changed just now. Start again.") from cause
        except ValueError as cause:
            raise DeviceError(f"{file} holds no sound. Choose another file.") from cause
        clock = config.synthetic_folder / f"{file_key(file)}.clock"
        super().__init__(format, loop(pcm, format.frame_bytes), clock)
