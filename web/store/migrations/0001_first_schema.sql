-- Nodes, recordings, jobs with their leases, cache files, uploads and health; what `app` may do with them.

CREATE TABLE node (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    token_digest text NOT NULL,
    capacity integer NOT NULL CHECK (capacity BETWEEN 1 AND 64),
    node_run integer NOT NULL,
    change_no bigint NOT NULL,
    version text NOT NULL,
    spool_free_bytes bigint,
    spool_total_bytes bigint,
    clock_offset_ms bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Apart from node, whose row every claim locks.
CREATE TABLE node_seen (
    node_id uuid PRIMARY KEY REFERENCES node,
    last_seen_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

-- Which run came of which request, so that one that is repeated, or arrives much later, begins no other run.
CREATE TABLE run_request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node,
    request_id uuid NOT NULL,
    node_run integer NOT NULL,
    UNIQUE (node_id, request_id)
);

CREATE TABLE interface (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node,
    backend text NOT NULL,
    name text NOT NULL,
    label text NOT NULL,
    max_channels integer NOT NULL,
    sample_rates_hz integer[] NOT NULL,
    sample_types text[] NOT NULL,
    default_capture jsonb NOT NULL,
    chosen_capture jsonb,
    is_preferred boolean NOT NULL DEFAULT false,
    is_present boolean NOT NULL,
    UNIQUE (node_id, backend, name)
);
CREATE UNIQUE INDEX interface_preferred ON interface (node_id) WHERE is_preferred;

CREATE TABLE profile (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    encoding jsonb NOT NULL,
    minimum_bytes bigint NOT NULL,
    is_default boolean NOT NULL
);
CREATE UNIQUE INDEX profile_default ON profile (is_default) WHERE is_default;

INSERT INTO profile (id, name, encoding, minimum_bytes, is_default)
VALUES ('00000000-0000-7000-8000-000000000001', 'WAV as captured', '{"codec": "wav", "sample_type": null}', 128, true);

CREATE TABLE upload_policy (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    trigger text NOT NULL CHECK (trigger IN ('on_recording_cached', 'manual', 'scheduled'))
);

CREATE TABLE recording (
    id uuid PRIMARY KEY,
    request_digest text NOT NULL,
    name text NOT NULL,
    folder text NOT NULL DEFAULT '',
    node_id uuid NOT NULL REFERENCES node,
    profile_id uuid NOT NULL REFERENCES profile,
    upload_policy_ids uuid[] NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'recording', 'finishing', 'completed', 'failed', 'cancelled')),
    mark text CHECK (mark IN ('truncated', 'recovered', 'salvaged')),
    health text CHECK (health IN ('healthy', 'warning', 'critical')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    duration_ms bigint
);
CREATE INDEX recording_newest ON recording (created_at DESC, id DESC);

CREATE TABLE recording_tag (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    tag text NOT NULL,
    UNIQUE (recording_id, tag)
);
CREATE INDEX recording_tag_by_tag ON recording_tag (tag, recording_id);

-- Wide and cold: what is wanted, and how it ended. What changes every few seconds is the lease.
CREATE TABLE job (
    id uuid PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    attempt integer NOT NULL,
    node_id uuid NOT NULL REFERENCES node,
    backend text NOT NULL,
    interface text NOT NULL,
    settings jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    wish text NOT NULL CHECK (wish IN ('run', 'stop', 'cancel')),
    wish_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch integer NOT NULL,
    claim_id uuid UNIQUE,
    run_at timestamptz NOT NULL,
    ends_at timestamptz,
    -- When it is too late to take it.
    window_ends_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    reason text,
    message text,
    UNIQUE (recording_id, attempt)
);
CREATE INDEX job_due ON job (node_id, run_at, id) WHERE state = 'queued';

