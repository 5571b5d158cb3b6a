"""What was downloaded, or lies in a take, is proved with nothing but its ledger; damage is named."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.job_folder import JobFolder
from core_rs import PcmFormat, Take, TakeWriter, keyed_pcm, sha256_file
from protocol.messages import Encoding, FlacEncoding, Mp3Encoding, WavEncoding
from reelkeeper.cli import app
from reelkeeper.errors import CommandError
from reelkeeper.verify import verify
from tests.faults.store_content import make_take, render, render_task

MIB = 1 << 20
ENCODINGS: dict[str, Encoding] = {
    "wav": WavEncoding(),
    "flac": FlacEncoding(bits=16),
    "mp3": Mp3Encoding(bitrate_kbps=320),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one download of each kind: `one.wav` with `one.json` in a folder `wav`, and so on."""
    home = tmp_path_factory.mktemp("rendered")
    make_take(home / "takes", frames=800_000)
    for suffix, encoding in ENCODINGS.items():
        job = JobFolder(home / f"job-{suffix}")
        render(job, render_task(home / "takes", encoding))
        (home / suffix).mkdir()
        shutil.copy(job.audio, home / suffix / f"one.{suffix}")
        shutil.copy(job.ledger, home / suffix / "one.json")
    return home


@pytest.fixture(params=ENCODINGS)
def download(request: pytest.FixtureRequest, rendered: Path, tmp_path: Path) -> Path:
    """A download of its own, to be damaged."""
    shutil.copytree(rendered / request.param, tmp_path / "download")
    return tmp_path / "download" / f"one.{request.param}"


def flip(path: Path, byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(byte)
        [value] = file.read(1)
        file.seek(byte)
        file.write(bytes([value ^ 1]))


def faults(path: Path) -> list[str]:
    [verdict] = verify(path)
    return verdict.faults


def test_download_that_is_what_was_sealed_is_good(download: Path) -> None:
    [verdict] = verify(download)
    assert verdict.faults == []
    assert verdict.notes == ["800000 frames, 16.667 s, ended: stopped"]


def test_flipped_byte_is_found_in_the_block_that_holds_it(download: Path) -> None:
    size, rng = download.stat().st_size, random.Random(12)
    places = [0, 4095, 4096, size - 1, min(size - 1, 4096 + MIB), *(rng.randrange(size) for _ in range(6))]
    for place in places:
        flip(download, place)
        [fault] = faults(download)
        start, end = (int(word) for word in fault.split()[1:4:2])
        assert start <= place < end
        assert end - start <= MIB
        flip(download, place)
    assert faults(download) == []


def test_file_that_is_cut_short_says_which_bytes_are_missing(download: Path) -> None:
    whole = download.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 4096, 100, 0):
        download.write_bytes(whole[:length])
        assert f"Bytes {length} to {len(whole)} are missing." in faults(download)


def test_file_that_was_made_longer_says_which_bytes_were_added(download: Path) -> None:
    size = download.stat().st_size
    with download.open("ab") as file:
        file.write(b"more")
    assert faults(download) == [f"Bytes {size} to {size + 4} were added."]


def test_ledger_that_was_changed_is_named(download: Path) -> None:
    ledger = download.with_suffix(".json")
    whole, rng = ledger.read_bytes(), random.Random(3)
    for place in [rng.randrange(len(whole)) for _ in range(60)]:
        flip(ledger, place)
        assert any(str(ledger) in fault for fault in faults(download)), place
        ledger.write_bytes(whole)
    ledger.write_bytes(whole[:-30])
    assert any(str(ledger) in fault for fault in faults(download))


def test_gap_that_was_taken_out_of_the_ledger_is_named(download: Path) -> None:
    ledger = download.with_suffix(".json")
    text = ledger.read_text()
    gap = {"start_frame": 5, "frames": 0, "cause": "xrun", "uncertainty_frames": 0}
    ledger.write_text(text.replace('"gaps": []', f'"gaps": [{json.dumps(gap)}]'))
    assert "its own digest" in faults(download)[0]


def test_ledger_of_another_recording_proves_nothing(download: Path, rendered: Path, tmp_path: Path) -> None:
    other = next(suffix for suffix in ENCODINGS if not download.name.endswith(suffix))
    [verdict] = verify(download, rendered / other / "one.json")
    assert not verdict.is_good


