"""Proves files against their ledgers, with nothing else at hand: downloads and takes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from pydantic import ValidationError

from core_rs import AudioError, Take, sha256_file
from protocol.ledger import BLOCK_BYTES, AudioDigests, RecordingLedger, is_as_written
from protocol.messages import HEAD_BYTES
from reelkeeper.errors import CommandError
from web.cache.checks import check_audio, check_facts
from web.cache.errors import ContentError

SUFFIXES = frozenset({".wav", ".flac", ".mp3"})
LEDGER_SUFFIX = ".json"
_TAKE_LEDGER = "ledger"
_MOST_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Verdict:
    """What was found of one file or take."""

    path: Path
    faults: list[str] = field(default_factory=list)
    """Each names bytes that are not what was written."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of a good one."""

    @property
    def is_good(self) -> bool:
        return not self.faults


def verify(path: Path, ledger: Path | None = None, sha256: str | None = None) -> list[Verdict]:
    """Looks at a download, a take, or all of them that lie in a folder.

    The ledger of a download lies beside it under the same name with `.json`, unless another is named. `sha256` is the
    checksum of the whole file, as the page of the recording shows it. Raises CommandError when there is nothing to look
    at.
    """
    if path.is_file():
        return [_verify_download(path, ledger or path.with_suffix(LEDGER_SUFFIX), sha256)]
    if ledger is not None or sha256 is not None:
        raise CommandError(f"{path} is no file; a ledger and a checksum belong to one file.")
    if (path / _TAKE_LEDGER).is_file():
        return [_verify_take(path)]
    if not path.is_dir():
        raise CommandError(f"There is no {path}.")
    found = [verify(one)[0] for one in sorted(path.iterdir()) if _is_of_ours(one)]
    if not found:
        raise CommandError(f"{path} holds no take and no {', '.join(sorted(SUFFIXES))} file.")
    return found


def words(verdict: Verdict) -> Iterator[str]:
    """The verdict as lines for a person."""
    yield f"{'good' if verdict.is_good else 'BAD '}  {verdict.path}"
    for line in (*verdict.faults, *verdict.notes):
        yield f"      {line}"


