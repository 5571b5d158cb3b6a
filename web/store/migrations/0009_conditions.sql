-- Conditions that last: a health event that is told when it begins and again when it is over. One of the controller
-- itself has no node.

ALTER TABLE health_event ADD COLUMN is_condition boolean NOT NULL DEFAULT false;
ALTER TABLE health_event ADD COLUMN ended_at timestamptz;
ALTER TABLE health_event ALTER COLUMN node_id DROP NOT NULL;
CREATE INDEX health_event_lasting ON health_event (node_id, kind) WHERE is_condition AND ended_at IS NULL;

-- Rows of one key are about the same thing: a recording, or one fault of one node. What lasts is listed however long
-- ago it began; a condition of a recording lasts no longer than that, although nobody said that it is over.
CREATE OR REPLACE VIEW concern AS
SELECT coalesce(e.recording_id::text, concat_ws(' ', e.node_id, e.kind, e.backend, e.interface)) AS key, e.node_id,
       e.recording_id, e.kind, e.severity, e.message, e.happened_at AS at, false AS is_failed, false AS lasts
FROM health_event e
WHERE e.state = 'open' AND e.severity IN ('warning', 'critical')
  AND NOT (e.is_condition AND e.ended_at IS NULL
           AND NOT EXISTS (SELECT FROM recording r WHERE r.id = e.recording_id AND r.ended_at IS NOT NULL))
UNION ALL
SELECT coalesce(e.recording_id::text, concat_ws(' ', e.node_id, e.kind, e.backend, e.interface)), e.node_id,
       e.recording_id, e.kind, e.severity, e.message, e.happened_at, false, true
FROM health_event e
WHERE e.state = 'open' AND e.severity IN ('warning', 'critical') AND e.is_condition AND e.ended_at IS NULL
  AND NOT EXISTS (SELECT FROM recording r WHERE r.id = e.recording_id AND r.ended_at IS NOT NULL)
UNION ALL
SELECT r.id::text, r.node_id, r.id, 'failed', 'critical',
       coalesce((SELECT j.message FROM job j WHERE j.recording_id = r.id ORDER BY j.attempt DESC LIMIT 1), 'It failed.'),
       r.ended_at, true, false
FROM recording r
WHERE r.state = 'failed';

-- Of two severities.
CREATE FUNCTION worse_severity(one text, other text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN 'critical' IN (one, other) THEN 'critical' WHEN 'warning' IN (one, other) THEN 'warning' ELSE 'info' END
$$;
