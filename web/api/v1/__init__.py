"""`/api/v1`: everything that people and programs do, as JSON, with the token of a user."""

from http import HTTPStatus

from web.api.endpoints import Endpoint
from web.api.v1 import (
    audit,
    grants,
    groups,
    health,
    jobs,
    node_groups,
    nodes,
    profiles,
    recordings,
    roles,
    tokens,
    users,
    webhooks,
)
from web.domain.cache_files import MEDIA_TYPES

_CONFLICT = (HTTPStatus.CONFLICT,)
_STORED = (HTTPStatus.CONFLICT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
_AUDIO = tuple(MEDIA_TYPES.values())
_RECORDING = "/recordings/{recording_id}"
_NODE = "/nodes/{node_id}"
_USER = "/users/{user_id}"
_GROUP = "/groups/{group_id}"
_ROLE = "/roles/{role_id}"
_WEBHOOK = "/webhooks/{webhook_id}"
_MADE = HTTPStatus.CREATED

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
    Endpoint("POST", "/profiles", profiles.create, status=_MADE),
    Endpoint("GET", "/profiles/{profile_id}", profiles.show),
    Endpoint("PUT", "/profiles/{profile_id}", profiles.change, problems=_CONFLICT),
    Endpoint("DELETE", "/profiles/{profile_id}", profiles.remove, problems=_CONFLICT),
    Endpoint("POST", "/profiles/{profile_id}/default", profiles.make_default),
    Endpoint("PUT", "/profiles/{profile_id}/protection", profiles.protect),
    Endpoint("GET", "/jobs", jobs.index),
    Endpoint("GET", "/jobs/{job_id}", jobs.show),
    Endpoint("GET", "/nodes", nodes.index),
    Endpoint("GET", _NODE, nodes.show),
    Endpoint("PATCH", _NODE, nodes.change, problems=_CONFLICT),
    Endpoint("PATCH", f"{_NODE}/interfaces", nodes.change_interface),
    Endpoint("DELETE", _NODE, nodes.remove, problems=_CONFLICT),
    Endpoint("POST", f"{_NODE}/drain", nodes.drain),
    Endpoint("DELETE", f"{_NODE}/drain", nodes.end_drain),
    Endpoint("POST", f"{_NODE}/acknowledge", nodes.acknowledge),
    Endpoint("GET", f"{_NODE}/tokens", nodes.tokens),
    Endpoint("POST", f"{_NODE}/tokens/rotate", nodes.rotate_token),
    Endpoint("DELETE", f"{_NODE}/tokens", nodes.revoke_tokens),
    Endpoint("POST", f"{_NODE}/enrolment-codes", nodes.create_rejoin_code, status=_MADE),
    Endpoint("GET", "/enrolment-codes", nodes.enrolment_codes),
    Endpoint("POST", "/enrolment-codes", nodes.create_enrolment_code, status=_MADE, problems=_CONFLICT),
    Endpoint("GET", "/enrolment-codes/{code_id}", nodes.enrolment_code),
    Endpoint("DELETE", "/enrolment-codes/{code_id}", nodes.revoke_enrolment_code),
    Endpoint("GET", "/node-groups", node_groups.index),
    Endpoint("POST", "/node-groups", node_groups.create, status=_MADE, problems=_CONFLICT),
    Endpoint("PATCH", "/node-groups/{group_id}", node_groups.change, problems=_CONFLICT),
    Endpoint("DELETE", "/node-groups/{group_id}", node_groups.remove, problems=_CONFLICT),
    Endpoint("GET", "/health-events", health.index),
    Endpoint("GET", "/users", users.index),
    Endpoint("POST", "/users", users.invite, status=_MADE, problems=_CONFLICT),
    Endpoint("GET", _USER, users.show),
    Endpoint("DELETE", _USER, users.remove, problems=_CONFLICT),
    Endpoint("POST", f"{_USER}/reset-link", users.reset_link, status=_MADE, problems=_CONFLICT),
    Endpoint("POST", f"{_USER}/disable", users.disable, problems=_CONFLICT),
    Endpoint("POST", f"{_USER}/enable", users.enable),
    Endpoint("DELETE", f"{_USER}/second-factor", users.remove_second_factor, problems=_CONFLICT),
    Endpoint("GET", f"{_USER}/sessions", users.sessions),
    Endpoint("DELETE", f"{_USER}/sessions", users.end_sessions),
    Endpoint("DELETE", f"{_USER}/sessions/{{session_id}}", users.end_session),
    Endpoint("GET", f"{_USER}/grants", users.list_grants),
    Endpoint("POST", f"{_USER}/grants", users.give, status=_MADE, problems=_CONFLICT),
    Endpoint("GET", "/groups", groups.index),
    Endpoint("POST", "/groups", groups.create, status=_MADE),
    Endpoint("GET", _GROUP, groups.show),
    Endpoint("PUT", _GROUP, groups.rename, problems=_CONFLICT),
    Endpoint("DELETE", _GROUP, groups.remove, problems=_CONFLICT),
    Endpoint("PUT", f"{_GROUP}/members/{{user_id}}", groups.add_member, problems=_CONFLICT),
    Endpoint("DELETE", f"{_GROUP}/members/{{user_id}}", groups.remove_member, problems=_CONFLICT),
    Endpoint("GET", f"{_GROUP}/grants", groups.list_grants),
    Endpoint("POST", f"{_GROUP}/grants", groups.give, status=_MADE, problems=_CONFLICT),
    Endpoint("GET", "/roles", roles.index),
    Endpoint("POST", "/roles", roles.create, status=_MADE),
    Endpoint("GET", _ROLE, roles.show),
    Endpoint("PUT", _ROLE, roles.change, problems=_CONFLICT),
    Endpoint("DELETE", _ROLE, roles.remove, problems=_CONFLICT),
    Endpoint("GET", "/grants", grants.index),
    Endpoint("GET", "/grants/{grant_id}", grants.show),
    Endpoint("DELETE", "/grants/{grant_id}", grants.take, problems=_CONFLICT),
    Endpoint("GET", "/tokens", tokens.index),
    Endpoint("POST", "/tokens", tokens.create, status=_MADE),
    Endpoint("GET", "/tokens/current", tokens.current),
    Endpoint("DELETE", "/tokens/{token_id}", tokens.revoke),
    Endpoint("GET", "/webhooks", webhooks.index),
    Endpoint("POST", "/webhooks", webhooks.create, status=_MADE, problems=_CONFLICT),
    Endpoint("GET", _WEBHOOK, webhooks.show),
    Endpoint("PUT", _WEBHOOK, webhooks.change, problems=_CONFLICT),
    Endpoint("DELETE", _WEBHOOK, webhooks.remove),
    Endpoint("POST", f"{_WEBHOOK}/secret", webhooks.renew_secret, status=_MADE),
    Endpoint("POST", f"{_WEBHOOK}/enable", webhooks.enable),
    Endpoint("POST", f"{_WEBHOOK}/disable", webhooks.disable),
    Endpoint("POST", f"{_WEBHOOK}/test", webhooks.try_out, status=HTTPStatus.ACCEPTED, problems=_CONFLICT),
    Endpoint("GET", f"{_WEBHOOK}/deliveries", webhooks.deliveries),
    Endpoint(
        "POST",
        f"{_WEBHOOK}/deliveries/{{delivery_id}}/again",
        webhooks.deliver_again,
        status=HTTPStatus.ACCEPTED,
        problems=_CONFLICT,
    ),
    Endpoint("GET", "/audit", audit.index),
    Endpoint("GET", "/audit/export", audit.export, media=(audit.JSON_LINES,), has_ranges=False),
    Endpoint("GET", "/audit/{entry_id}", audit.show),
]
