"""How the console reads query strings, forms and preferences, and writes numbers and instants."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from protocol.messages import Limits
from protocol.timeouts import Timeouts
from web.domain.errors import InvalidError, TooLargeError
from web.domain.states import JobState
from web.forms import FORM_LIMIT_BYTES, read_form
from web.htmx import wants_fragment
from web.pages.page import own_path
from web.pages.queries import block, choices, identifier, query_string
from web.rendering import viewer_of
from web.texts import (
    age,
    count,
    duration,
    elapsed_ms,
    iso,
    khz,
    level,
    limits,
    loudness,
    offset,
    sample_in_words,
    since,
    size,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asked(query: str = "", headers: dict[str, str] | None = None, body: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    app = SimpleNamespace(state=SimpleNamespace(controller=SimpleNamespace(timeouts=Timeouts())))
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": raw, "app": app}
    return Request(scope, receive)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(None, "–"), (0, "0:00"), (42_900, "0:42"), (3_600_000, "1:00:00"), (29_355_000, "8:09:15")],
)
def test_durations_read_as_hours_minutes_seconds(milliseconds: int | None, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (None, "–"),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (3_456_789_012, "3.5 GB"),
    ],
)
def test_sizes_read_by_thousands(bytes_: int | None, text: str) -> None:
    assert size(bytes_) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (-211, "−211 ms"), (40, "+40 ms"), (1_250, "+1.25 s"), (-61_000, "−61.00 s")],
)
def test_clocks_differ_with_a_sign(milliseconds: int, text: str) -> None:
    assert offset(milliseconds) == text


def test_formats_read_as_people_say_them() -> None:
    assert [khz(rate) for rate in (8_000, 44_100, 48_000)] == ["8 kHz", "44.1 kHz", "48 kHz"]
    assert [sample_in_words(one) for one in ("s16", "s24", "f32")] == ["16 bit", "24 bit", "32 bit float"]


def test_what_is_past_has_an_age_and_what_is_to_come_has_none() -> None:
    now = datetime.now(UTC)
    assert since(now - timedelta(minutes=12)) == "12 min"
    assert elapsed_ms(now - timedelta(seconds=5)) >= 5_000
    assert elapsed_ms(now + timedelta(seconds=5)) == 0


def test_digital_silence_is_said_in_words_and_levels_have_a_true_minus() -> None:
    assert level(None) == "digital silence"
    assert level(-18.04) == "−18.0 dBFS"


def test_limits_name_each_that_there_is() -> None:
    assert limits(Limits()) == ""
    assert limits(Limits(length_ms=7_200_000, size_bytes=2_000_000_000, idle_ms=600_000)) == (
        "2:00:00 of length, 2.0 GB, 10 min of silence"
    )
    assert limits(Limits(idle_ms=5_000)) == "5 s of silence"


def test_loudness_has_a_true_minus() -> None:
    assert loudness(-23.04) == "−23.0 LUFS"


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 s"), (-2, "0 s"), (600, "10 min"), (7_200, "2 h"), (400_000, "5 days")]
)
def test_ages_are_rough(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_counts_agree_with_their_noun() -> None:
    assert count(1, "recording") == "1 recording"
    assert count(0, "recording") == "0 recordings"
    assert count(1284, "entry", "entries") == "1\u202f284 entries"


def test_instants_for_machines_are_utc() -> None:
    assert iso(datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC) + timedelta(milliseconds=400)) == "2026-11-21T12:00:05Z"


def test_a_query_has_one_order_and_loses_what_says_nothing() -> None:
    request = asked("state=running&q=&state=failed&before=x&block=tiles&node=1")
    assert query_string(request) == "?node=1&state=failed&state=running"
    assert query_string(request, state=None, node=None) == ""
    assert query_string(request, node="2") == "?node=2&state=failed&state=running"


def test_unknown_words_and_ids_of_a_query_are_passed_over() -> None:
    request = asked("state=running&state=flying&node=17")
    assert choices(request, "state", JobState) == [JobState.RUNNING]
    assert identifier(request, "node") is None


def test_only_blocks_that_a_page_offers_can_be_asked_for() -> None:
    assert block(asked("block=tiles"), "results", "tiles") == "tiles"
    assert block(asked("block=scripts"), "results", "tiles") == "results"


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x", "", "a", "/a\nb", "//["]
)
def test_only_paths_of_our_own_are_gone_back_to(path: str) -> None:
    assert own_path(path) == "/"


def test_an_own_path_keeps_its_query() -> None:
    assert own_path("/jobs?state=failed") == "/jobs?state=failed"


def test_a_fragment_is_for_htmx_but_not_for_its_history() -> None:
    assert wants_fragment(asked(headers={"HX-Request": "true"}))
    assert not wants_fragment(asked(headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}))
    assert not wants_fragment(asked())


def test_nonsense_in_cookies_is_ignored_and_times_are_then_utc() -> None:
    viewer = viewer_of(asked(headers={"Cookie": "reelkeeper_theme=pink; reelkeeper_zone=../../etc/passwd"}))
    assert (viewer.theme, viewer.zone_name, viewer.uses_utc) == ("system", "UTC", True)


def test_times_are_shown_in_the_zone_of_the_browser_unless_utc_was_chosen() -> None:
    viewer = viewer_of(asked(headers={"Cookie": "reelkeeper_zone=Asia/Tokyo; reelkeeper_theme=dark"}))
    assert (viewer.theme, viewer.zone_name, viewer.uses_utc) == ("dark", "JST", False)
    assert viewer_of(asked(headers={"Cookie": "reelkeeper_zone=Asia/Tokyo; reelkeeper_clock=utc"})).uses_utc


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_form_keeps_repeated_names_and_the_spaces_of_passwords() -> None:
    form = await read_form(asked(headers=FORM, body=b"a=1&a=+2&password=+secret+"))
    assert form.all("a") == ["1", "2"]
    assert form.get("password") == "secret"
    assert form.raw("password") == " secret "
    assert form.get("none", "x") == "x"


async def test_a_body_that_is_no_form_or_too_large_is_refused() -> None:
    with pytest.raises(InvalidError):
        await read_form(asked(headers={"Content-Type": "application/json"}, body=b"{}"))
    with pytest.raises(InvalidError):
        await read_form(asked(headers=FORM, body=b"a=%ff%fe"))
    with pytest.raises(TooLargeError):
        await read_form(asked(headers=FORM, body=b"a=" + b"x" * FORM_LIMIT_BYTES))
