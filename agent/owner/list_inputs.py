"""`python -m agent.owner.list_inputs`: what inputs there are just now, one JSON object a line.

With `portaudio`, or `file` and paths. A process of its own, since a sound library may hang or crash over a broken
device, and lists devices only once. Exit code 1 with words on standard error when a backend cannot be used at all.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.owner.config import Capture, SampleType, capture_fields
from agent.owner.sources import DeviceError
from agent.owner.unpacked import capture_of

Fields = dict[str, Any]
MOST_NAME = 200
"""Characters of a name on the wire."""


def main(arguments: list[str]) -> int:
    backend, *paths = arguments
    try:
        for fields in _portaudio() if backend == "portaudio" else _files(paths):
            print(json.dumps(fields), flush=True)
    except DeviceError as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _portaudio() -> Iterator[Fields]:
    from agent.owner import portaudio

    for one in portaudio.sound_inputs():
        if len(one.name) <= MOST_NAME and (rates := portaudio.accepted_rates(one)):
            capture = portaudio.default_capture(one, rates)
            types = portaudio.SAMPLE_TYPES
            yield _fields("portaudio", one.name, one.label, one.max_channels, rates, types, capture)


def _files(paths: list[str]) -> Iterator[Fields]:
    import soundfile

    for path in paths:
        try:
            own = capture_of(Path(path))
        except (OSError, soundfile.SoundFileError) as fault:
            print(f"{path} cannot be read: {fault}", file=sys.stderr)
            continue
        yield _fields("file", path, Path(path).stem, own.channels, [own.sample_rate_hz], (own.sample_type,), own)


def _fields(
    backend: str,
    name: str,
    label: str,
    max_channels: int,
    rates: list[int],
    types: tuple[SampleType, ...],
    capture: Capture,
) -> Fields:
    return {
        "backend": backend,
        "name": name,
        "label": label[:MOST_NAME],
        "max_channels": max_channels,
        "sample_rates_hz": rates,
        "sample_types": types,
        "default_capture": capture_fields(capture),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
