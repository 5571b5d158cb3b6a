-- A claim that arrives behind a later one of the same run leases nothing: its agent has forgotten it, and nobody would
-- capture. Claims are numbered as they are sent; 0 is an agent that does not number them.
ALTER TABLE node_seen
    ADD COLUMN claim_run integer NOT NULL DEFAULT 0,
    ADD COLUMN claim_number bigint NOT NULL DEFAULT 0;

-- A retry whose window is over only delivers what the node still holds: it needs no room among the captures.
DROP FUNCTION claim_next(uuid, integer, uuid, text[], text[], interval, text, interval, interval);

CREATE FUNCTION claim_next(
    of_node uuid, run integer, claim uuid, backends text[], interfaces text[], lease_for interval, by_actor text,
    after_window interval, after_open_start interval, number bigint DEFAULT 0)
RETURNS TABLE (current_run integer, leased leased_job)
LANGUAGE plpgsql AS $$
DECLARE
    this_node node;
    is_late boolean := false;
BEGIN
    SELECT * INTO this_node FROM node WHERE id = of_node FOR NO KEY UPDATE;
    IF this_node.node_run IS DISTINCT FROM run THEN
        RETURN QUERY SELECT this_node.node_run, NULL::leased_job;
        RETURN;
    END IF;

    IF number > 0 THEN
        INSERT INTO node_seen (node_id, last_seen_at, claim_run, claim_number)
        VALUES (of_node, clock_timestamp(), run, number)
        ON CONFLICT (node_id) DO UPDATE
        SET last_seen_at = excluded.last_seen_at, claim_run = excluded.claim_run, claim_number = excluded.claim_number
        WHERE (node_seen.claim_run, node_seen.claim_number) < (excluded.claim_run, excluded.claim_number);
        is_late := NOT FOUND;
    END IF;

    -- The same claim id gets the same answer, also when its job has ended.
    IF NOT is_late AND NOT EXISTS (SELECT FROM job j WHERE j.claim_id = claim AND j.node_id = of_node) THEN
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
              AND ((SELECT jobs FROM capturing) < this_node.capacity
                   OR (j.attempt > 1 AND j.ends_at <= clock_timestamp()))
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
