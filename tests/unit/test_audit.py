"""Words, seals and periods of the audit."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from web.domain.acts import in_words
from web.domain.audit import Outcome
from web.domain.errors import InvalidError
from web.domain.seals import START, Head, Link, Record, Seal, break_at, seal_of
from web.pages.periods import read_period

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("action", "outcome", "words"),
    [
        ("recording.stop", Outcome.DONE, "Recording stopped"),
        ("recording.stop", Outcome.DENIED, "Stop recording"),
        ("recording.mark_damaged", Outcome.DONE, "Recording marked damaged"),
        ("node.describe", Outcome.DONE, "Node described"),
        ("recording.retry", Outcome.DONE, "Recording retried"),
        ("token.create", Outcome.DONE, "Token created"),
        ("session.begin", Outcome.DONE, "Signed in"),
        ("enrolment_code.revoke", Outcome.DONE, "Enrolment code revoked"),
        ("user.play", Outcome.DONE, "User played"),
    ],
)
def test_an_action_reads_as_words(action: str, outcome: Outcome, words: str) -> None:
    assert in_words(action, outcome) == words


def test_a_seal_is_the_digest_that_the_manual_says() -> None:
    """The same as `printf '["000…","1","7",null,"x"]' | sha256sum`."""
    record = Record(7, ("7", None, "x"))
    text = f'["{START}","1","7",null,"x"]'
    assert seal_of(record, None) == Seal(7, 1, hashlib.sha256(text.encode()).hexdigest())


def test_a_seal_depends_on_the_one_before_its_number_and_each_column() -> None:
    record, before = Record(7, ("7", "a", "b")), Seal(6, 1, "1" * 64)
    seal = seal_of(record, before)
    others = [
        seal_of(record, replace(before, hash="2" * 64)),
        seal_of(record, replace(before, number=2)),
        seal_of(Record(7, ("7", "ab", "")), before),
        seal_of(Record(7, ("7", "a", None)), before),
    ]
    assert len({seal.hash, *(other.hash for other in others)}) == 5
    assert break_at(Link(7, record, seal), before) is None


@pytest.mark.parametrize("text", ["", "7", "7:abc", "x:" + "0" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="ID:HASH"):
        Head.parse(text)


def test_a_day_is_of_the_zone_that_the_link_names() -> None:
    period = read_period("2026-03-29", "2026-03-29", "Europe/Berlin", UTC)
    assert period.since == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert period.until == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert period.ignored == []


def test_an_instant_with_a_zone_of_its_own_keeps_it_and_one_without_is_of_the_viewer() -> None:
    assert read_period("2026-11-01T10:00:00.5Z", "", "", BERLIN).since == datetime(2026, 11, 1, 10, 0, 0, 500_000, UTC)
    assert read_period("2026-11-01T10:00", "", "", BERLIN).since == datetime(2026, 11, 1, 9, tzinfo=UTC)


def test_a_time_may_be_counted_back_from_now() -> None:
    since = read_period("-7d", "", "", UTC).since
    assert since is not None
    assert abs(datetime.now(UTC) - since - timedelta(days=7)) < timedelta(minutes=1)


def test_what_is_no_time_is_passed_over_and_named() -> None:
    assert read_period("yesterday", "9999999-01-01", "Mars/Base", UTC).ignored == ["tz", "from", "to"]
