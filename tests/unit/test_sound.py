"""Encoded sound is heard from any place on, and what is sent of it can be padded."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Codec
from tests.encoded import RATE, Encoded, decoded, encode
from web.cache.errors import ContentError
from web.cache.flac import flac_frames_in, parse_flac_header
from web.cache.mp3 import mp3_frames_in, parse_mp3_header, parse_mp3_tag
from web.cache.sound import Place, sound_of

FRAMES = 3 * RATE + 1234


@dataclass(frozen=True)
class Bytes:
    data: bytes

    def length(self) -> int:
        return len(self.data)

    def read(self, byte: int, most: int) -> bytes:
        return self.data[byte : byte + most]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Codec, Encoded]:
    folder = tmp_path_factory.mktemp("encoded")
    return {
        "mp3": encode(folder, "mp3", FRAMES, options=("-q:a", "5")),
        "flac": encode(folder, "flac", FRAMES),
    }


CODECS: list[Codec] = ["mp3", "flac"]


@pytest.mark.parametrize("codec", CODECS)
def test_encoded_frames_lie_where_another_program_finds_them(files: dict[Codec, Encoded], codec: Codec) -> None:
    file = files[codec]
    first = file.packets[0][0]
    sound = file.audio[first:]
    found = list(mp3_frames_in(sound) if codec == "mp3" else flac_frames_in(sound))
    wanted = file.packets if codec == "mp3" else file.packets[:-1]
    assert [first + one.start for one in found] == [byte for byte, _ in wanted]
    assert {one.frames for one in found} == {file.packets[1][1] - file.packets[0][1]}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("entry", [0, 2])
@pytest.mark.parametrize("frame", [96_000, 96_001, 120_000])
def test_decoding_from_a_place_gives_the_sound_of_its_frame(
    files: dict[Codec, Encoded], codec: Codec, entry: int, frame: int
) -> None:
    file = files[codec]
    sound = sound_of(codec, file.audio[:4096])
    byte, first = file.entry(entry * RATE)
    place = sound.place_before(frame, Place(byte, first), Bytes(file.audio))
    assert (place.byte, place.frame) == file.entry(frame)
    whole = decoded(file.audio, codec)[place.frame * 4 :]
    from_place = decoded(sound.head + file.audio[place.byte :], codec)
    settled = 4 * 3 * 1152 if codec == "mp3" else 0
    compared = min(len(whole), len(from_place))
    assert compared > settled
    assert _furthest_apart(whole[settled:compared], from_place[settled:compared]) <= 1


@pytest.mark.parametrize("codec", CODECS)
def test_behind_the_end_the_last_place_is_found(files: dict[Codec, Encoded], codec: Codec) -> None:
    file = files[codec]
    place = sound_of(codec, file.audio[:4096]).place_before(10**9, Place(*file.entry(RATE)), Bytes(file.audio))
    known = file.packets[-1] if codec == "mp3" else file.packets[-2]
    assert (place.byte, place.frame) == known


def test_mp3_from_its_first_place_is_late_by_the_delay_that_the_tag_would_remove(files: dict[Codec, Encoded]) -> None:
    audio = files["mp3"].audio
    sound = sound_of("mp3", audio[:4096])
    place = sound.place_before(-1, Place(0, 0), Bytes(audio))
    assert place.frame == -1105
    assert decoded(audio[place.byte :], "mp3")[1105 * 4 :][:40_000] == decoded(audio, "mp3")[:40_000]


@pytest.mark.parametrize("codec", CODECS)
def test_zeros_between_encoded_frames_are_not_heard(files: dict[Codec, Encoded], codec: Codec) -> None:
    file = files[codec]
    sound = sound_of(codec, file.audio[:4096])
    rest = file.audio[file.packets[0][0] :]
    sent, at = sound.head, 0
    while (whole := sound.whole_bytes(rest[at : at + 60_000])) > 0:
        sent += rest[at : at + whole] + bytes(32 * 1024)
        at += whole
    assert at > 0
    assert decoded(sent + rest[at:], codec) == decoded(sound.head + rest, codec)


@pytest.mark.parametrize("there", [0, 4095, 4096, 4100, 4096 + 400])
def test_wav_is_heard_from_the_very_frame_as_far_as_it_is_there(there: int) -> None:
    wav = wav_of(100)
    place = sound_of("wav", wav[:4096]).place_before(60, Place(0, 0), Bytes(wav[:there]))
    wanted = min(max(there - 4096, 0) // 4, 60)
    assert place == Place(4096 + wanted * 4, wanted)


def test_endless_wav_is_decoded_as_far_as_it_goes() -> None:
    wav = wav_of(100)
    assert decoded(sound_of("wav", wav[:4096]).head + wav[4096 + 40 :], "wav") == wav[4096 + 40 :]


@pytest.mark.parametrize("codec", ["mp3", "flac", "wav"])
def test_what_is_no_sound_is_refused(codec: Codec) -> None:
    for start in (b"", bytes(4096), b"\xff\xfb", b"fLaC"):
        with pytest.raises(ContentError):
            sound_of(codec, start)


def test_sound_without_a_sample_rate_is_refused(files: dict[Codec, Encoded]) -> None:
    wav, flac = wav_of(10), files["flac"].audio
    heads: dict[Codec, bytes] = {
        "wav": wav[:24] + bytes(4) + wav[28:],
        "flac": flac[:18] + bytes(2) + bytes([flac[20] & 0x0F]) + flac[21:],
    }
    for codec, head in heads.items():
        with pytest.raises(ContentError, match="sample rate"):
            sound_of(codec, head)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_to_their_end_and_no_further(data: bytes) -> None:
    for sync in (b"\xff\xfb\x90\x64", b"\xff\xf8\xc9\x18"):
        for found in (mp3_frames_in(sync + data), flac_frames_in(sync + data)):
            end = 0
            for one in found:
                assert one.start == end < one.end <= len(sync + data)
                end = one.end
        header = parse_mp3_header(sync + data)
        if header is not None:
            assert header.bytes > 0
        parse_flac_header(sync + data)


def test_bytes_that_only_look_like_flac_are_given_up(files: dict[Codec, Encoded]) -> None:
    file = files["flac"]
    first, second, third = (byte for byte, _ in file.packets[:3])
    frame, rest = file.audio[first:second], file.audio[second:third] + file.audio[third:][:100]
    alike = frame[:5] + bytes(1)
    assert len(list(flac_frames_in(frame + alike * 100 + rest))) == 2
    assert list(flac_frames_in(frame + alike * 10_000 + rest)) == []


def test_a_tag_that_is_cut_short_is_refused(files: dict[Codec, Encoded]) -> None:
    audio = files["mp3"].audio
    header = parse_mp3_header(audio)
    assert header is not None
    assert parse_mp3_tag(audio[:4096], header) is not None
    with pytest.raises(ContentError):
        parse_mp3_tag(audio[:150], header)


def wav_of(frames: int) -> bytes:
    head = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\x80\xbb\0\0\0\xee\x02\0\x04\0\x10\0"
    head += b"JUNK" + (4096 - len(head) - 16).to_bytes(4, "little")
    head += bytes(4096 - len(head) - 8) + b"data\xff\xff\xff\xff"
    return head + bytes(number % 251 for number in range(frames * 4))


def _furthest_apart(one: bytes, other: bytes) -> int:
    pairs = zip(memoryview(one).cast("h"), memoryview(other).cast("h"), strict=True)
    return max((abs(a - b) for a, b in pairs), default=0)
