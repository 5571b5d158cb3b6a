-- bar_counts --
-- What the bar over every page says. Instants are compared as sub-selects, once: then indexes help. A node that was not heard of in time is not said to record.
SELECT (SELECT count(DISTINCT r.id)
        FROM lease l
        JOIN job j ON j.id = l.job_id
        JOIN recording r ON r.id = j.recording_id
        WHERE l.expires_at > clock_timestamp() AND r.state = 'recording'
          AND in_scope({scope}::jsonb, r.node_id, r.folder)) AS running,
       (SELECT count(DISTINCT c.key) FROM concern c
        WHERE (c.lasts OR c.at > (SELECT clock_timestamp() - {since}::interval))
          AND in_scope({health}::jsonb, c.node_id, c.folder)) AS attention;

-- job_card --
-- One job of a scope, as its page shows it.
SELECT j.*, r.name AS recording_name,
       CASE WHEN in_scope({nodes}::jsonb, j.node_id) THEN n.name END AS node_name, l.phase, l.frames, l.uploaded_bytes, l.start_frame,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       c.cached_at AS salvaged_at, r.duration_ms AS salvaged_ms
FROM job j
JOIN recording r ON r.id = j.recording_id
JOIN node n ON n.id = j.node_id
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current AND c.job_id = j.id AND c.origin = 'salvaged'
WHERE j.id = {job_id} AND in_scope({scope}::jsonb, j.node_id, r.folder);

-- newest_job_cards --
-- Jobs as their pages show them: the newest of a scope, or those behind one of them. Which ones is found before
-- anything else is read of them.
WITH page AS MATERIALIZED (
    SELECT j.id
    FROM job j
    WHERE in_scope({scope}::jsonb, j.node_id, j.folder)
      AND ({recording_id}::uuid IS NULL OR j.recording_id = {recording_id})
      AND ({node_id}::uuid IS NULL OR j.node_id = {node_id})
      AND ({states}::text[] IS NULL OR j.state = ANY({states}))
      AND ({text}::text IS NULL
           OR j.interface ILIKE '%' || {text} || '%'
           OR j.reason ILIKE '%' || {text} || '%'
           OR j.node_id IN (SELECT n.id FROM node n
                            WHERE in_scope({nodes}::jsonb, n.id) AND n.name ILIKE '%' || {text} || '%')
           OR j.recording_id IN (SELECT r.id FROM recording r WHERE r.name ILIKE '%' || {text} || '%'))
      AND ({before}::uuid IS NULL OR (j.created_at, j.id) < (SELECT created_at, id FROM job WHERE id = {before}))
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT {limit}
)
SELECT j.*, r.name AS recording_name,
       CASE WHEN in_scope({nodes}::jsonb, j.node_id) THEN n.name END AS node_name, l.phase, l.frames, l.uploaded_bytes, l.start_frame,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       c.cached_at AS salvaged_at, r.duration_ms AS salvaged_ms
FROM page
JOIN job j ON j.id = page.id
JOIN recording r ON r.id = j.recording_id
JOIN node n ON n.id = j.node_id
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current AND c.job_id = j.id AND c.origin = 'salvaged'
ORDER BY j.created_at DESC, j.id DESC;

-- job_counts --
-- How many jobs stand where, and how many ended so within a day; of neither more than {limit}.
SELECT s.state, now.jobs, today.jobs AS of_today
FROM unnest({states}::text[]) AS s (state),
     LATERAL (SELECT count(*) AS jobs FROM (
         SELECT FROM job j
         WHERE j.state = s.state AND in_scope({scope}::jsonb, j.node_id, j.folder) LIMIT {limit}) found) now,
     LATERAL (SELECT count(*) AS jobs FROM (
         SELECT FROM job j
         WHERE j.state = s.state AND j.ended_at > (SELECT clock_timestamp() - interval '1 day')
           AND in_scope({scope}::jsonb, j.node_id, j.folder) LIMIT {limit}) found) today;

