"""Both sides may be a version apart: what is new is passed over, what is missing has a default."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from agent.states import JobState
from protocol import messages

CAPTURE = {"channels": 2, "sample_rate_hz": 48_000, "sample_type": "s16"}
COUNTER = {"backend": "synthetic", "name": "counter"}
ID = "0198c0de-0000-7000-8000-000000000001"
SHA = "0" * 64
PART = {"bytes": 3, "head": "YWJj", "head_sha256": SHA, "body_sha256": SHA}
SETTINGS = {
    "interface": COUNTER,
    "capture": CAPTURE,
    "channel_map": [[1.0, 0.0]],
    "encoding": {"codec": "mp3", "vbr_quality": 5, "bitrate_kbps": None},
    "minimum_bytes": 128,
    "starts_at": None,
    "ends_at": None,
    "duration_ms": 5000,
}
CLAIMED = {
    "job_id": ID,
    "recording_id": ID,
    "attempt": 1,
    "epoch": 1,
    "settings": SETTINGS,
    "lease_ms": 30_000,
    "wish": "run",
    "wish_age_ms": 0,
    "requested_age_ms": 5,
    "starts_in_ms": None,
    "ends_in_ms": None,
}
FACTS = {
    "take_id": ID,
    "start_frame": 0,
    "end_frame": 10,
    "capture": CAPTURE,
    "channel_map": [[1.0, 0.0]],
    "encoding": {"codec": "wav", "sample_type": None},
    "encoder_version": "1",
    "channels": 1,
    "sample_rate_hz": 48_000,
    "frames": 10,
    "gaps": [{"start_frame": 1, "frames": 2, "cause": "overrun", "uncertainty_frames": 0}],
    "clock_pairs": [{"frame": -5, "utc_ns": 1}],
    "segments": [{"start_frame": 0, "frames": 10, "sha256": None}],
    "levels": [{"peak_dbfs": -18.0, "rms_dbfs": None}],
    "end_reason": "stopped",
}
REPORT = {"job_id": ID, "epoch": 1, "phase": "capturing", "frames": 1, "uploaded_bytes": 2, "start_frame": 0}
STANDING = {"job_id": ID, "standing": "renewed", "remaining_ms": 30_000, "wish": "stop", "wish_age_ms": 7}
LEVELS = {"interface": COUNTER, "channels": [{"peak_dbfs": -1.0, "rms_dbfs": -4.0}]}
EVENT = {
    "id": ID,
    "kind": "gap",
    "severity": "warning",
    "message": "m",
    "age_ms": 1,
    "job_id": None,
    "interface": COUNTER,
}
INPUT = {
    **COUNTER,
    "label": "Counter",
    "max_channels": 2,
    "sample_rates_hz": [48_000],
    "sample_types": ["s16"],
    "default_capture": CAPTURE,
}
FIRST_VERSION: dict[str, dict[str, Any]] = {
    "EnrolRequest": {"code": "rkc_1_2", "version": "0.1"},
    "EnrolAnswer": {"node_id": ID, "name": "Court", "token": "t"},
    "RunRequest": {"previous_run": 0, "request_id": ID, "version": "0.1"},
    "RunAnswer": {"node_run": 1, "jobs": [CLAIMED]},
    "Inventory": {
        "node_run": 1,
        "version": "0.1",
        "interfaces": [INPUT],
        "spool_free_bytes": 1,
        "spool_total_bytes": 2,
        "utc_ns": 3,
    },
    "ClaimRequest": {"claim_id": ID, "node_run": 1, "interfaces": [COUNTER]},
    "ClaimedJob": CLAIMED,
    "WakeAnswer": {"change_no": 1, "watched": [COUNTER]},
    "HeartbeatRequest": {"node_run": 1, "jobs": [REPORT]},
    "HeartbeatAnswer": {"jobs": [STANDING], "change_no": 1, "watched": []},
    "CacheFileRequest": {"id": ID, "job_id": ID, "epoch": 1, "node_run": 1, "origin": "normal", "codec": "wav"},
    "CacheFileAnswer": {"id": ID, "offsets": {"audio": 1, "waveform": 2, "seek": 3, "ledger": 4}},
    "SealRequest": {
        "job_id": ID,
        "epoch": 1,
        "node_run": 1,
        "origin": "normal",
        "facts": FACTS,
        "audio": PART,
        "waveform": PART,
        "seek": PART,
        "ledger": PART,
    },
    "SealAnswer": {"recording_id": ID, "cache_state": "cached"},
    "FinishRequest": {"epoch": 1, "node_run": 1, "outcome": "failed", "reason": "device_gone", "message": "m"},
    "EventsRequest": {"node_run": 1, "events": [EVENT]},
    "LevelsRequest": {"node_run": 1, "interfaces": [LEVELS]},
    "TokenRequest": {"digest": SHA},
    "CertificateRequest": {"sha256": SHA},
    "LevelsAnswer": {"watched": [COUNTER]},
}
"""Every body of the agent's API as the first version sent it."""


def kind_of(name: str) -> type[BaseModel]:
    found: type[BaseModel] = getattr(messages, name)
    return found


def later(value: Any) -> Any:
    """What a later version sends: the same, and in every object something that is not known yet."""
    if isinstance(value, dict):
        return {**{key: later(one) for key, one in value.items()}, "made_up_later": {"anything": [1]}}
    return [later(one) for one in value] if isinstance(value, list) else value


def test_every_body_of_the_api_has_its_first_form_here() -> None:
    bodies = {name for name in vars(messages) if name.endswith(("Request", "Answer"))} | {"Inventory", "ClaimedJob"}
    assert set(FIRST_VERSION) == bodies


@pytest.mark.parametrize("name", FIRST_VERSION)
def test_body_of_the_first_version_is_understood(name: str) -> None:
    kind_of(name).model_validate_json(json.dumps(FIRST_VERSION[name]))


@pytest.mark.parametrize("name", FIRST_VERSION)
def test_body_of_a_later_version_says_what_it_said_before(name: str) -> None:
    kind, body = kind_of(name), FIRST_VERSION[name]
    assert kind.model_validate_json(json.dumps(later(body))) == kind.model_validate_json(json.dumps(body))


def test_spooled_job_of_a_later_agent_is_read_after_a_downgrade() -> None:
    state = JobState.of(messages.ClaimedJob.model_validate(CLAIMED))
    written = json.dumps(later(json.loads(state.model_dump_json())))
    assert JobState.model_validate_json(written) == state
