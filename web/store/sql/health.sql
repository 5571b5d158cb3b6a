-- newest_concerns --
-- What somebody should look at, one row a recording or fault of a node: the worst that is said of it, and how often.
-- What lasts comes first.
WITH recent AS (
    SELECT c.*, count(*) OVER (PARTITION BY c.key) AS events,
           row_number() OVER (PARTITION BY c.key
                              ORDER BY c.is_failed DESC, c.lasts DESC, c.severity = 'critical' DESC, c.at DESC) AS place
    FROM concern c
    WHERE (c.lasts OR c.at > (SELECT clock_timestamp() - {since}::interval))
      AND in_scope({scope}::jsonb, c.node_id, c.folder)
), shown AS (
    SELECT *, count(*) OVER () AS total FROM recent WHERE place = 1 ORDER BY lasts DESC, at DESC, key LIMIT {limit}
)
SELECT s.severity, s.message, s.at, s.events, s.total, s.node_id, n.name AS node_name, r.id AS recording_id,
       r.name AS recording_name, r.folder, s.is_failed, s.lasts, j.reason, coalesce(j.lost_at, s.at) AS ended_at,
       CASE WHEN s.is_failed AND f.origin = 'salvaged' THEN f.cached_at END AS salvaged_at,
       CASE WHEN s.is_failed AND f.origin = 'salvaged' THEN r.duration_ms END AS salvaged_ms,
       CASE WHEN r.id IS NULL OR s.is_failed THEN NULL
            WHEN s.kind = 'gap'
                THEN (f.facts -> 'gaps' -> 0 ->> 'start_frame')::float8 / (f.facts ->> 'sample_rate_hz')::float8
            WHEN s.at >= r.started_at AND s.at < coalesce(r.started_at + r.duration_ms * interval '1 ms', s.at + interval '1 s')
                THEN extract(epoch FROM s.at - r.started_at)::float8
       END AS heard_at_seconds
FROM shown s
LEFT JOIN node n ON n.id = s.node_id AND in_scope({nodes}::jsonb, n.id)
LEFT JOIN recording r ON r.id = s.recording_id AND in_scope({recordings}::jsonb, r.node_id, r.folder)
LEFT JOIN LATERAL (SELECT reason, lost_at FROM job WHERE s.is_failed AND job.recording_id = r.id
                   ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN cache_file f ON f.recording_id = r.id AND f.is_current
ORDER BY s.lasts DESC, s.at DESC, s.key;

-- severities --
-- How bad the events of a recording are.
SELECT DISTINCT severity FROM health_event WHERE recording_id = {recording_id};

-- add_health_event --
-- Keeps an event, once; what says that a condition is over ends it, once, whichever of the two comes first.
INSERT INTO health_event AS known (id, node_id, recording_id, job_id, backend, interface, kind, severity, message, state,
                                   happened_at, is_condition, ended_at)
SELECT {id}, {node_id}, j.recording_id, j.id, {backend}::text, {interface}::text, {kind}, {severity}, {message},
       CASE WHEN {ended_age}::interval IS NULL THEN 'open' ELSE 'resolved' END,
       clock_timestamp() - {age}::interval, {lasts} OR {ended_age} IS NOT NULL, clock_timestamp() - {ended_age}
FROM (SELECT) one
LEFT JOIN job j ON j.id = {job_id}::uuid AND j.node_id = {node_id}
ON CONFLICT (id) DO UPDATE
SET state = 'resolved', is_condition = true, ended_at = greatest(excluded.ended_at, known.happened_at),
    message = excluded.message, severity = worse_severity(known.severity, excluded.severity)
WHERE known.ended_at IS NULL AND excluded.ended_at IS NOT NULL AND known.node_id IS NOT DISTINCT FROM excluded.node_id
RETURNING id, recording_id;

-- newest_health_events --
-- What happened within a scope, newest first.
SELECT e.*, e.is_condition AND e.ended_at IS NULL AND r.ended_at IS NULL AS lasts
FROM health_event e
LEFT JOIN recording r ON r.id = e.recording_id
WHERE in_scope({scope}::jsonb, e.node_id, r.folder)
  AND ({recording_id}::uuid IS NULL OR e.recording_id = {recording_id})
  AND ({node_id}::uuid IS NULL OR e.node_id = {node_id})
  AND ({before}::uuid IS NULL
       OR (e.happened_at, e.id) < (SELECT happened_at, id FROM health_event WHERE id = {before}))
ORDER BY e.happened_at DESC, e.id DESC
LIMIT {limit};

-- end_condition --
-- A condition of a node, or of the controller itself, is over.
UPDATE health_event SET state = 'resolved', ended_at = clock_timestamp()
WHERE node_id IS NOT DISTINCT FROM {node_id} AND kind = {kind} AND is_condition AND ended_at IS NULL
RETURNING id;

-- lasting_condition --
-- The controller itself has such a condition already.
SELECT id FROM health_event WHERE node_id IS NULL AND kind = {kind} AND is_condition AND ended_at IS NULL;

-- soften_health_events --
-- What a finding said of a recording is mended: it is over, and no worse than a warning.
UPDATE health_event SET state = 'resolved', severity = 'warning', message = {message}
WHERE recording_id = {recording_id} AND kind = {kind} AND severity = 'critical'
RETURNING id;
