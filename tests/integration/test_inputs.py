"""The list of inputs when the sound library is missing, crashes, or finds something else than before."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from agent.devices import Owners
from agent.inputs import Inputs
from agent.owner.config import Capture, Interface, OwnerConfig
from agent.owner.handle import OwnerStartError, start_owner
from agent.owner.state import Process
from agent.settings import AgentSettings
from protocol.messages import InterfaceRef
from tests.agent_room import wait_for
from tests.fake_pactl import FakePactl
from tests.owner_room import QUICK, Room, room

DEVICE = """
ERROR = None

class PortAudioError(Exception):
    pass

class CallbackFlags:
    pass

def query_devices():
    return [{"name": NAME, "hostapi": 0, "max_input_channels": 40, "default_samplerate": 44100.0}]

def query_hostapis(index):
    return {"name": HOST_API}

def check_input_settings(device, channels, dtype, samplerate):
    if samplerate not in (44100, 96000):
        raise PortAudioError("Invalid sample rate", -9997)

def _initialize():
    pass

def _terminate():
    pass

class RawInputStream:
    failures = 0

    def __init__(self, **settings):
        if ERROR and RawInputStream.failures < FAILURES:
            RawInputStream.failures += 1
            raise PortAudioError(*ERROR)

    def start(self):
        pass

    def abort(self):
        pass

    def close(self):
        pass
"""


@pytest.fixture
def place() -> Iterator[Room]:
    with room() as made:
        yield made


class FakeLibrary:
    """A `sounddevice` that the processes of a test find before the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def is_missing(self) -> None:
        self._write("raise OSError('PortAudio library not found')")

    def crashes(self) -> None:
        self._write("import os; os.abort()")

    def has(
        self,
        name: str,
        error: tuple[object, ...] | None = None,
        *,
        failures: int = 1_000_000,
        host_api: str = "ALSA",
    ) -> None:
        """One input; so many openings of it fail with the error, if there is one."""
        facts = {"NAME": name, "ERROR": error, "FAILURES": failures, "HOST_API": host_api}
        self._write("\n".join([DEVICE, *(f"{fact} = {value!r}" for fact, value in facts.items())]))

    def hangs_with_a_child(self) -> Path:
        """The file in which its pid will stand."""
        pid = self.folder / "pid"
        script = f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 600"
        self._write(f"import subprocess; subprocess.run(['sh', '-c', {script!r}])")
        return pid

    def _write(self, source: str) -> None:
        (self.folder / "sounddevice.py").write_text(source)