def test_checksum_of_the_page_stands_in_for_a_ledger(download: Path) -> None:
    checksum = sha256_file(download)
    download.with_suffix(".json").unlink()
    assert "Download the ledger" in faults(download)[0]
    [verdict] = verify(download, sha256=checksum)
    assert verdict.is_good
    flip(download, 5000)
    [verdict] = verify(download, sha256=checksum)
    assert not verdict.is_good


def test_ledger_of_an_early_agent_needs_the_checksum(download: Path) -> None:
    ledger = download.with_suffix(".json")
    fields = json.loads(ledger.read_text())
    del fields["audio"], fields["ledger_sha256"]
    ledger.write_text(json.dumps(fields))
    assert "Give the checksum" in faults(download)[0]
    [verdict] = verify(download, sha256=sha256_file(download))
    assert verdict.is_good


# ---- takes ----


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """Three segments and an end mark."""
    folder = tmp_path / "take"
    writer = TakeWriter.create(folder, PcmFormat(2, 8_000, "s16"), facts="{}", flush_interval_ms=5, segment_seconds=1)
    writer.push(keyed_pcm(0, 20_000, 1, 7), 0)
    writer.close("stopped")
    return folder


def test_take_as_it_was_written_is_good(take: Path) -> None:
    assert faults(take) == []


def swap(take: Path) -> str:
    first, second, _ = sorted(take.glob("*.wav"))
    aside = first.with_suffix(".aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    return first.name


def lose(take: Path) -> str:
    [_, second, _] = sorted(take.glob("*.wav"))
    second.unlink()
    return second.name


def shorten(take: Path) -> str:
    [*_, last] = sorted(take.glob("*.wav"))
    last.write_bytes(last.read_bytes()[:-1])
    return last.name


def lengthen(take: Path) -> str:
    [first, *_] = sorted(take.glob("*.wav"))
    first.write_bytes(first.read_bytes() + b"\0\0\0\0")
    return first.name


def cut_ledger(take: Path) -> str:
    ledger = take / "ledger"
    ledger.write_bytes(ledger.read_bytes()[:-5])
    return "ledger"


@pytest.mark.parametrize("damage", [swap, lose, shorten, lengthen, cut_ledger])
def test_damaged_take_names_the_file(take: Path, damage: Callable[[Path], str]) -> None:
    name = damage(take)
    assert any(name in fault for fault in faults(take))


def test_flipped_byte_anywhere_in_a_take_names_its_file(take: Path) -> None:
    rng = random.Random(4)
    for path in [take / "ledger", *sorted(take.glob("*.wav"))]:
        size = path.stat().st_size
        for place in [0, size - 1, *(rng.randrange(size) for _ in range(15))]:
            flip(path, place)
            assert any(path.name in fault for fault in faults(take)), (path.name, place)
            flip(path, place)
    assert faults(take) == []


def test_take_whose_writer_died_is_good_as_far_as_it_counts(tmp_path: Path) -> None:
    folder = tmp_path / "take"
    writer = TakeWriter.create(folder, PcmFormat(2, 8_000, "s16"), facts="{}", flush_interval_ms=5)
    writer.push(keyed_pcm(0, 5_000, 1, 7), 0)
    del writer
    with (folder / "000000-00000000000000.wav").open("ab") as file:
        file.write(b"torn")
    [verdict] = verify(folder)
    assert verdict.is_good
    assert any("no end mark" in note for note in verdict.notes)
    assert any("behind the last flush" in note for note in verdict.notes)
    TakeWriter.resume(folder, cause="owner_died").close("stopped")
    assert faults(folder) == []
    assert Take.open(folder).durable_frame == 5_000


# ---- the command ----


def test_folder_is_looked_through_and_the_exit_code_tells(rendered: Path, take: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["verify", str(rendered / "flac")])
    assert (done.exit_code, done.output.split()[0]) == (0, "good")
    done = runner.invoke(app, ["verify", str(take.parent)])
    assert done.exit_code == 0
    swap(take)
    done = runner.invoke(app, ["verify", str(take.parent)])
    assert (done.exit_code, done.output.split()[0]) == (1, "BAD")


def test_nothing_to_look_at_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="holds no take"):
        verify(tmp_path)
    with pytest.raises(CommandError, match="There is no"):
        verify(tmp_path / "gone")
