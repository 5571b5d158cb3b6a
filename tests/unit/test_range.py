"""Which bytes of a file a request means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.domain.errors import RangeNotSatisfiableError
from web.media.ranges import ByteRange, is_known, range_holds, requested_range


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=90-", 90, 100),
        ("bytes=90-5000", 90, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-5000", 0, 100),
        ("Bytes=1-2", 1, 3),
    ],
)
def test_single_range_is_given_as_half_open_bytes(header: str, start: int, stop: int) -> None:
    assert requested_range(header, 100) == ByteRange(start, stop)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=-", "bytes=5-3", "bytes=0-1,5-6", "frames=0-1", "bytes=a-b", "bytes=1.0-2", "0-1"]
)
def test_what_is_no_single_byte_range_means_the_whole_file(header: str | None) -> None:
    assert requested_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_range_behind_the_end_is_refused_with_the_length(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError) as refused:
        requested_range(header, 100)
    assert refused.value.file_bytes == 100


def test_no_range_of_an_empty_file_can_be_given() -> None:
    with pytest.raises(RangeNotSatisfiableError):
        requested_range("bytes=0-", 0)


@given(st.text(max_size=40), st.integers(0, 1 << 40))
def test_no_header_gives_bytes_that_the_file_does_not_have(header: str, file_bytes: int) -> None:
    try:
        found = requested_range("bytes=" + header, file_bytes)
    except RangeNotSatisfiableError:
        return
    assert found is None or 0 <= found.start < found.stop <= file_bytes


def test_range_holds_only_for_the_very_same_strong_tag() -> None:
    assert range_holds(None, '"a"')
    assert range_holds('"a"', '"a"')
    assert not range_holds('W/"a"', '"a"')
    assert not range_holds('"b"', '"a"')
    assert not range_holds("Sat, 21 Nov 2026 08:00:00 GMT", '"a"')


def test_known_content_is_recognised_in_a_list_of_tags() -> None:
    assert is_known('"x", W/"a"', '"a"')
    assert is_known("*", '"a"')
    assert not is_known('"x"', '"a"')
    assert not is_known(None, '"a"')