@pytest.fixture
def library(place: Room, monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    made = FakeLibrary(place.home / "library")
    monkeypatch.setenv("PYTHONPATH", str(made.folder))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return made


def inputs(place: Room, *files: Path) -> Inputs:
    settings = AgentSettings(home=place.home, run_folder=place.home / "run", file_inputs=files)
    return Inputs(settings, Owners(settings))


def names(found: Inputs, backend: str) -> list[str]:
    return [one.name for one in found.present if one.backend == backend]


def test_missing_library_leaves_the_other_backends(place: Room, library: FakeLibrary) -> None:
    library.is_missing()
    found = inputs(place)
    asyncio.run(found.look())
    assert names(found, "portaudio") == []
    assert "speech" in names(found, "synthetic")


def test_crash_of_the_library_keeps_what_was_known(place: Room, library: FakeLibrary) -> None:
    async def look() -> None:
        library.has("lectern")
        found = inputs(place)
        await found.look()
        library.crashes()
        await found.look(now=True)
        assert names(found, "portaudio") == ["lectern"]

    place.run(look())


def test_listing_that_is_broken_off_leaves_no_process(place: Room, library: FakeLibrary) -> None:
    async def look() -> None:
        child = library.hangs_with_a_child()
        looking = asyncio.create_task(inputs(place).look())
        await asyncio.to_thread(wait_for, "the child", child.exists)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await asyncio.to_thread(wait_for, "the child's end", lambda: Process.of(int(child.read_text())) is None)

    place.run(look())


def test_input_that_fits_into_no_inventory_costs_no_other_one(place: Room, library: FakeLibrary) -> None:
    library.is_missing()
    soundfile.write(place.home / "slow.wav", np.zeros(100, "<i2"), 4_000)
    soundfile.write(place.home / "usual.wav", np.zeros(100, "<i2"), 48_000)
    found = inputs(place, place.home / "slow.wav", place.home / "usual.wav")
    asyncio.run(found.look())
    assert names(found, "file") == [str(place.home / "usual.wav")]


def test_folder_that_cannot_be_read_costs_no_other_input(place: Room, library: FakeLibrary) -> None:
    library.has("lectern")
    found = inputs(place, Path("/", "n" * 300))
    asyncio.run(found.look())
    assert names(found, "portaudio") == ["lectern"]
    assert names(found, "file") == []


def test_file_that_is_named_twice_is_one_input(place: Room, library: FakeLibrary) -> None:
    library.is_missing()
    (place.home / "sounds").mkdir()
    file = place.home / "sounds" / "one.wav"
    soundfile.write(file, np.zeros(100, "<i2"), 48_000)
    found = inputs(place, file, file.parent)
    asyncio.run(found.look())
    assert names(found, "file") == [str(file)]


def test_last_file_that_leaves_is_gone(place: Room, library: FakeLibrary) -> None:
    library.is_missing()
    file = place.home / "one.wav"
    soundfile.write(file, np.zeros(100, "<i2"), 48_000)

    async def look() -> None:
        found = inputs(place, file)
        await found.look()
        assert names(found, "file") == [str(file)]
        file.unlink()
        await found.look(now=True)
        assert names(found, "file") == []

    place.run(look())


def test_input_that_is_not_known_is_looked_for_once_more_and_one_that_left_is_gone(
    place: Room, library: FakeLibrary
) -> None:
    async def look() -> None:
        library.has("lectern")
        found = inputs(place)
        await found.look()
        library.has("choir")
        await found.look()
        assert names(found, "portaudio") == ["lectern"], "the last look is fresh enough"
        report = await found.find(InterfaceRef(backend="portaudio", name="choir"))
        assert report
        assert report.sample_rates_hz == [44_100, 96_000]
        assert report.default_capture.sample_rate_hz == 44_100
        assert (report.max_channels, report.default_capture.channels) == (40, 2)
        assert names(found, "portaudio") == ["choir"]
        assert await found.find(InterfaceRef(backend="portaudio", name="default")) is None

    place.run(look())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (("Device unavailable", -9985), "device_busy"),
        (("Unanticipated host error", -9999, (0, -16, "Device or resource busy")), "device_busy"),
        (("Invalid number of channels", -9998), "format_refused"),
        (("Unanticipated host error", -9999, (0, -5, "Input/output error")), "device_gone"),
        (("Something else", -9000), "device_failed"),
    ],
)
def test_device_that_cannot_be_opened_says_why_and_whether_to_try_again(
    place: Room, library: FakeLibrary, error: tuple[object, ...], code: str
) -> None:
    library.has("lectern", error)
    config = OwnerConfig(
        interface=Interface("portaudio", "lectern"),
        capture=Capture(2, 44_100, "s16"),
        run_folder=place.home / "run",
        takes_folder=place.home / "takes",
        synthetic_folder=place.home / "synthetic",
        timeouts=QUICK,
    )

    async def start() -> None:
        with pytest.raises(OwnerStartError, match="lectern") as failure:
            await start_owner(config, {"PYTHONPATH": str(library.folder)})
        assert failure.value.code == code
        assert failure.value.retry_helps == (code != "format_refused")
        assert place.owner_pids == []

    place.run(start())


def test_device_that_somebody_has_open_for_a_moment_is_waited_for(place: Room, library: FakeLibrary) -> None:
    library.has("lectern", ("Device unavailable", -9985), failures=2, host_api="JACK Audio Connection Kit")
    config = replace(place.config(), interface=Interface("portaudio", "JACK: lectern"))

    async def start() -> None:
        place.agent_of(await start_owner(config, {"PYTHONPATH": str(library.folder)}))
        assert len(place.owner_pids) == 1

    place.run(start())


def test_stream_of_a_sound_server_is_not_captured_when_nobody_knows_where_it_leads(
    place: Room, library: FakeLibrary
) -> None:
    library.has("pulse")
    server = FakePactl(place.home / "bin")
    server.has_sources("desk")
    config = replace(place.config(), interface=Interface("portaudio", "PulseAudio: desk"))

    async def start() -> None:
        with pytest.raises(OwnerStartError, match="desk"):
            await start_owner(config, {"PYTHONPATH": str(library.folder), "PATH": server.path})
        assert place.owner_pids == []

    place.run(start())


@pytest.mark.parametrize(
    ("host_api", "name", "is_captured"),
    [("ALSA", "lectern", False), ("JACK Audio Connection Kit", "JACK: lectern", True)],
)
def test_sound_server_that_does_not_answer_matters_only_to_what_may_lead_through_it(
    place: Room, library: FakeLibrary, host_api: str, name: str, is_captured: bool
) -> None:
    library.has("lectern", host_api=host_api)
    server = FakePactl(place.home / "bin")
    server.says("source-outputs", "no JSON")
    config = replace(place.config(), interface=Interface("portaudio", name))

    async def start() -> None:
        start = start_owner(config, {"PYTHONPATH": str(library.folder), "PATH": server.path})
        with nullcontext() if is_captured else pytest.raises(OwnerStartError, match="does not answer"):
            place.agent_of(await start)
        assert bool(place.owner_pids) == is_captured

    place.run(start())
