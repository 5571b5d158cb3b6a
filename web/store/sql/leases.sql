-- claim_next --
-- Leases the first due job of a node, if it may capture one more, or answers an earlier claim of this id again.
SELECT current_run, (leased).*,
       CASE WHEN (leased).job_id IS NOT NULL THEN pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', (leased).job_id, 'node_id', {node_id}::uuid,
           'data', concat_ws(' ', (leased).job_id, 'running'))::text) END
FROM claim_next({node_id}, {node_run}, {claim_id}, {backends}, {interfaces}, {lease}, {actor}, {after_window},
                {after_open_start}, {number});

-- leased_of_node --
-- Everything that a node holds.
SELECT * FROM leased_job WHERE node_id = {node_id} ORDER BY job_id;

-- beat --
-- A sign of life, and what every heartbeat is answered with and checked against. A crash may forget this transaction:
-- that only shortens leases, and the rescuer waits after a restart.
WITH seen AS (
    INSERT INTO node_seen (node_id, last_seen_at) VALUES ({node_id}, clock_timestamp())
    ON CONFLICT (node_id) DO UPDATE SET last_seen_at = excluded.last_seen_at
)
SELECT node_run, change_no, watched_inputs(id) AS watched, armed_inputs(id) AS armed, token_is_due(id) AS is_token_due,
       set_config('synchronous_commit', 'off', true)
FROM node WHERE id = {node_id};

-- must_last --
-- What a page shows is not forgotten: undoes what `beat` set.
SET LOCAL synchronous_commit = on;

-- node_news --
-- What every heartbeat is answered with and checked against.
SELECT node_run, change_no, watched_inputs(id) AS watched, armed_inputs(id) AS armed, token_is_due(id) AS is_token_due
FROM node WHERE id = {node_id};

-- renew_leases --
-- Renews what this run still holds, expired or not, and answers every reported job. Late duplicates take nothing back.
WITH reported AS (
    SELECT * FROM unnest({job_ids}::uuid[], {epochs}::integer[], {phases}::text[], {frames}::bigint[],
                         {uploaded_bytes}::bigint[], {start_frames}::bigint[])
             AS r (job_id, epoch, phase, frames, uploaded_bytes, start_frame)
), held AS (
    SELECT l.job_id, l.phase AS phase_before, r.frames, r.uploaded_bytes, r.start_frame,
           CASE WHEN array_position(p.phases, r.phase) > array_position(p.phases, l.phase) THEN r.phase ELSE l.phase END
               AS phase
    FROM lease l
    JOIN reported r ON r.job_id = l.job_id AND r.epoch = l.epoch
    CROSS JOIN (SELECT ARRAY ['starting', 'capturing', 'finishing', 'uploading'] AS phases) p
    WHERE l.node_id = {node_id} AND l.node_run = {node_run}
    ORDER BY l.job_id
    FOR NO KEY UPDATE OF l
), renewed AS (
    UPDATE lease l
    SET expires_at = clock_timestamp() + {lease}::interval, phase = h.phase, frames = greatest(l.frames, h.frames),
        uploaded_bytes = greatest(l.uploaded_bytes, h.uploaded_bytes),
        start_frame = coalesce(l.start_frame, h.start_frame),
        progress_at = CASE WHEN h.uploaded_bytes > l.uploaded_bytes OR h.phase <> l.phase
                           THEN clock_timestamp() ELSE l.progress_at END
    FROM held h WHERE l.job_id = h.job_id
    RETURNING l.job_id, l.phase, l.frames, h.phase_before
)
SELECT r.job_id, j.recording_id, coalesce(j.wish, 'run') AS wish,
       coalesce(greatest(0, floor(1000 * extract(epoch FROM clock_timestamp() - j.wish_at))), 0)::bigint AS wish_age_ms,
       renewed.phase, renewed.phase_before,
       1000 * renewed.frames / (j.settings -> 'capture' ->> 'sample_rate_hz')::bigint AS length_ms,
       CASE WHEN renewed.job_id IS NOT NULL THEN 'renewed'
            WHEN j.state IN ('queued', 'running') THEN 'superseded'
            ELSE 'ended' END AS standing
FROM reported r
LEFT JOIN job j ON j.id = r.job_id AND j.node_id = {node_id}
LEFT JOIN renewed ON renewed.job_id = r.job_id
ORDER BY r.job_id;

-- follow_phase --
-- The recording's state follows what its job is doing, forward only. It began as long ago as it is long.
UPDATE recording
SET state = {state}, started_at = coalesce(started_at, clock_timestamp() - {length}::interval)
WHERE id = {recording_id} AND state IN ('queued', 'recording') AND state <> {state}
RETURNING id;
