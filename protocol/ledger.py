"""The ledger of a recording: its facts, the digests of its audio and one of itself. It proves a download offline."""

import re
from hashlib import sha256
from typing import Annotated

from pydantic import Field

from protocol.messages import Bytes, Message, RecordingFacts, Sha256

BLOCK_BYTES = 1 << 20
_NO_DIGEST = b"0" * 64
_OWN_DIGEST = re.compile(rb'"ledger_sha256": "([0-9a-f]{64})"')


class AudioDigests(Message):
    """What the audio file is, byte by byte. Its body is all behind its head."""

    bytes: Bytes
    head_bytes: Bytes
    head_sha256: Sha256
    body_sha256: Sha256
    block_crc32: Annotated[str, Field(pattern=r"^([0-9a-f]{8})*$")]
    """CRC-32 of each BLOCK_BYTES of the body, so that damage has a place."""


class RecordingLedger(RecordingFacts):
    """The whole ledger. Those of early agents have nothing but the facts."""

    audio: AudioDigests | None = None
    ledger_sha256: Sha256 | None = None
    """Of the ledger itself, as it reads with zeros for these 64 digits."""


def ledger_text(facts: RecordingFacts, audio: AudioDigests) -> bytes:
    """The ledger as JSON."""
    ledger = RecordingLedger(**dict(facts), audio=audio, ledger_sha256=_NO_DIGEST.decode())
    text = ledger.model_dump_json(indent=1).encode()
    return text.replace(_NO_DIGEST, sha256(text).hexdigest().encode())


def is_as_written(text: bytes) -> bool:
    """Whether the ledger has its own digest, and is what it was made of."""
    found = list(_OWN_DIGEST.finditer(text))
    if len(found) != 1:
        return False
    start, end = found[0].span(1)
    return sha256(text[:start] + _NO_DIGEST + text[end:]).hexdigest().encode() == text[start:end]
