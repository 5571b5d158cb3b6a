-- recording_cards --
-- Recordings as their pages show them: one of a scope. Names of nodes are for those who may know these.
SELECT *, in_scope({nodes}::jsonb, node_id) AS knows_node FROM recording_card
WHERE id = {recording_id} AND in_scope({scope}::jsonb, node_id, folder);

-- newest_recording_cards --
-- Recordings as their pages show them: the newest of a scope that match, those from one on, or those behind one. Which
-- ones is found before anything else is read of them.
WITH page AS MATERIALIZED (
    SELECT r.id
    FROM recording r
    WHERE in_scope({scope}::jsonb, r.node_id, r.folder)
      AND ({states}::text[] IS NULL OR r.state = ANY({states}))
      AND ({text}::text IS NULL
           OR strpos(lower(r.name), lower({text})) > 0
           OR strpos(lower(r.folder), lower({text})) > 0
           OR r.node_id IN (SELECT n.id FROM node n
                            WHERE in_scope({nodes}::jsonb, n.id) AND strpos(lower(n.name), lower({text})) > 0)
           OR r.id IN (SELECT t.recording_id FROM recording_tag t WHERE strpos(lower(t.tag), lower({text})) > 0))
      AND ({first}::uuid IS NULL
           OR (r.created_at, r.id) <= (SELECT created_at, id FROM recording WHERE id = {first}))
      AND ({before}::uuid IS NULL
           OR (r.created_at, r.id) < (SELECT created_at, id FROM recording WHERE id = {before}))
    ORDER BY r.created_at DESC, r.id DESC
    LIMIT {limit}
)
SELECT c.*, in_scope({nodes}::jsonb, c.node_id) AS knows_node
FROM page
JOIN recording_card c ON c.id = page.id
ORDER BY c.created_at DESC, c.id DESC;

-- matching_recordings --
-- How many recordings of a scope match, all or those that are newer than one; no more than a limit are counted.
SELECT count(*) AS recordings
FROM (
    SELECT FROM recording r
    WHERE in_scope({scope}::jsonb, r.node_id, r.folder)
      AND ({states}::text[] IS NULL OR r.state = ANY({states}))
      AND ({text}::text IS NULL
           OR strpos(lower(r.name), lower({text})) > 0
           OR strpos(lower(r.folder), lower({text})) > 0
           OR r.node_id IN (SELECT n.id FROM node n
                            WHERE in_scope({nodes}::jsonb, n.id) AND strpos(lower(n.name), lower({text})) > 0)
           OR r.id IN (SELECT t.recording_id FROM recording_tag t WHERE strpos(lower(t.tag), lower({text})) > 0))
      AND ({after}::uuid IS NULL
           OR (r.created_at, r.id) > (SELECT created_at, id FROM recording WHERE id = {after}))
    LIMIT {limit}
) matching;

-- live_recordings --
-- What has not ended, with its newest job, the longest running first.
SELECT r.id, r.name, r.folder, r.state, r.node_id,
       CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN n.name END AS node_name,
       CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN i.id END AS interface_id,
       coalesce(CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN coalesce(i.given_label, i.label) END, j.interface) AS interface_label,
       j.settings, j.wish, l.phase,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       extract(epoch FROM clock_timestamp() - j.run_at)::float8 AS waited_seconds,
       floor(1000 * extract(epoch FROM clock_timestamp() - r.started_at))::bigint AS elapsed_ms,
       floor(1000 * extract(epoch FROM coalesce(j.ends_at, r.started_at + (j.settings ->> 'duration_ms')::bigint * interval '1 ms')
                                       - clock_timestamp()))::bigint AS remaining_ms
