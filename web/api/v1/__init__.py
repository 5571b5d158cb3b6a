"""`/api/v1`: everything that people and programs do, as JSON, with the token of a user."""

from http import HTTPStatus

from web.api.endpoints import Endpoint
from web.api.v1 import jobs, nodes, profiles, recordings
from web.domain.cache_files import MEDIA_TYPES

_CONFLICT = (HTTPStatus.CONFLICT,)
_STORED = (HTTPStatus.CONFLICT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
_AUDIO = tuple(MEDIA_TYPES.values())
_RECORDING = "/recordings/{recording_id}"
_NODE = "/nodes/{node_id}"

ENDPOINTS = [
    Endpoint("GET", "/recordings", recordings.index),
    Endpoint(
        "POST", "/recordings", recordings.start, status=HTTPStatus.CREATED, problems=(HTTPStatus.NOT_FOUND, *_CONFLICT)
    ),
    Endpoint("GET", _RECORDING, recordings.show),
    Endpoint("POST", f"{_RECORDING}/stop", recordings.stop),
    Endpoint("POST", f"{_RECORDING}/cancel", recordings.cancel),
    Endpoint("POST", f"{_RECORDING}/retry", recordings.retry, problems=_CONFLICT),
    Endpoint("GET", f"{_RECORDING}/audio", recordings.audio, media=_AUDIO, problems=_STORED),
    Endpoint("GET", f"{_RECORDING}/live", recordings.live, media=_AUDIO, has_ranges=False, problems=_CONFLICT),
    Endpoint("GET", f"{_RECORDING}/download", recordings.download, media=_AUDIO, problems=_STORED),
    Endpoint(
        "GET", f"{_RECORDING}/waveform.dat", recordings.waveform, media=("application/octet-stream",), problems=_STORED
    ),
    Endpoint(
        "GET",
        f"{_RECORDING}/peaks",
        recordings.peaks,
        media=("application/octet-stream",),
        has_ranges=False,
        problems=_CONFLICT,
    ),
    Endpoint("GET", f"{_RECORDING}/ledger", recordings.ledger, media=("application/json",), problems=_STORED),
    Endpoint("GET", "/profiles", profiles.index),
    Endpoint("PUT", "/profiles/{profile_id}/protection", profiles.protect),
    Endpoint("GET", "/jobs", jobs.index),
    Endpoint("GET", "/jobs/{job_id}", jobs.show),
    Endpoint("GET", "/nodes", nodes.index),
    Endpoint("GET", _NODE, nodes.show),
    Endpoint("PATCH", _NODE, nodes.change),
    Endpoint("PATCH", f"{_NODE}/interfaces", nodes.change_interface),
    Endpoint("POST", "/enrolment-codes", nodes.create_enrolment_code, status=HTTPStatus.CREATED, problems=_CONFLICT),
]
