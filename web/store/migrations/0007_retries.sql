-- Several attempts at one recording.

-- Whether content of an ended job can be wanted no more. What failed may be salvaged, until a later attempt completes.
CREATE FUNCTION is_unwanted(j job) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state IN ('completed', 'cancelled')
        OR j.state = 'failed' AND (j.wish = 'cancel'
                                   OR EXISTS (SELECT FROM job later
                                              WHERE later.recording_id = j.recording_id AND later.attempt > j.attempt
                                                AND later.state = 'completed'))
$$;

-- A retry is claimed although its input is absent: what the node still holds of it needs none.

CREATE OR REPLACE FUNCTION claim_next(
    of_node uuid, run integer, claim uuid, backends text[], interfaces text[], lease_for interval, by_actor text,
    after_window interval, after_open_start interval)
RETURNS TABLE (current_run integer, leased leased_job)
LANGUAGE plpgsql AS $$
DECLARE
    this_node node;
BEGIN
    SELECT * INTO this_node FROM node WHERE id = of_node FOR NO KEY UPDATE;
    IF this_node.node_run IS DISTINCT FROM run THEN
        RETURN QUERY SELECT this_node.node_run, NULL::leased_job;
        RETURN;
    END IF;

    -- The same claim id gets the same answer, also when its job has ended.
    IF NOT EXISTS (SELECT FROM job j WHERE j.claim_id = claim AND j.node_id = of_node) THEN
        WITH capturing AS (
            SELECT count(*) AS jobs
            FROM lease l
            JOIN job j ON j.id = l.job_id
            WHERE l.node_id = of_node AND l.phase IN ('starting', 'capturing')
              AND j.wish = 'run' AND (j.ends_at IS NULL OR j.ends_at > clock_timestamp())
        ), due AS (
            SELECT j.id
            FROM job j
            WHERE (j.attempt > 1
                   OR EXISTS (SELECT FROM unnest(backends, interfaces) AS present (backend, interface)
                              WHERE present.backend = j.backend AND present.interface = j.interface))
              AND j.node_id = of_node AND j.state = 'queued' AND j.wish = 'run' AND j.run_at <= clock_timestamp()
              AND clock_timestamp() < coalesce(j.window_ends_at + after_window, j.run_at + after_open_start)
              AND (SELECT jobs FROM capturing) < this_node.capacity
            ORDER BY j.run_at, j.id
            LIMIT 1
            FOR NO KEY UPDATE OF j SKIP LOCKED
        ), claimed AS (
            UPDATE job SET state = 'running', epoch = job.epoch + 1, claim_id = claim
            FROM due WHERE job.id = due.id
            RETURNING job.id, job.epoch
        ), noted AS (
            INSERT INTO job_event (job_id, epoch, kind, actor) SELECT id, epoch, 'claimed', by_actor FROM claimed
        )
        INSERT INTO lease (job_id, node_id, node_run, epoch, expires_at, phase)
        SELECT id, of_node, run, epoch, clock_timestamp() + lease_for, 'starting' FROM claimed;
    END IF;

    RETURN QUERY
    SELECT run, l
    FROM (SELECT) one
    LEFT JOIN leased_job l ON l.claim_id = claim AND l.node_id = of_node;
END
$$;
