"""The rules of the controller that need no database."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.ids import new_id
from protocol.messages import (
    CaptureFormat,
    ChannelLevel,
    ClockPairReport,
    EndReason,
    GapReport,
    Origin,
    Phase,
    RecordingFacts,
    WavEncoding,
    Wish,
)
from web.domain.access import Actor, Permission, Scope, within
from web.domain.cache_files import duration_ms, first_frame_at
from web.domain.channels import channel_map
from web.domain.errors import (
    ConflictError,
    EpochSupersededError,
    ForbiddenError,
    InvalidError,
    JobEndedError,
    NodeRunSupersededError,
    NotFoundError,
    NotYoursError,
)
from web.domain.health import findings_in, health_of_end
from web.domain.leases import Delivery, HeldJob, delivery_of, recording_state_in, require_own, require_run, rises
from web.domain.recordings import StartRecording, tidy_folder
from web.domain.states import Health, JobState, Severity
from web.store.queries import read_queries

_JOB = HeldJob(new_id(), new_id(), new_id(), JobState.RUNNING, Wish.RUN, 2, None)
_FACTS = RecordingFacts(
    take_id=new_id(),
    start_frame=0,
    end_frame=44_100,
    capture=CaptureFormat(channels=1, sample_rate_hz=44_100, sample_type="s16"),
    channel_map=[[1.0]],
    encoding=WavEncoding(),
    encoder_version="1",
    channels=1,
    sample_rate_hz=44_100,
    frames=44_100,
    gaps=[],
    clock_pairs=[],
    segments=[],
    levels=[ChannelLevel(peak_dbfs=-18.0, rms_dbfs=-21.0)],
    end_reason=EndReason.STOPPED,
)


def _start(**wanted: Any) -> StartRecording:
    return StartRecording(**{"id": UUID(int=1), "node_id": UUID(int=2), "name": "Council", **wanted})


class TestChannelMap:
    def test_all_captured_channels_stay_apart_when_none_is_named(self) -> None:
        assert channel_map(None, "separate", 2, "in") == [[1.0, 0.0], [0.0, 1.0]]

    def test_named_channels_come_in_their_order(self) -> None:
        assert channel_map([1], "separate", 2, "in") == [[0.0, 1.0]]
        assert channel_map([2, 0], "separate", 3, "in") == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]

    @given(
        st.integers(1, 64).flatmap(
            lambda captured: st.tuples(
                st.just(captured), st.lists(st.integers(0, captured - 1), min_size=1, max_size=64)
            )
        )
    )
    def test_mono_is_the_mean_and_never_louder(self, drawn: tuple[int, list[int]]) -> None:
        captured, channels = drawn
        (gains,) = channel_map(channels, "mono", captured, "in")
        assert len(gains) == captured
        assert sum(gains) == pytest.approx(1.0)

    def test_stereo_is_two_channels_or_one_on_both_sides(self) -> None:
        assert channel_map([2, 0], "stereo", 3, "in") == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
        assert channel_map([1], "stereo", 2, "in") == [[0.0, 1.0], [0.0, 1.0]]
        with pytest.raises(InvalidError) as refused:
            channel_map(None, "stereo", 3, "in")
        assert refused.value.field == "channels"

    def test_a_channel_beyond_the_capture_is_refused_counted_from_one(self) -> None:
        with pytest.raises(InvalidError, match="Channel 2 is not captured: the capture format of “Desk” has 1 channel"):
            channel_map([1], "separate", 1, "Desk")


class TestStartRequests:
    def test_equal_requests_have_equal_digests(self) -> None:
        assert _start(channels=[0]).digest() == _start(channels=[0]).digest()

    @pytest.mark.parametrize("changed", [{"name": "Other"}, {"channels": [0]}, {"duration_ms": 1}, {"output": "mono"}])
    def test_any_difference_changes_the_digest(self, changed: dict[str, Any]) -> None:
        assert _start(**changed).digest() != _start().digest()

    @pytest.mark.parametrize(
        "wanted",
        [
            {"duration_ms": 0},
            {"duration_ms": 5, "ends_at": "2030-01-01T00:00:00Z"},
            {"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"},
            {"starts_at": "2030-01-01T00:00:00"},
            {"channels": []},
            {"channels": [64]},
            {"name": ""},
            {"unknown": 1},
        ],
    )
    def test_what_cannot_be_is_not_valid(self, wanted: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            _start(**wanted)


class TestLeases:
    def test_wishes_rise_and_never_fall_or_repeat(self) -> None:
        order = [Wish.RUN, Wish.STOP, Wish.CANCEL]
        assert all(rises(lower, higher) for lower, higher in pairwise(order))
        assert not any(rises(higher, lower) for lower, higher in pairwise(order))
        assert not any(rises(wish, wish) for wish in order)

    def test_current_epoch_of_a_running_job_delivers_its_result(self) -> None:
        assert delivery_of(_JOB, epoch=2, origin=Origin.NORMAL) is Delivery.RESULT

    @pytest.mark.parametrize("epoch", [0, 1, 3])
    def test_any_other_epoch_is_superseded(self, epoch: int) -> None:
        with pytest.raises(EpochSupersededError):
            delivery_of(_JOB, epoch=epoch, origin=Origin.NORMAL)

    @pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
    def test_after_the_end_there_is_no_result(self, state: JobState) -> None:
        with pytest.raises(JobEndedError):
            delivery_of(replace(_JOB, state=state), epoch=2, origin=Origin.NORMAL)

    def test_a_failed_job_takes_salvage_of_epochs_it_has_had(self) -> None:
        failed = replace(_JOB, state=JobState.FAILED)
        assert delivery_of(failed, epoch=1, origin=Origin.SALVAGED) is Delivery.SALVAGE
        for epoch in (0, 3):
            with pytest.raises(EpochSupersededError):
                delivery_of(failed, epoch=epoch, origin=Origin.SALVAGED)

    def test_content_that_was_damaged_here_is_taken_once_more_after_the_end(self) -> None:
        damaged = replace(_JOB, state=JobState.COMPLETED, is_wanted_again=True)
        assert delivery_of(damaged, epoch=2, origin=Origin.NORMAL) is Delivery.REPLACEMENT
        with pytest.raises(EpochSupersededError):
            delivery_of(damaged, epoch=1, origin=Origin.NORMAL)

    def test_content_is_not_wanted_once_it_is_to_be_cancelled(self) -> None:
        with pytest.raises(ConflictError):
            delivery_of(replace(_JOB, wish=Wish.CANCEL), epoch=2, origin=Origin.NORMAL)

    def test_only_the_current_run_and_the_own_node_may_speak(self) -> None:
        require_run(3, 3)
        for run in (2, 4):
            with pytest.raises(NodeRunSupersededError):
                require_run(run, 3)
        require_own(_JOB, _JOB.node_id)
        with pytest.raises(NotYoursError):
            require_own(_JOB, new_id())

    def test_every_phase_is_a_state_of_the_recording(self) -> None:
        assert [recording_state_in(phase).value for phase in Phase] == ["queued", "recording", "finishing", "finishing"]


class TestHealth:
    @pytest.mark.parametrize(
        ("state", "was_asked", "health"),
        [
            (JobState.COMPLETED, True, Health.HEALTHY),
            (JobState.COMPLETED, False, Health.WARNING),
            (JobState.CANCELLED, True, Health.HEALTHY),
            (JobState.CANCELLED, False, Health.WARNING),
            (JobState.FAILED, True, Health.CRITICAL),
        ],
    )
    def test_the_end_alone_decides_without_events(self, state: JobState, was_asked: bool, health: Health) -> None:
        assert health_of_end(state, was_asked=was_asked, severities=[]) is health

    @given(st.sampled_from(JobState), st.booleans(), st.lists(st.sampled_from(Severity)))
    def test_is_never_better_than_the_worst_event(
        self, state: JobState, was_asked: bool, severities: list[Severity]
    ) -> None:
        health = health_of_end(state, was_asked=was_asked, severities=severities)
        if Severity.CRITICAL in severities:
            assert health is Health.CRITICAL
        if Severity.WARNING in severities:
            assert health is not Health.HEALTHY

    def test_gaps_are_counted_and_summed(self) -> None:
        gaps = [
            GapReport(start_frame=0, frames=4_410, cause="xrun"),
            GapReport(start_frame=9, frames=44_100, cause="x"),
        ]
        (finding,) = findings_in(_FACTS.model_copy(update={"gaps": gaps}), Origin.NORMAL)
        assert finding.message == "2 gaps, 1.100 s missing in all."

    def test_whole_content_has_no_findings(self) -> None:
        assert findings_in(_FACTS, Origin.NORMAL) == []

    def test_one_silent_channel_of_two_is_not_exact_zeros(self) -> None:
        levels = [ChannelLevel(peak_dbfs=None, rms_dbfs=None), ChannelLevel(peak_dbfs=-30.0, rms_dbfs=-40.0)]
        assert findings_in(_FACTS.model_copy(update={"levels": levels}), Origin.NORMAL) == []


class TestFacts:
    def test_the_nearest_clock_pair_dates_the_first_frame(self) -> None:
        pairs = [
            ClockPairReport(frame=-44_100, utc_ns=10_000_000_000),
            ClockPairReport(frame=88_200, utc_ns=99_000_000_000),
        ]
        facts = _FACTS.model_copy(update={"clock_pairs": pairs})
        assert first_frame_at(facts) == datetime.fromtimestamp(11, UTC)

    def test_without_a_clock_pair_there_is_no_date(self) -> None:
        assert first_frame_at(_FACTS) is None

    def test_duration_is_the_frame_count(self) -> None:
        assert duration_ms(_FACTS) == 1_000


class TestAccess:
    def test_outside_the_scope_nothing_exists_even_with_the_permission(self) -> None:
        actor = Actor("user", None, "clerk", within(Scope(folders=frozenset({"Elsewhere"}))))
        with pytest.raises(NotFoundError):
            actor.require(Permission.RECORDING_CONTROL, _JOB)

    def test_without_the_permission_it_is_forbidden(self) -> None:
        actor = Actor("user", None, "viewer", {})
        with pytest.raises(ForbiddenError):
            actor.require(Permission.RECORDING_CREATE)


class TestQueries:
    def test_every_query_has_a_line_of_purpose(self) -> None:
        for query in read_queries().values():
            assert query.sql.startswith("-- "), query.name

    def test_a_value_that_is_used_twice_is_one_parameter(self) -> None:
        query = read_queries()["nodes"]
        assert len(query.parameters) == len(set(query.parameters))
        assert "{" not in query.sql

    def test_values_that_are_missing_or_unknown_are_a_mistake(self) -> None:
        with pytest.raises(TypeError, match="lock_node takes"):
            read_queries()["lock_node"].arguments({"other": 1})


class TestFolders:
    @pytest.mark.parametrize(
        ("path", "tidy"), [("", ""), (" ", ""), ("Court", "Court"), (" Court / 2026", "Court/2026")]
    )
    def test_has_one_spelling(self, path: str, tidy: str) -> None:
        assert tidy_folder(path) == tidy

    @pytest.mark.parametrize("path", ["/Court", "Court/", "a//b", "a/../b", "a/./b", "a\x00b", "a\nb", "x" * 501])
    def test_that_cannot_be_is_refused(self, path: str) -> None:
        with pytest.raises(ValueError):
            tidy_folder(path)


def test_a_start_means_the_same_to_a_version_that_knew_fewer_fields() -> None:
    bare = _start()
    spelled_out = _start(folder="", tags=[], profile_id=None, upload_policy_ids=[])
    known = {"id": str(UUID(int=1)), "node_id": str(UUID(int=2)), "name": "Council"}
    assert bare.digest() == spelled_out.digest()
    assert bare.digest() == hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
