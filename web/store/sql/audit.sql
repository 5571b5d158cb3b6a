-- add_audit_entry --
-- Id and instant come with it, and the names of recordings and nodes unless they are given.
INSERT INTO audit_entry (actor_kind, actor_id, actor_name, action, object_kind, object_id, object_name, before, after,
                         outcome, reason, address, request_id)
VALUES ({actor_kind}, {actor_id}, {actor_name}, {action}, {object_kind}::text, {object_id}::uuid,
        coalesce({object_name},
                 (SELECT name FROM recording WHERE id = {object_id}::uuid AND {object_kind}::text = 'recording'),
                 (SELECT name FROM node WHERE id = {object_id}::uuid AND {object_kind}::text = 'node')),
        {before}::jsonb, {after}::jsonb, {outcome}, {reason}, {address}, {request_id});

-- add_audit_entry_once --
-- Unless the same actor did the same to the same object a short while ago.
INSERT INTO audit_entry (actor_kind, actor_id, actor_name, action, object_kind, object_id, object_name, before, after,
                         outcome, reason, address, request_id)
SELECT {actor_kind}, {actor_id}::uuid, {actor_name}, {action}, {object_kind}, {object_id}::uuid, {object_name},
       {before}::jsonb, {after}::jsonb, {outcome}, {reason}, {address}, {request_id}::uuid
WHERE NOT EXISTS (
    SELECT FROM audit_entry e
    WHERE e.object_id = {object_id}::uuid AND e.action = {action} AND e.actor_kind = {actor_kind}
      AND e.actor_name = {actor_name} AND e.actor_id IS NOT DISTINCT FROM {actor_id}::uuid
      AND e.at > clock_timestamp() - make_interval(secs => {within_seconds}));

-- audit_entry --
-- An entry, by its number.
SELECT * FROM audit_entry WHERE id = {entry_id};

-- audit_actions --
-- Every action that was noted: a jump through the index for each.
WITH RECURSIVE known AS (
    (SELECT action FROM audit_entry ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT action FROM audit_entry WHERE action > known.action ORDER BY action LIMIT 1)
    FROM known WHERE known.action IS NOT NULL
)
SELECT action FROM known WHERE action IS NOT NULL;

-- oldest_audit_entry --
-- The first that is there.
SELECT * FROM audit_entry ORDER BY id LIMIT 1;

-- newest_audit_entry --
-- The last that is there.
SELECT id FROM audit_entry ORDER BY id DESC LIMIT 1;

-- audit_entries_between --
-- How many lie between two numbers, the second included.
SELECT count(*) AS entries FROM audit_entry WHERE id > {after} AND id <= {up_to};

-- audited_object --
-- What something is called, whoever asks.
SELECT name FROM recording WHERE id = {id} AND {kind} = 'recording'
UNION ALL SELECT name FROM node WHERE id = {id} AND {kind} = 'node'
UNION ALL SELECT label FROM interface WHERE id = {id} AND {kind} = 'interface'
UNION ALL SELECT r.name FROM job j JOIN recording r ON r.id = j.recording_id WHERE j.id = {id} AND {kind} = 'job';

-- oldest_transaction --
-- All with smaller numbers have ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS number;

-- own_transaction --
-- The number of the transaction that asks.
SELECT pg_current_xact_id()::text::bigint AS number;

-- last_audit_seal --
-- Up to where the audit is sealed.
SELECT entry_id, number, hash FROM audit_seal ORDER BY number DESC LIMIT 1;

-- unsealed_audit --
-- Entries as they are sealed: every column as text, in this order.
SELECT id, id::text AS sealed_id,
       to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS sealed_at,
       actor_kind AS sealed_actor_kind, actor_id::text AS sealed_actor_id, actor_name AS sealed_actor_name,
       action AS sealed_action,
       object_kind AS sealed_object_kind, object_id::text AS sealed_object_id, object_name AS sealed_object_name,
       before::text AS sealed_before, after::text AS sealed_after,
       outcome AS sealed_outcome, reason AS sealed_reason,
       address AS sealed_address, request_id::text AS sealed_request_id
FROM audit_entry
WHERE id > {after} AND id <= {up_to}
ORDER BY id
LIMIT {limit};

-- add_audit_seals --
-- Seals entries, each with its place in the chain.
INSERT INTO audit_seal (entry_id, number, hash)
SELECT * FROM unnest({entry_ids}::bigint[], {numbers}::bigint[], {hashes}::text[]);

-- audit_links --
-- What lies at the next ids behind one, of a span of ids: entries as they are sealed, and seals.
WITH start AS MATERIALIZED (
    SELECT least((SELECT min(id) FROM audit_entry WHERE id > {after}),
                 (SELECT min(entry_id) FROM audit_seal WHERE entry_id > {after})) AS first
), bounds AS MATERIALIZED (
    SELECT first, least(first + {span}::bigint - 1, {up_to}::bigint) AS last FROM start
), entries AS (
    SELECT e.* FROM bounds CROSS JOIN LATERAL (
        SELECT * FROM audit_entry WHERE id BETWEEN bounds.first AND bounds.last) e
), seals AS (
    SELECT s.* FROM bounds CROSS JOIN LATERAL (
        SELECT * FROM audit_seal WHERE entry_id BETWEEN bounds.first AND bounds.last) s
)
SELECT coalesce(e.id, s.entry_id) AS link_id, s.number, s.hash,
       e.id, e.id::text AS sealed_id,
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS sealed_at,
       e.actor_kind AS sealed_actor_kind, e.actor_id::text AS sealed_actor_id, e.actor_name AS sealed_actor_name,
       e.action AS sealed_action,
       e.object_kind AS sealed_object_kind, e.object_id::text AS sealed_object_id, e.object_name AS sealed_object_name,
       e.before::text AS sealed_before, e.after::text AS sealed_after,
       e.outcome AS sealed_outcome, e.reason AS sealed_reason,
       e.address AS sealed_address, e.request_id::text AS sealed_request_id
FROM entries e FULL JOIN seals s ON s.entry_id = e.id
ORDER BY 1;

-- saved_by --
-- Who did one of these things to an object last, behind an entry.
SELECT actor_name FROM audit_entry
WHERE object_id = {id} AND id > {after} AND outcome = 'done' AND action = ANY({actions}::text[])
ORDER BY id DESC LIMIT 1;

-- newest_audit_entry_of --
-- The newest entry about an object.
SELECT id FROM audit_entry WHERE object_id = {id} ORDER BY id DESC LIMIT 1;
