-- raise_change_no --
-- Tells waiting agents of this node, once the transaction commits.
WITH raised AS (UPDATE node SET change_no = change_no + 1 WHERE id = {node_id} RETURNING id)
SELECT pg_notify('reelkeeper_node', id::text) FROM raised;

-- tell_recording --
-- Tells controllers that something on pages has changed, once the transaction commits; as do the next three.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'recording', 'id', id, 'node_id', node_id, 'folder', folder, 'data', concat_ws(' ', id, state))::text)
FROM recording WHERE id = {id};

-- tell_job --
-- A job is there, or is in another state, or something else is wished of it.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', j.id, 'node_id', j.node_id, 'folder', r.folder,
           'data', concat_ws(' ', j.id, j.state))::text)
FROM job j JOIN recording r ON r.id = j.recording_id
WHERE j.id = {id};

-- tell_node --
-- A node or what it has.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'node', 'id', {id}::uuid, 'node_id', {id}::uuid, 'data', {id}::uuid)::text);

-- tell_health_event --
-- An event, with its severity, its state and the recording it is about.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'health', 'id', e.id, 'node_id', e.node_id, 'folder', r.folder,
           'data', concat_ws(' ', e.id, e.severity, e.state, e.recording_id))::text)
FROM health_event e LEFT JOIN recording r ON r.id = e.recording_id
WHERE e.id = {id};

-- tell_meters --
-- Levels, for pages that other controllers serve.
SELECT pg_notify('reelkeeper_meters', payload) FROM unnest({payloads}::text[]) payload;

-- change_nos --
-- The change numbers of nodes for which requests are held.
SELECT id, change_no FROM node WHERE id = ANY({node_ids}::uuid[]);

-- changed_presence --
-- Nodes that nobody has heard of and of which that is not said yet, and nodes of which it is said no longer rightly.
SELECT n.id, n.name, s.last_seen_at, extract(epoch FROM clock_timestamp() - s.last_seen_at)::float8 AS silent_seconds,
       e.id IS NOT NULL AS is_told,
       (SELECT count(*) FROM lease l WHERE l.node_id = n.id AND l.phase = 'capturing') AS capturing,
       (SELECT coalesce(bool_and(t.ended_at IS NOT NULL) AND bool_or(t.ended_by = 'revocation'), false)
        FROM node_token t WHERE t.node_id = n.id) AS is_revoked
FROM node n
JOIN node_seen s ON s.node_id = n.id
LEFT JOIN health_event e ON e.node_id = n.id AND e.kind = {kind} AND e.is_condition AND e.ended_at IS NULL
WHERE n.removed_at IS NULL AND (s.last_seen_at < clock_timestamp() - {node_not_seen}::interval) <> (e.id IS NOT NULL)
ORDER BY n.id;

-- tell_settings --
-- Somebody saved what a form shows.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'settings', 'id', {id}::uuid, 'node_id', {node_id}::uuid, 'kind', {kind}::text, 'data', {id}::uuid)::text);

-- tell_audit --
-- There are new entries.
SELECT pg_notify('reelkeeper_page', '{"name": "audit"}');
