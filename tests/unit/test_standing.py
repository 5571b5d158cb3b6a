"""What the dashboard says in words, and how long a disk lasts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from protocol.ids import new_id
from protocol.messages import (
    CaptureFormat,
    Encoding,
    FlacEncoding,
    InterfaceRef,
    JobSettings,
    Mp3Encoding,
    Phase,
    WavEncoding,
    Wish,
)
from web.domain.nodes import Interface, Node
from web.domain.space import bytes_per_second, rendition_bytes_per_second, seconds_left
from web.domain.standing import LiveRecording, NodeCard
from web.domain.states import RecordingState
from web.services.recorders.standing import verdict

STEREO = CaptureFormat(channels=2, sample_rate_hz=48_000, sample_type="s16")
BOTH = [[1.0, 0.0], [0.0, 1.0]]


def settings(name: str = "counter", encoding: Encoding | None = None, rows: list[list[float]] = BOTH) -> JobSettings:
    interface = InterfaceRef(backend="synthetic", name=name)
    return JobSettings(interface=interface, capture=STEREO, channel_map=rows, encoding=encoding or WavEncoding())


def live(**changes: Any) -> LiveRecording:
    """A recording that runs, unless told otherwise."""
    return LiveRecording(
        **{
            "id": new_id(),
            "name": "Council",
            "folder": "",
            "state": RecordingState.RECORDING,
            "node_id": new_id(),
            "node_name": "Hall 1",
            "interface_id": new_id(),
            "interface_label": "Counter",
            "settings": settings(),
            "wish": Wish.RUN,
            "phase": Phase.CAPTURING,
            "lease_seconds": 20.0,
            "waited_seconds": 60.0,
            "elapsed_ms": 59_000,
            "remaining_ms": None,
            **changes,
        }
    )


def card(
    *recordings: LiveRecording,
    is_seen: bool = True,
    free_bytes: int | None = None,
    measured_seconds: int | None = None,
    preroll_seconds: int = 0,
) -> NodeCard:
    now = datetime.now(UTC)
    node = Node(
        id=new_id(),
        name="Hall 1",
        capacity=4,
        node_run=1,
        change_no=1,
        version="1.0",
        spool_free_bytes=free_bytes,
        spool_total_bytes=free_bytes,
        clock_offset_ms=0,
        last_seen_at=now,
        is_seen=is_seen,
        created_at=now,
        minimum_bytes=None,
        spools=[],
        location="",
        tags=[],
        site_zone="",
        is_draining=False,
        is_absence_known=False,
        groups=[],
        disk_seconds_left=measured_seconds,
    )
    interface = Interface(
        id=new_id(),
        node_id=node.id,
        ref=InterfaceRef(backend="synthetic", name="counter"),
        device_label="Counter",
        given_label=None,
        channel_labels=[],
        max_channels=2,
        sample_rates_hz=[48_000],
        sample_types=["s16"],
        default_capture=STEREO,
        chosen_capture=None,
        is_preferred=False,
        is_present=True,
        is_enabled=True,
        preroll_seconds=preroll_seconds,
    )
    return NodeCard(node, [interface], list(recordings), occupied=0)


QUEUED = {"state": RecordingState.QUEUED, "phase": None, "lease_seconds": None, "elapsed_ms": None}


@pytest.mark.parametrize(
    ("recordings", "attention", "kind", "headline"),
    [
        ([], 0, "quiet", "Nothing is recording."),
        ([], 1, "warn", "Nothing is recording."),
        ([{}], 0, "good", "1 recording is running."),
        ([{}, {}], 0, "good", "Both recordings are running."),
        ([{}, {}, {}], 0, "good", "All 3 recordings are running."),
        ([{}], 2, "warn", "1 recording is running."),
        ([{}, {"lease_seconds": -3.0}], 0, "bad", "1 of 2 recordings is known to be running."),
        ([{}, {}, {**QUEUED, "waited_seconds": 30.0}], 0, "bad", "2 of 3 recordings are running."),
        ([{}, {**QUEUED, "waited_seconds": 1.0}], 0, "good", "1 of 2 recordings is running."),
        ([{**QUEUED, "waited_seconds": -3600.0}], 0, "quiet", "Nothing is recording."),
        ([{"wish": Wish.STOP}], 0, "quiet", "Nothing is recording."),
    ],
    ids=[
        "idle",
        "idle with a concern",
        "one",
        "both",
        "all",
        "one with concerns",
        "one out of contact",
        "one not taken",
        "one just starting",
        "planned for later",
        "stopping",
    ],
)
def test_verdict_counts_what_should_record_against_what_does(
    recordings: list[dict[str, Any]], attention: int, kind: str, headline: str
) -> None:
    found = verdict([card()], [live(**changes) for changes in recordings], attention)
    assert (found.kind, found.headline) == (kind, headline)


def test_verdict_names_each_reason() -> None:
    cards = [card(), card(), card(is_seen=False)]
    recordings = [live(lease_seconds=-1.0), live(**QUEUED, waited_seconds=30.0)]
    assert verdict(cards, recordings, 1).details == [
        "1 has lost contact with its node.",
        "1 has not been taken by its node yet.",
        "1 thing needs attention.",
        "1 of 3 nodes is not seen.",
    ]


def test_a_node_that_is_not_seen_turns_the_verdict_although_nothing_records() -> None:
    assert verdict([card(is_seen=False)], [], 0).kind == "warn"


def test_a_verdict_says_nothing_of_what_the_reader_may_not_know() -> None:
    assert verdict([], [], None).details == []


def test_a_node_is_full_of_what_the_viewer_cannot_see_too() -> None:
    seen = card(live(), live())
    assert (seen.others, seen.is_full) == (0, False)
    hidden = replace(seen, occupied=4)
    assert (hidden.others, hidden.is_full) == (2, True)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (WavEncoding(), 192_000),
        (WavEncoding(sample_type="s24"), 288_000),
        (FlacEncoding(bits=24), 288_000),
        (Mp3Encoding(bitrate_kbps=192), 24_000),
        (Mp3Encoding(vbr_quality=5), 16_250),
    ],
)
def test_a_rendition_fills_the_disk_at_the_rate_of_its_codec(encoding: Encoding, expected: int) -> None:
    assert rendition_bytes_per_second(encoding, 2, STEREO) == expected


def test_recordings_of_one_interface_share_its_take() -> None:
    mp3 = Mp3Encoding(bitrate_kbps=192)
    one = bytes_per_second([settings(encoding=mp3)])
    assert bytes_per_second([settings(encoding=mp3)] * 2) == one + 24_000
    assert bytes_per_second([settings(encoding=mp3), settings("tone", mp3)]) == 2 * one


def test_disk_lasts_at_the_rate_of_now_or_as_if_the_likeliest_input_recorded() -> None:
    free = 192_000 * 3600
    assert card(free_bytes=free).seconds_left == 3600
    assert card(live(), free_bytes=free).seconds_left == 1800
    assert card(live()).seconds_left is None
    assert seconds_left(free, 0) is None


def test_what_the_node_measured_is_believed_and_another_recording_comes_on_top() -> None:
    free = 192_000 * 3600
    measured = card(live(), free_bytes=free, measured_seconds=7_200)
    assert measured.seconds_left == 7_200
    assert measured.seconds_left_with(settings("tone")) == pytest.approx(free / (96_000 + 384_000))
    assert measured.seconds_left_with(settings()) == pytest.approx(free / (96_000 + 192_000))
    assert card(free_bytes=free, measured_seconds=7_200).seconds_left == 3600
    assert card(free_bytes=free, measured_seconds=7_200, preroll_seconds=60).seconds_left == 7_200


def test_only_channels_that_are_heard_are_metered() -> None:
    assert live(settings=settings(rows=[[0.0, 1.0]])).channels == [1]
    assert live(settings=settings(rows=[[0.5, 0.5]])).channels == [0, 1]


def test_what_finishes_or_waits_for_later_occupies_no_node() -> None:
    occupying = [live(), live(**QUEUED), live(lease_seconds=-5.0)]
    free = [live(wish=Wish.STOP), live(phase=Phase.UPLOADING), live(**QUEUED, waited_seconds=-60.0)]
    assert card(*occupying, *free).busy == occupying
