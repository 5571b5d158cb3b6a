"""A controller's database with years in it: what lists, counts and pages are measured on."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from protocol.ids import new_id, new_token, token_digest

NODES = 1_000
RECORDINGS = 100_000
PEOPLE = 1_000
BIG_FOLDER, SMALL_FOLDER = "Court", "Attic"
"""One recording in ten, and one in a thousand."""


@dataclass(frozen=True)
class Guest:
    """Somebody who is signed in, by the cookie of a browser on this machine."""

    name: str
    cookie: str


async def furnish(superuser: asyncpg.Connection) -> None:
    """All of it, without triggers; done within a minute on a quiet machine."""
    await superuser.execute("SET session_replication_role = replica")
    for statement in _FURNITURE:
        await superuser.execute(statement)
    await superuser.execute("RESET session_replication_role")
    await superuser.execute("VACUUM ANALYZE")


async def invite(superuser: asyncpg.Connection) -> list[Guest]:
    """One of each kind of scope."""
    return [await _guest(superuser, name, grants) for name, grants in _GUESTS.items()]


async def _guest(superuser: asyncpg.Connection, name: str, grants: tuple[str, ...]) -> Guest:
    user_id, session_id = new_id(), new_id()
    secret = new_token("session", session_id)
    await superuser.execute("INSERT INTO user_account (id, name) VALUES ($1, $2)", user_id, name)
    await superuser.execute(
        "INSERT INTO login_session (id, user_id, digest, is_by_link, expires_at)"
        " VALUES ($1, $2, $3, false, now() + interval '8 hours')",
        *(session_id, user_id, token_digest(secret)),
    )
    for grant in grants:
        await superuser.execute(
            "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_id, node_group_id, folder,"
            f" created_by) SELECT gen_random_uuid(), $1, r.id, {grant}, 'bench' FROM role r"
            f" WHERE r.name = '{'administrator' if name == 'administrator' else 'manager'}'",
            user_id,
        )
    return Guest(name, f"reelkeeper-80={secret}")


def thing(kind: str, number: int) -> UUID:
    """The id of one of the things that `furnish` makes."""
    return UUID(f"{_KINDS.index(kind) + 1:08x}-0000-7000-8000-{number:012x}")


_KINDS = ("node", "recording", "job", "cache_file", "event", "person", "token", "group", "code", "interface")
_GUESTS = {
    "administrator": ("'allow', 'everything', NULL::uuid, NULL::uuid, NULL",),
    "of one node": (f"'allow', 'node', '{thing('node', 7)}'::uuid, NULL::uuid, NULL",),
    "of a group of 50 nodes": (f"'allow', 'node_group', NULL::uuid, '{thing('group', 1)}'::uuid, NULL",),
    "of a big folder": (f"'allow', 'folder', NULL::uuid, NULL::uuid, '{BIG_FOLDER}'",),
    "of a small folder": (f"'allow', 'folder', NULL::uuid, NULL::uuid, '{SMALL_FOLDER}'",),
    "of an empty folder": ("'allow', 'folder', NULL::uuid, NULL::uuid, 'Nothing'",),
    "denied a folder": (
        "'allow', 'everything', NULL::uuid, NULL::uuid, NULL",
        f"'deny', 'folder', NULL::uuid, NULL::uuid, '{BIG_FOLDER}'",
    ),
    "denied all but a folder's tenth": (
        f"'allow', 'folder', NULL::uuid, NULL::uuid, '{BIG_FOLDER}'",
        *(f"'deny', 'node', '{thing('node', number)}'::uuid, NULL::uuid, NULL" for number in range(0, 1_000, 10)),
    ),
}


def _id(kind: str, number: str) -> str:
    return f"('{_KINDS.index(kind) + 1:08x}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"


_CAPTURE = '{"channels": 2, "sample_rate_hz": 48000, "sample_type": "s24"}'
_SETTINGS = (
    f'{{"interface": {{"backend": "alsa", "name": "usb"}}, "capture": {_CAPTURE}, "channel_map": [[1, 0], [0, 1]],'
    ' "encoding": {"codec": "mp3", "vbr_quality": 5}, "duration_ms": 3600000}'
)
_AGE = "n * interval '90 s'"
_FOLDER = (
    f"CASE WHEN n % 10 = 3 THEN '{BIG_FOLDER}/Hall ' || n % 7 WHEN n % 1009 = 7 THEN '{SMALL_FOLDER}'"
    " ELSE 'Meetings/' || n % 400 END"
)
_STATE = (
    "CASE WHEN n <= 150 THEN 'recording' WHEN n <= 200 THEN 'queued' WHEN n % 25 = 3 THEN 'failed'"
    " WHEN n % 50 = 4 THEN 'cancelled' ELSE 'completed' END"
)
_FURNITURE = (
    f"""INSERT INTO node (id, name, capacity, node_run, change_no, version, spool_free_bytes, spool_total_bytes,
                          location)
        SELECT {_id("node", "n")}, 'Room ' || n, 4, 1, 1, '1.0', 500000000000, 1000000000000, 'House ' || n % 20
        FROM generate_series(0, {NODES - 1}) n""",
    f"""INSERT INTO node_seen (node_id, last_seen_at)
        SELECT {_id("node", "n")}, clock_timestamp() + interval '1 hour' FROM generate_series(0, {NODES - 1}) n""",
    f"""INSERT INTO node_token (id, node_id, digest, renew_at, expires_at)
        SELECT {_id("node", "n")}, {_id("node", "n")}, n, now() + interval '1 year', now() + interval '1 year'
        FROM generate_series(0, {NODES - 1}) n""",
    f"""INSERT INTO interface (id, node_id, backend, name, label, max_channels, sample_rates_hz, sample_types,
                               default_capture, is_present)
        SELECT {_id("interface", f"n + {NODES} * k")}, {_id("node", "n")}, 'alsa',
               CASE k WHEN 0 THEN 'usb' ELSE 'dante' END,
               'Input ' || k, 2, '{{48000}}', '{{s24}}', '{_CAPTURE}', true
        FROM generate_series(0, {NODES - 1}) n, generate_series(0, 1) k""",
    f"INSERT INTO node_group (id, name) SELECT {_id('group', 'n')}, 'Floor ' || n FROM generate_series(1, 20) n",
    f"""INSERT INTO node_group_member (node_group_id, node_id)
        SELECT {_id("group", "1 + n / 50")}, {_id("node", "n")} FROM generate_series(0, {NODES - 1}) n""",
    f"""INSERT INTO recording (id, request_digest, name, folder, node_id, profile_id, upload_policy_ids, state, health,
                               created_by, created_at, started_at, ended_at, duration_ms, preview)
        SELECT {_id("recording", "n")}, n, 'Council ' || n % 3000, {_FOLDER}, {_id("node", "n % 1000")},
               '00000000-0000-7000-8000-000000000002', '{{}}', s, CASE WHEN s = 'failed' THEN 'critical' END,
               'person ' || n % 40, now() - {_AGE}, now() - {_AGE},
               CASE WHEN s NOT IN ('recording', 'queued') THEN now() - {_AGE} + interval '1 hour' END,
               CASE WHEN s = 'completed' THEN 3600000 END,
               CASE WHEN s = 'completed' THEN decode(repeat('7a', 80), 'hex') END
        FROM generate_series(1, {RECORDINGS}) n, LATERAL (SELECT {_STATE} AS s) state""",
    f"""INSERT INTO recording_tag (recording_id, tag)
        SELECT {_id("recording", "n")}, 'tag ' || (n * 7 + k) % 300
        FROM generate_series(1, {RECORDINGS}) n, generate_series(0, 1) k""",
    f"""INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at,
                         created_at, ended_at, reason, message, folder)
        SELECT {_id("job", "n")}, r.id, 1, r.node_id, 'alsa', 'usb', '{_SETTINGS}',
               CASE r.state WHEN 'recording' THEN 'running' ELSE r.state END, 'run',
               CASE r.state WHEN 'queued' THEN 0 ELSE 1 END, r.created_at + CASE r.state WHEN 'queued' THEN
               interval '10 days' ELSE interval '0' END, r.created_at, r.ended_at,
               CASE r.state WHEN 'failed' THEN 'device_gone' END,
               CASE r.state WHEN 'failed' THEN 'The device is gone. Plug it in again.' END, r.folder
        FROM generate_series(1, {RECORDINGS}) n JOIN recording r ON r.id = {_id("recording", "n")}""",
    """INSERT INTO lease (job_id, node_id, node_run, epoch, expires_at, phase, frames)
       SELECT id, node_id, 1, 1, clock_timestamp() + interval '1 day', 'capturing', 48000000
       FROM job WHERE state = 'running'""",
    """INSERT INTO job_event (job_id, epoch, kind, actor, at)
       SELECT id, 1, kind, 'Room', created_at FROM job, unnest(ARRAY ['claimed', state]) kind
       WHERE ended_at IS NOT NULL""",
    f"""INSERT INTO cache_file (id, recording_id, job_id, epoch, origin, codec, state, is_current, sha256, parts, facts,
                                created_at, cached_at)
        SELECT {_id("cache_file", "n")}, {_id("recording", "n")}, {_id("job", "n")}, 1, 'normal', 'mp3', 'cached', true,
               repeat('ab', 32), '{{}}', '{{"sample_rate_hz": 48000, "gaps": []}}', now() - {_AGE}, now() - {_AGE}
        FROM generate_series(201, {RECORDINGS}) n
        WHERE n % 25 <> 3 AND n % 50 <> 4""",
    f"""INSERT INTO health_event (id, node_id, recording_id, job_id, backend, interface, kind, severity, message, state,
                                  happened_at, is_condition, ended_at)
        SELECT {_id("event", "n")}, {_id("node", "n % 1000")}, CASE WHEN n % 5 > 0 THEN {_id("recording", "n")} END,
               CASE WHEN n % 5 > 0 THEN {_id("job", "n")} END, 'alsa', 'usb',
               (ARRAY ['clipping', 'silence', 'gap', 'stall'])[n % 4 + 1],
               (ARRAY ['info', 'warning', 'critical'])[n % 3 + 1], 'It was silent for 12 s.',
               CASE WHEN n % 4 = 0 THEN 'open' ELSE 'resolved' END, now() - {_AGE}, n % 20 = 0,
               CASE WHEN n % 20 = 0 AND n > 1000 THEN now() - {_AGE} + interval '1 min' END
        FROM generate_series(1, {RECORDINGS}) n""",
    f"""INSERT INTO user_account (id, name)
        SELECT {_id("person", "n")}, 'person ' || n FROM generate_series(1, {PEOPLE}) n""",
    f"INSERT INTO user_group (id, name) SELECT {_id('group', 'n')}, 'Group ' || n FROM generate_series(1, 50) n",
    f"""INSERT INTO user_group_member (user_group_id, user_id)
        SELECT {_id("group", "1 + n % 50")}, {_id("person", "n")} FROM generate_series(1, {PEOPLE}) n""",
    f"""INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_id, created_by)
        SELECT gen_random_uuid(), {_id("person", "n")}, r.id, 'allow', 'node', {_id("node", "n % 1000")}, 'bench'
        FROM generate_series(1, {PEOPLE}) n, role r WHERE r.name = 'operator'""",
    f"""INSERT INTO access_grant (id, user_group_id, role_id, effect, scope_kind, folder, created_by)
        SELECT gen_random_uuid(), {_id("group", "n")}, r.id, 'allow', 'folder', 'Meetings/' || n, 'bench'
        FROM generate_series(1, 50) n, role r WHERE r.name = 'viewer'""",
    f"""INSERT INTO access_token (id, name, digest, created_by, user_id, permissions, expires_at)
        SELECT {_id("token", "n")}, 'program ' || n, n, 'person ' || n, {_id("person", "n")}, '{{recording:read}}',
               now() + interval '30 days'
        FROM generate_series(1, {PEOPLE}) n""",
    f"""INSERT INTO login_session (id, user_id, digest, is_by_link, expires_at)
        SELECT gen_random_uuid(), {_id("person", "n")}, n, false, now() + interval '1 day'
        FROM generate_series(1, {PEOPLE}) n""",
    f"""INSERT INTO enrolment_code (id, node_name, digest, created_by, expires_at)
        SELECT {_id("code", "n")}, 'New room ' || n, n, 'bench', now() + interval '1 day'
        FROM generate_series(1, 20) n""",
    f"""INSERT INTO audit_entry (id, at, actor_kind, actor_id, actor_name, action, object_kind, object_id, object_name,
                                 before, after, outcome, reason, address, request_id)
        SELECT nextval('audit_entry_id'), now() - ({RECORDINGS} - n) * interval '90 s', 'user',
               {_id("person", "1 + n % 40")}, 'person ' || n % 40,
               (ARRAY ['recording.start', 'recording.stop', 'recording.play', 'recording.download', 'node.edit',
                       'user.edit'])[n % 6 + 1],
               'recording', {_id("recording", "1 + n % 5000")}, 'Council ' || n % 300 || ' hall', '{{"wish": "run"}}',
               jsonb_build_object('wish', 'stop', 'number', n), CASE WHEN n % 50 = 0 THEN 'denied' ELSE 'done' END,
               CASE WHEN n % 50 = 0 THEN 'The permission is missing.' END, '192.0.2.' || n % 40, gen_random_uuid()
        FROM generate_series(1, {RECORDINGS}) n""",
    "INSERT INTO audit_seal (entry_id, number, hash) SELECT id, id, repeat('ab', 32) FROM audit_entry",
)
