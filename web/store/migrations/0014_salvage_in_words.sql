-- When contact was lost and when content came after all: both belong into one sentence.

ALTER TABLE job ADD COLUMN lost_at timestamptz;

CREATE OR REPLACE VIEW recording_card AS
SELECT r.id, r.name, r.node_id, n.name AS node_name, r.profile_id, r.state, r.mark, r.health, r.created_by, r.created_at,
       r.started_at, r.ended_at, r.duration_ms, j.backend, j.interface, j.id AS job_id, j.attempt, j.wish, j.reason, j.message,
       c.id AS cache_file_id, coalesce(c.state, 'none') AS cache_state,
       coalesce(
           (SELECT u.state FROM upload_item u WHERE u.recording_id = r.id
            ORDER BY array_position(ARRAY ['failed', 'uploading', 'queued', 'uploaded'], u.state) LIMIT 1),
           'none') AS upload_status,
       r.folder, ARRAY(SELECT t.tag FROM recording_tag t WHERE t.recording_id = r.id ORDER BY t.tag) AS tags,
       r.preview, j.lost_at, CASE WHEN c.origin = 'salvaged' THEN c.cached_at END AS salvaged_at
FROM recording r
JOIN node n ON n.id = r.node_id
JOIN LATERAL (SELECT * FROM job WHERE job.recording_id = r.id ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current;