-- job_counts_within --
-- The same for a scope that is not everything, from the jobs of its nodes and folders alone. No folder lies in another.
WITH candidate AS (
    SELECT j.state, j.ended_at, j.node_id, j.folder
    FROM unnest({nodes}::uuid[]) AS n (id) CROSS JOIN LATERAL (SELECT * FROM job WHERE job.node_id = n.id) j
    UNION ALL
    SELECT j.state, j.ended_at, j.node_id, j.folder
    FROM unnest({folders}::text[]) AS f (name) CROSS JOIN LATERAL (
        SELECT * FROM job WHERE job.folder = f.name
        UNION ALL
        SELECT * FROM job WHERE job.folder ~>=~ (f.name || '/') AND job.folder ~<~ (f.name || '0')) j
    WHERE NOT j.node_id = ANY({nodes}::uuid[])
), found AS MATERIALIZED (
    SELECT state, ended_at > (SELECT clock_timestamp() - interval '1 day') AS is_of_today
    FROM candidate
    WHERE in_scope({scope}::jsonb, node_id, folder)
)
SELECT s.state, least(count(f.state), {limit}) AS jobs,
       least(count(f.state) FILTER (WHERE f.is_of_today), {limit}) AS of_today
FROM unnest({states}::text[]) AS s (state)
LEFT JOIN found f ON f.state = s.state
GROUP BY s.state;

-- job_history --
-- What happened to a job, oldest first.
SELECT e.kind, e.actor, e.epoch, e.at
FROM job_event e
JOIN job j ON j.id = e.job_id
JOIN recording r ON r.id = j.recording_id
WHERE e.job_id = {job_id} AND in_scope({scope}::jsonb, j.node_id, r.folder)
ORDER BY e.id;

-- request_digest --
-- What an id was first used for.
SELECT request_digest FROM recording WHERE id = {recording_id};

-- add_job --
-- Makes a job that is due a little before its start.
INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at, ends_at,
                 window_ends_at)
VALUES ({id}, {recording_id}, {attempt}, {node_id}, {backend}, {interface}, {settings}, 'queued', 'run', 0,
        coalesce({starts_at}::timestamptz - {lead}::interval, clock_timestamp()), {ends_at}::timestamptz,
        coalesce({ends_at}, coalesce({starts_at}, clock_timestamp()) + {duration}::interval));

-- last_attempt --
-- The newest attempt at a recording, and what was left by it and those before.
SELECT j.id, j.node_id, j.attempt, j.state, j.settings, w.ends_at AS window_ends_at,
       coalesce(w.ends_at <= clock_timestamp(), false) AS is_window_over,
       EXISTS (SELECT FROM cache_file c WHERE c.recording_id = j.recording_id AND c.state = 'cached') AS has_content,
       EXISTS (SELECT FROM job a WHERE a.recording_id = j.recording_id AND a.epoch > 0
               AND NOT a.reason = ANY({leaves_nothing}::text[])) AS may_be_on_node
FROM job j
CROSS JOIN LATERAL (SELECT coalesce((j.settings ->> 'ends_at')::timestamptz, j.window_ends_at) AS ends_at) w
WHERE j.recording_id = {recording_id}
ORDER BY j.attempt DESC
LIMIT 1;

-- add_retry --
-- Makes the attempt after another one.
INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at, ends_at,
                 window_ends_at)
SELECT {id}, recording_id, attempt + 1, node_id, backend, interface, {settings}, 'queued', 'run', 0,
       greatest({starts_at}::timestamptz - {lead}::interval, clock_timestamp()), {ends_at}::timestamptz,
       CASE WHEN {ends_at} > clock_timestamp() THEN {ends_at} END
FROM job WHERE id = {last_id};

-- queue_again --
-- A recording that ended waits for another attempt.
UPDATE recording
SET state = 'queued', mark = NULL, health = NULL, started_at = NULL, ended_at = NULL, duration_ms = NULL
WHERE id = {recording_id};

-- add_job_event --
-- Appends to the history of a job.
INSERT INTO job_event (job_id, epoch, kind, actor) VALUES ({job_id}, {epoch}, {kind}, {actor});

-- is_over --
-- Whether an instant is past by the database's clock.
SELECT {instant}::timestamptz <= clock_timestamp() AS is_over;

-- newest_job --
-- The attempt that acts on a recording are meant for.
SELECT id, node_id FROM job WHERE recording_id = {recording_id} ORDER BY attempt DESC LIMIT 1;

-- raise_wish --
-- A new wish for a job that is locked.
UPDATE job SET wish = {wish}, wish_at = clock_timestamp() WHERE id = {job_id};

