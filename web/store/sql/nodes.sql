-- see_node --
-- Notes a sign of life.
INSERT INTO node_seen (node_id, last_seen_at) VALUES ({node_id}, clock_timestamp())
ON CONFLICT (node_id) DO UPDATE SET last_seen_at = excluded.last_seen_at;

-- interfaces_of_scope --
-- The interfaces of the nodes of a scope, in the order of their names.
SELECT * FROM interface WHERE in_scope({scope}::jsonb, node_id) ORDER BY node_id, backend, name;

-- nodes --
-- Nodes of a scope, all or one.
SELECT n.*, s.last_seen_at,
       coalesce(s.last_seen_at > clock_timestamp() - {seen_within}::interval, false) AS is_seen,
       EXISTS (SELECT FROM health_event e
               WHERE e.node_id = n.id AND e.kind = 'node_not_seen' AND e.is_condition AND e.ended_at IS NULL
                 AND e.state = 'acknowledged') AS is_absence_known,
       ARRAY(SELECT g.name FROM node_group g JOIN node_group_member m ON m.node_group_id = g.id
             WHERE m.node_id = n.id ORDER BY g.name) AS groups
FROM node n
LEFT JOIN node_seen s ON s.node_id = n.id
WHERE ({node_id}::uuid IS NULL OR n.id = {node_id}) AND n.removed_at IS NULL
  AND in_scope({scope}::jsonb, n.id)
ORDER BY n.name;

-- add_node --
-- Makes a node, unless its name is taken.
INSERT INTO node (id, name, capacity, node_run, change_no, version)
VALUES ({node_id}, {name}, {capacity}, 0, 0, {version})
ON CONFLICT (name) WHERE removed_at IS NULL DO NOTHING
RETURNING id;

-- describe_node --
-- Where a node is, and what it is for.
UPDATE node SET name = {name}, location = {location}, tags = {tags}::text[], site_zone = {site_zone}
WHERE id = {node_id};

-- other_of_name --
-- Another node of this name.
SELECT id FROM node WHERE name = {name} AND removed_at IS NULL AND id IS DISTINCT FROM {node_id}::uuid;

-- drain_node --
-- Whether a node takes on anything new.
UPDATE node SET is_draining = {is_draining} WHERE id = {node_id};

-- owed_of_node --
-- How many jobs of a node have not ended, which would be stranded without it.
SELECT count(*) AS jobs FROM job WHERE node_id = {node_id} AND state IN ('queued', 'running');

-- remove_node --
-- A node is gone: its recordings stay, its name is free, and nobody is to look after it any more.
WITH gone AS (
    UPDATE node SET removed_at = clock_timestamp() WHERE id = {node_id} RETURNING id
), ungrouped AS (
    DELETE FROM node_group_member m USING gone WHERE m.node_id = gone.id
), ungranted AS (
    DELETE FROM access_grant a USING gone WHERE a.node_id = gone.id
), unwanted AS (
    UPDATE enrolment_code c SET revoked_at = clock_timestamp()
    FROM gone WHERE c.rejoins = gone.id AND c.used_at IS NULL AND c.revoked_at IS NULL
)
UPDATE health_event e
SET state = 'resolved', ended_at = CASE WHEN e.is_condition THEN coalesce(e.ended_at, clock_timestamp()) ELSE e.ended_at END
FROM gone
WHERE e.node_id = gone.id AND e.recording_id IS NULL AND e.state <> 'resolved'
RETURNING e.id;

-- acknowledge_node --
-- Somebody knows what is said of a node itself.
UPDATE health_event SET state = 'acknowledged'
WHERE node_id = {node_id} AND recording_id IS NULL AND state = 'open'
RETURNING id;

-- node_trend --
-- How many warnings and critical events there were about a node, hour by hour of the last day, oldest first.
SELECT h AS hours_ago, count(e.id) FILTER (WHERE e.severity = 'warning') AS warnings,
       count(e.id) FILTER (WHERE e.severity = 'critical') AS criticals
FROM generate_series(23, 0, -1) h
LEFT JOIN health_event e
    ON e.node_id = {node_id} AND e.severity IN ('warning', 'critical')
   AND e.happened_at > (SELECT clock_timestamp() - interval '24 hours')
   AND floor(extract(epoch FROM clock_timestamp() - e.happened_at) / 3600)::integer = h
GROUP BY h
ORDER BY h DESC;

-- begin_run --
-- The next run of a node; never one that its agent has had already.
UPDATE node SET node_run = greatest(node_run, {previous_run}) + 1, version = {version} WHERE id = {node_id}
RETURNING node_run;

-- run_of_request --
-- The run that came of a request of this node.
SELECT node_run FROM run_request WHERE node_id = {node_id} AND request_id = {request_id};

-- keep_run_request --
-- Remembers which run came of a request.
INSERT INTO run_request (node_id, request_id, node_run) VALUES ({node_id}, {request_id}, {node_run});

-- move_leases --
-- Hands the node's live leases to its current run.
UPDATE lease SET node_run = {node_run}, expires_at = clock_timestamp() + {lease}::interval WHERE node_id = {node_id};

-- server_uptime --
-- How long agents could have reached this database at most.
SELECT clock_timestamp() - pg_postmaster_start_time() AS uptime;
