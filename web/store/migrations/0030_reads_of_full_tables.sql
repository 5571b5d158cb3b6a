-- Lists and counts read what they show: for somebody of a few nodes or folders, and for the bar over every page.

-- Jobs are counted and listed by the folder of their recording, which is kept in both.
ALTER TABLE job ADD COLUMN folder text NOT NULL DEFAULT '';
UPDATE job SET folder = r.folder FROM recording r WHERE r.id = job.recording_id AND r.folder <> '';

CREATE FUNCTION put_job_in_folder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.folder := coalesce((SELECT folder FROM recording WHERE id = NEW.recording_id), '');
    RETURN NEW;
END
$$;
CREATE TRIGGER put_in_folder BEFORE INSERT ON job FOR EACH ROW EXECUTE FUNCTION put_job_in_folder();

CREATE FUNCTION move_jobs_of_recording() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE job SET folder = NEW.folder WHERE recording_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER move_jobs AFTER UPDATE OF folder ON recording
    FOR EACH ROW WHEN (OLD.folder <> NEW.folder) EXECUTE FUNCTION move_jobs_of_recording();

DROP INDEX job_in_state;
CREATE INDEX job_in_state ON job (state, ended_at) INCLUDE (node_id, folder);
CREATE INDEX job_of_node ON job (node_id, created_at DESC, id DESC) INCLUDE (state, ended_at, folder);
CREATE INDEX job_in_folder ON job (folder text_pattern_ops) INCLUDE (state, ended_at, node_id);

CREATE INDEX health_event_of_node ON health_event (node_id, happened_at DESC, id DESC);
CREATE INDEX health_event_open_lasting ON health_event (happened_at)
    WHERE state = 'open' AND severity IN ('warning', 'critical') AND is_condition AND ended_at IS NULL;

-- As before, and with the folder. What is read of recordings is read by their ids, however many there are.
DROP VIEW concern;
CREATE VIEW concern AS
SELECT coalesce(e.recording_id::text, concat_ws(' ', e.node_id, e.kind, e.backend, e.interface)) AS key, e.node_id,
       e.recording_id, (SELECT r.folder FROM recording r WHERE r.id = e.recording_id) AS folder, e.kind, e.severity,
       e.message, e.happened_at AS at, false AS is_failed, false AS lasts
FROM health_event e
WHERE e.state = 'open' AND e.severity IN ('warning', 'critical')
  AND (NOT e.is_condition OR e.ended_at IS NOT NULL
       OR (SELECT r.ended_at IS NOT NULL FROM recording r WHERE r.id = e.recording_id))
UNION ALL
SELECT coalesce(e.recording_id::text, concat_ws(' ', e.node_id, e.kind, e.backend, e.interface)), e.node_id,
       e.recording_id, (SELECT r.folder FROM recording r WHERE r.id = e.recording_id), e.kind, e.severity, e.message,
       e.happened_at, false, true
FROM health_event e
WHERE e.state = 'open' AND e.severity IN ('warning', 'critical') AND e.is_condition AND e.ended_at IS NULL
  AND (SELECT r.ended_at FROM recording r WHERE r.id = e.recording_id) IS NULL
UNION ALL
SELECT r.id::text, r.node_id, r.id, r.folder, 'failed', 'critical',
       coalesce((SELECT j.message FROM job j WHERE j.recording_id = r.id ORDER BY j.attempt DESC LIMIT 1), 'It failed.'),
       r.ended_at, true, false
FROM recording r
WHERE r.state = 'failed';
GRANT SELECT ON concern TO app;