-- end_job --
-- The end of a job and its recording, once. `superseded_by` above 0 takes the epoch from whoever held it. Where good
-- content of another attempt stands for the recording, what is said of content stays.
WITH ended AS (
    UPDATE job
    SET state = {state}, reason = {reason}, message = {message}, ended_at = clock_timestamp(), lost_at = {lost_at},
        epoch = epoch + {superseded_by}::integer
    WHERE id = {job_id} AND epoch = {epoch} AND state IN ('queued', 'running')
    RETURNING id, recording_id, node_id, epoch
), left_behind AS (
    DELETE FROM lease USING ended WHERE lease.job_id = ended.id
), noted AS (
    INSERT INTO job_event (job_id, epoch, kind, actor) SELECT id, epoch, {state}, {actor} FROM ended
), other AS (
    SELECT FROM cache_file c JOIN ended ON c.recording_id = ended.recording_id
    WHERE c.is_current AND c.state = 'cached' AND c.job_id <> ended.id
), recording_ended AS (
    UPDATE recording r
    SET state = {state}, health = {health}, ended_at = clock_timestamp(),
        mark = CASE WHEN EXISTS (SELECT FROM other) THEN r.mark ELSE {mark} END,
        duration_ms = CASE WHEN EXISTS (SELECT FROM other) THEN r.duration_ms ELSE {duration_ms} END,
        started_at = CASE WHEN EXISTS (SELECT FROM other) THEN r.started_at
                          ELSE coalesce({started_at}::timestamptz, r.started_at) END
    FROM ended WHERE r.id = ended.recording_id AND r.state IN ('queued', 'recording', 'finishing')
)
SELECT ended.id,
       pg_notify('reelkeeper_page', json_build_object(
           'name', 'recording', 'id', r.id, 'node_id', ended.node_id, 'folder', r.folder,
           'data', concat_ws(' ', r.id, {state}::text))::text),
       pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', ended.id, 'node_id', ended.node_id, 'folder', r.folder,
           'data', concat_ws(' ', ended.id, {state}::text))::text)
FROM ended JOIN recording r ON r.id = ended.recording_id;

-- lost_jobs --
-- Leases that ran out longer ago than the grace of their phase. Locked rows are being renewed or ended: not lost.
SELECT j.id, j.recording_id, j.epoch, j.wish, l.phase, l.expires_at - {lease}::interval AS last_renewed_at,
       n.id AS node_id, n.name AS node_name
FROM lease l
JOIN job j ON j.id = l.job_id
JOIN node n ON n.id = j.node_id
WHERE CASE l.phase
          WHEN 'starting' THEN l.expires_at < clock_timestamp() - {grace_starting}::interval
          WHEN 'uploading' THEN l.expires_at < clock_timestamp()
                                AND l.progress_at < clock_timestamp() - {grace_uploading}::interval
          ELSE l.expires_at < clock_timestamp() - {grace_capturing}::interval
      END
ORDER BY j.id
LIMIT {limit}
FOR NO KEY UPDATE OF j, l SKIP LOCKED;

-- unclaimed_jobs --
-- Due starts that no node took. A planned window that is still open can be taken late: those are answered once, until
-- the event that tells of it is there.
SELECT j.id, j.recording_id, j.epoch, n.id AS node_id, n.name AS node_name,
       coalesce(s.last_seen_at > clock_timestamp() - {node_not_seen}::interval, false) AS is_node_seen,
       n.is_draining AS is_node_draining, w.window
FROM job j
JOIN node n ON n.id = j.node_id
LEFT JOIN node_seen s ON s.node_id = n.id
CROSS JOIN LATERAL (
    SELECT CASE WHEN j.window_ends_at < clock_timestamp() - {unclaimed}::interval THEN 'over'
                WHEN j.window_ends_at IS NULL OR j.settings ->> 'starts_at' IS NULL THEN 'none'
                ELSE 'open' END AS window
) w
WHERE j.state = 'queued' AND j.run_at < clock_timestamp() - {unclaimed}::interval
  AND (w.window <> 'open'
       OR NOT EXISTS (SELECT FROM health_event e WHERE e.recording_id = j.recording_id AND e.kind = 'not_claimed'))
ORDER BY j.id
LIMIT {limit}
FOR NO KEY UPDATE OF j SKIP LOCKED;
