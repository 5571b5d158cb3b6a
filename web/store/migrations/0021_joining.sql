-- Nodes join by codes that can be taken back, with tokens that are followed by others; people name, group and drain them.

CREATE TABLE node_token (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node,
    digest text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on its agent is asked for a successor.
    renew_at timestamptz NOT NULL,
    -- From then on it is good for nothing but asking for a successor.
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    ended_at timestamptz,
    ended_by text CHECK (ended_by IN ('successor', 'revocation', 'joining', 'removal')),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX node_token_of_node ON node_token (node_id, created_at);

INSERT INTO node_token (id, node_id, digest, renew_at, expires_at, used_at)
SELECT gen_random_uuid(), id, token_digest, clock_timestamp(), clock_timestamp() + interval '30 days', clock_timestamp()
FROM node;

ALTER TABLE node DROP COLUMN token_digest;
ALTER TABLE node
    ADD COLUMN location text NOT NULL DEFAULT '',
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    -- An IANA zone; empty is not said.
    ADD COLUMN site_zone text NOT NULL DEFAULT '',
    -- It takes on nothing new.
    ADD COLUMN is_draining boolean NOT NULL DEFAULT false,
    -- Its recordings stay, and its name is free.
    ADD COLUMN removed_at timestamptz;
ALTER TABLE node DROP CONSTRAINT node_name_key;
CREATE UNIQUE INDEX node_name ON node (name) WHERE removed_at IS NULL;

ALTER TABLE interface
    -- What people call it; survives the device.
    ADD COLUMN given_label text,
    -- By channel from the first on; empty is not named.
    ADD COLUMN channel_labels text[] NOT NULL DEFAULT '{}',
    ADD COLUMN is_enabled boolean NOT NULL DEFAULT true;

ALTER TABLE enrolment_code
    -- The node that joins again by it; else it makes one.
    ADD COLUMN rejoins uuid REFERENCES node,
    ADD COLUMN address_range text,
    ADD COLUMN revoked_at timestamptz;
CREATE INDEX enrolment_code_open ON enrolment_code (expires_at) WHERE used_at IS NULL AND revoked_at IS NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON node_token TO app;

-- Whether the agent of a node is to ask for another token.
CREATE FUNCTION token_is_due(of_node uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT NOT EXISTS (SELECT FROM node_token t
                       WHERE t.node_id = of_node AND t.ended_at IS NULL AND t.renew_at > clock_timestamp())
$$;

-- What a node is told of inputs that are captured before anybody starts: none where nothing new may begin.
CREATE OR REPLACE FUNCTION armed_inputs(of_node uuid) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'interface', jsonb_build_object('backend', i.backend, 'name', i.name),
        'capture', coalesce(i.chosen_capture, i.default_capture),
        'preroll_ms', i.preroll_seconds * 1000) ORDER BY i.backend, i.name), '[]')
    FROM interface i
    JOIN node n ON n.id = i.node_id
    WHERE i.node_id = of_node AND i.preroll_seconds > 0 AND i.is_enabled AND NOT n.is_draining
$$;

-- As before; a node that drains takes no more than what is left to be delivered.
CREATE OR REPLACE FUNCTION claim_next(
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
              AND ((SELECT jobs FROM capturing) < this_node.capacity AND NOT this_node.is_draining
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