def _is_of_ours(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES if path.is_file() else (path / _TAKE_LEDGER).is_file()


# ---- a download ----


def _verify_download(path: Path, ledger_path: Path, sha256: str | None) -> Verdict:
    try:
        faults = [] if sha256 is None else _whole_faults(path, sha256.lower())
        if not ledger_path.exists():
            return _verify_without_ledger(path, ledger_path, faults, is_compared=sha256 is not None)
        text = ledger_path.read_bytes()
    except OSError as fault:
        return Verdict(path, [f"{fault.filename or path} cannot be read: {fault.strerror or fault}"])
    try:
        ledger = RecordingLedger.model_validate_json(text)
    except ValidationError:
        return Verdict(path, [*faults, f"{ledger_path} is not a ledger, or was damaged: bytes 0 to {len(text)}."])
    if ledger.audio is None or ledger.ledger_sha256 is None:
        if sha256 is None:
            faults.append(f"{ledger_path} names no digest of the audio. Give the checksum of the recording's page.")
        return Verdict(path, faults, _facts_in_words(ledger))
    if not is_as_written(text):
        faults.append(f"{ledger_path} is not what was written: its own digest does not fit bytes 0 to {len(text)}.")
    try:
        faults += _audio_faults(path, ledger.audio) or _sense_faults(path, ledger)
    except OSError as fault:
        faults.append(f"{path} cannot be read: {fault.strerror or fault}")
    return Verdict(path, faults, _facts_in_words(ledger))


def _verify_without_ledger(path: Path, ledger_path: Path, faults: list[str], *, is_compared: bool) -> Verdict:
    if is_compared:
        return Verdict(path, faults, ["There is no ledger beside it; only its checksum was compared."])
    return Verdict(
        path,
        [
            f"There is no {ledger_path} to hold it against. Download the ledger of the recording too, or give the "
            "checksum that its page shows, with --sha256."
        ],
    )


def _whole_faults(path: Path, sha256: str) -> list[str]:
    found = sha256_file(path)
    size = path.stat().st_size
    return [] if found == sha256 else [f"Bytes 0 to {size} have the SHA-256 {found}, not {sha256}."]


def _audio_faults(path: Path, audio: AudioDigests) -> list[str]:
    """The first bytes that are not what was sealed, and a length that is another."""
    size = path.stat().st_size
    shared, head_bytes = min(size, audio.bytes), min(audio.head_bytes, audio.bytes, size)
    faults = []
    if sha256_file(path, 0, head_bytes) != audio.head_sha256:
        faults.append(f"Bytes 0 to {head_bytes} are not what was sealed: the head has another SHA-256.")
    if sha256_file(path, head_bytes, shared) != audio.body_sha256:
        faults += _first_bad_block(path, audio, head_bytes, shared)
    if size < audio.bytes:
        faults.append(f"Bytes {size} to {audio.bytes} are missing.")
    elif size > audio.bytes:
        faults.append(f"Bytes {audio.bytes} to {size} were added.")
    return faults


def _first_bad_block(path: Path, audio: AudioDigests, start: int, end: int) -> list[str]:
    """Nothing when only the end is missing: that is named by the length."""
    sums = [audio.block_crc32[at : at + 8] for at in range(0, len(audio.block_crc32), 8)]
    with path.open("rb") as file:
        file.seek(start)
        for number, wanted in enumerate(sums):
            first = start + number * BLOCK_BYTES
            if min(first + BLOCK_BYTES, audio.bytes) > end:
                return []
            block = file.read(min(BLOCK_BYTES, end - first))
            if f"{crc32(block):08x}" != wanted:
                return [f"Bytes {first} to {first + len(block)} are not what was sealed, the first of the body."]
    return [f"Bytes {start} to {end} are not what was sealed: the body has another SHA-256."]


def _sense_faults(path: Path, ledger: RecordingLedger) -> list[str]:
    """A file that is what was sealed must also be what its facts say."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    try:
        check_facts(ledger)
        check_audio(head, path.stat().st_size, ledger)
    except ContentError as fault:
        return [f"File and facts contradict each other: {fault}"]
    return []


def _facts_in_words(ledger: RecordingLedger) -> list[str]:
    seconds = ledger.frames / ledger.sample_rate_hz
    missing = sum(gap.frames for gap in ledger.gaps)
    notes = [f"{ledger.frames} frames, {seconds:.3f} s, ended: {ledger.end_reason.value}"]
    notes += [
        f"gap at frame {gap.start_frame}: {gap.frames} frames, {gap.cause}, ± {gap.uncertainty_frames}"
        for gap in ledger.gaps
    ]
    return notes if missing == 0 else [*notes, f"{missing} frames are missing and stand as silence"]


# ---- a take ----


def _verify_take(folder: Path) -> Verdict:
    """What a recovery has moved aside, and what an open segment holds behind its last flush, never counted."""
    try:
        take = Take.open(folder)
        tears = {f"{folder / tear.path} at byte {tear.byte}": tear.reason for tear in take.tears}
        faults = [fault for fault in take.verify() if fault not in {f"{where}: {why}" for where, why in tears.items()}]
        if _is_ledger_torn(folder / _TAKE_LEDGER):
            faults.append(f"{folder / _TAKE_LEDGER} ends in lines that do not check; what they told is lost.")
    except (AudioError, OSError) as fault:
        return Verdict(folder, [str(fault)])
    notes = [f"{take.durable_frame} frames, {take.durable_frame / take.format.sample_rate_hz:.3f} s"]
    notes += [f"gap at frame {gap.start_frame}: {gap.frames} frames, {gap.cause}" for gap in take.gaps]
    if take.end is None:
        notes.append("It has no end mark: it still grows, or its writer died. All that counts was looked at.")
    elif not take.end.drained:
        notes.append("Its end was a kill: what had not reached the disk is missing.")
    return Verdict(folder, faults, [*notes, *(f"{where} does not count: {why}" for where, why in tears.items())])


def _is_ledger_torn(path: Path) -> bool:
    """Whether its last line does not check; a recovery would move it aside."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MOST_LINE_BYTES))
        *_, line, rest = (b"", *file.read().split(b"\n"))
    return rest != b"" or line[:9] != f"{crc32(line[9:]):08x} ".encode()