FROM recording r
JOIN node n ON n.id = r.node_id
JOIN LATERAL (SELECT * FROM job WHERE job.recording_id = r.id ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN interface i ON i.node_id = j.node_id AND i.backend = j.backend AND i.name = j.interface
WHERE r.state IN ('queued', 'recording', 'finishing')
  AND in_scope({scope}::jsonb, r.node_id, r.folder)
  AND ({node_id}::uuid IS NULL OR r.node_id = {node_id})
ORDER BY r.created_at, r.id;

-- last_day --
-- How the recordings ended that ended within a day.
SELECT r.state, count(*) AS recordings
FROM recording r
WHERE r.ended_at > (SELECT clock_timestamp() - interval '1 day') AND in_scope({scope}::jsonb, r.node_id, r.folder)
GROUP BY r.state;

-- busy_recordings --
-- What occupies a node: due or capturing, and not asked to end. Names are for those who may know these.
SELECT CASE WHEN in_scope({scope}::jsonb, r.node_id, r.folder) THEN r.name END AS name
FROM job j
JOIN recording r ON r.id = j.recording_id
LEFT JOIN lease l ON l.job_id = j.id
WHERE j.node_id = {node_id} AND j.wish = 'run' AND (j.ends_at IS NULL OR j.ends_at > clock_timestamp())
  AND (j.state = 'queued' AND j.run_at <= clock_timestamp() OR l.phase IN ('starting', 'capturing'))
ORDER BY r.created_at;

-- busy_counts --
-- How much occupies each node of a scope, whoever may know of it: see `busy_recordings`.
SELECT j.node_id, count(*) AS recordings
FROM job j
LEFT JOIN lease l ON l.job_id = j.id
WHERE j.state IN ('queued', 'running') AND j.wish = 'run' AND (j.ends_at IS NULL OR j.ends_at > clock_timestamp())
  AND (j.state = 'queued' AND j.run_at <= clock_timestamp() OR l.phase IN ('starting', 'capturing'))
  AND in_scope({scope}::jsonb, j.node_id)
GROUP BY j.node_id;

-- add_recording --
-- Makes a recording, unless its id exists.
INSERT INTO recording (id, request_digest, name, folder, node_id, profile_id, upload_policy_ids, state, created_by)
VALUES ({id}, {request_digest}, {name}, {folder}, {node_id}, {profile_id}, {upload_policy_ids}, 'queued', {created_by})
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- add_tags --
-- Gives a recording its tags.
INSERT INTO recording_tag (recording_id, tag) SELECT {recording_id}, unnest({tags}::text[])
ON CONFLICT (recording_id, tag) DO NOTHING;

-- salvage_recording --
-- Content for a recording that ended without: its state stays what it was. One that has better content stays all it was.
UPDATE recording
SET mark = 'salvaged', duration_ms = {duration_ms},
    started_at = coalesce({started_at}::timestamptz, started_at)
WHERE id = (SELECT recording_id FROM cache_file WHERE id = {cache_file_id} AND is_current);

-- set_mark --
-- What is said of content that took the place of other content.
UPDATE recording SET mark = {mark} WHERE id = {recording_id};

-- recording_state --
-- Where a recording stands in its health.
SELECT state, health FROM recording WHERE id = {recording_id} FOR NO KEY UPDATE;

-- set_health --
-- What late events make of a recording that has ended.
UPDATE recording SET health = {health} WHERE id = {recording_id};

-- queue_uploads --
-- One upload item a policy of the recording that wants its content as soon as it is cached.
INSERT INTO upload_item (id, recording_id, cache_file_id, upload_policy_id, state)
SELECT gen_random_uuid(), r.id, {cache_file_id}, p.id, 'queued'
FROM recording r
JOIN upload_policy p ON p.id = ANY(r.upload_policy_ids) AND p.trigger = 'on_recording_cached'
WHERE r.id = {recording_id}
ON CONFLICT (cache_file_id, upload_policy_id) DO NOTHING;

-- set_checksum --
-- The SHA-256 of a cached file, once.
UPDATE cache_file SET sha256 = {sha256}
WHERE id = {cache_file_id} AND state = 'cached' AND (sha256 IS NULL OR sha256 = {sha256})
RETURNING recording_id;

-- set_preview --
-- What lists draw of a recording, from the file that stands for it.
UPDATE recording SET preview = {preview}
WHERE id = {recording_id}
  AND EXISTS (SELECT FROM cache_file c WHERE c.id = {cache_file_id} AND c.recording_id = {recording_id} AND c.is_current);

-- mark_damaged --
-- A cached file that is no longer what was sealed.
UPDATE cache_file SET state = 'damaged' WHERE id = {cache_file_id} AND state = 'cached'
RETURNING recording_id, job_id;

-- cached_without_checksum --
-- Sealed files that were not read back yet.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.state = 'cached' AND c.sha256 IS NULL
ORDER BY c.cached_at
LIMIT {limit};