-- Narrow and hot. No index on expires_at, so that a renewal stays on its page.
CREATE TABLE lease (
    job_id uuid PRIMARY KEY REFERENCES job,
    node_id uuid NOT NULL REFERENCES node,
    node_run integer NOT NULL,
    epoch integer NOT NULL,
    expires_at timestamptz NOT NULL,
    phase text NOT NULL CHECK (phase IN ('starting', 'capturing', 'finishing', 'uploading')),
    frames bigint NOT NULL DEFAULT 0,
    uploaded_bytes bigint NOT NULL DEFAULT 0,
    progress_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX lease_of_node ON lease (node_id);

CREATE TABLE job_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES job,
    epoch integer NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX job_event_of_job ON job_event (job_id, id);
-- One terminal state a job, as a fact of the schema.
CREATE UNIQUE INDEX job_event_terminal ON job_event (job_id) WHERE kind IN ('completed', 'failed', 'cancelled');

CREATE TABLE cache_file (
    id uuid PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    job_id uuid NOT NULL REFERENCES job,
    epoch integer NOT NULL,
    origin text NOT NULL CHECK (origin IN ('normal', 'truncated', 'recovered', 'salvaged')),
    codec text NOT NULL,
    state text NOT NULL CHECK (state IN ('receiving', 'cached', 'removed', 'damaged')),
    is_current boolean NOT NULL,
    sha256 text,
    parts jsonb,
    facts jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cached_at timestamptz,
    CHECK (state = 'receiving' OR (parts IS NOT NULL AND facts IS NOT NULL AND cached_at IS NOT NULL))
);
CREATE INDEX cache_file_of_recording ON cache_file (recording_id);
CREATE INDEX cache_file_growing ON cache_file (job_id) WHERE state = 'receiving';
CREATE UNIQUE INDEX cache_file_current ON cache_file (recording_id) WHERE is_current;
CREATE INDEX cache_file_unread ON cache_file (cached_at) WHERE state = 'cached' AND sha256 IS NULL;

CREATE TABLE upload_item (
    id uuid PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    cache_file_id uuid NOT NULL REFERENCES cache_file,
    upload_policy_id uuid NOT NULL REFERENCES upload_policy,
    state text NOT NULL CHECK (state IN ('queued', 'uploading', 'uploaded', 'failed')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (cache_file_id, upload_policy_id)
);
CREATE INDEX upload_item_of_recording ON upload_item (recording_id);

CREATE TABLE health_event (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node,
    recording_id uuid REFERENCES recording,
    job_id uuid REFERENCES job,
    backend text,
    interface text,
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    message text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'acknowledged', 'muted', 'resolved')),
    happened_at timestamptz NOT NULL
);
CREATE INDEX health_event_newest ON health_event (happened_at DESC, id DESC);
CREATE INDEX health_event_of_recording ON health_event (recording_id, happened_at);

CREATE TABLE access_token (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE enrolment_code (
    id uuid PRIMARY KEY,
    node_name text NOT NULL,
    digest text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

-- A recording as its page shows it.
CREATE VIEW recording_card AS
SELECT r.id, r.name, r.node_id, n.name AS node_name, r.profile_id, r.state, r.mark, r.health, r.created_by, r.created_at,
       r.started_at, r.ended_at, r.duration_ms, j.backend, j.interface, j.id AS job_id, j.attempt, j.wish, j.reason, j.message,
       c.id AS cache_file_id, coalesce(c.state, 'none') AS cache_state,
       coalesce(
           (SELECT u.state FROM upload_item u WHERE u.recording_id = r.id
            ORDER BY array_position(ARRAY ['failed', 'uploading', 'queued', 'uploaded'], u.state) LIMIT 1),
           'none') AS upload_status,
       r.folder, ARRAY(SELECT t.tag FROM recording_tag t WHERE t.recording_id = r.id ORDER BY t.tag) AS tags
FROM recording r
JOIN node n ON n.id = r.node_id
JOIN LATERAL (SELECT * FROM job WHERE job.recording_id = r.id ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current;

-- A leased job as its agent is told of it: durations only.
CREATE VIEW leased_job AS
SELECT j.id AS job_id, j.recording_id, j.attempt, j.epoch, j.settings, j.wish, j.claim_id, l.node_id, l.node_run,
       greatest(0, floor(1000 * extract(epoch FROM l.expires_at - clock_timestamp())))::bigint AS lease_ms,
       greatest(0, floor(1000 * extract(epoch FROM clock_timestamp() - j.wish_at)))::bigint AS wish_age_ms,
       greatest(0, floor(1000 * extract(epoch FROM clock_timestamp() - j.created_at)))::bigint AS requested_age_ms,
       floor(1000 * extract(epoch FROM (j.settings ->> 'starts_at')::timestamptz - clock_timestamp()))::bigint AS starts_in_ms,
       floor(1000 * extract(epoch FROM j.ends_at - clock_timestamp()))::bigint AS ends_in_ms
FROM lease l
JOIN job j ON j.id = l.job_id;

-- `app` reads and writes rows, makes nothing, and cannot change the past.
GRANT USAGE ON SCHEMA public TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
REVOKE UPDATE, DELETE ON job_event FROM app;
REVOKE INSERT, UPDATE, DELETE ON migration FROM app;
