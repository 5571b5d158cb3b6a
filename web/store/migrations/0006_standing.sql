-- What somebody should look at, and the indexes by which the dashboard is found among a million recordings.

CREATE INDEX recording_live ON recording (created_at) WHERE state IN ('queued', 'recording', 'finishing');
CREATE INDEX recording_ended ON recording (ended_at, state);
CREATE INDEX health_event_open ON health_event (happened_at) WHERE state = 'open' AND severity IN ('warning', 'critical');

-- Rows of one key are about the same thing: a recording, or one fault of one node.
CREATE VIEW concern AS
SELECT coalesce(e.recording_id::text, concat_ws(' ', e.node_id, e.kind, e.backend, e.interface)) AS key, e.node_id,
       e.recording_id, e.kind, e.severity, e.message, e.happened_at AS at, false AS is_failed
FROM health_event e
WHERE e.state = 'open' AND e.severity IN ('warning', 'critical')
UNION ALL
SELECT r.id::text, r.node_id, r.id, 'failed', 'critical',
       coalesce((SELECT j.message FROM job j WHERE j.recording_id = r.id ORDER BY j.attempt DESC LIMIT 1), 'It failed.'),
       r.ended_at, true
FROM recording r
WHERE r.state = 'failed';

GRANT SELECT ON concern TO app;
