-- Who changed a role or a profile last, so that nobody overwrites what he has not seen; and how far the first run is.

ALTER TABLE role
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN changed_by text,
    ADD COLUMN changed_at timestamptz;

ALTER TABLE profile
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN changed_by text,
    ADD COLUMN changed_at timestamptz;

-- Of a code only its digest is kept.
CREATE TABLE setup_code (
    id uuid PRIMARY KEY,
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

-- The one first run of an installation: whose it is, what was chosen, how far it came.
CREATE TABLE setup (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    user_id uuid NOT NULL REFERENCES user_account ON DELETE CASCADE,
    step text NOT NULL CHECK (step IN ('recorder', 'input', 'try', 'done')),
    node_id uuid REFERENCES node ON DELETE SET NULL,
    interface_id uuid REFERENCES interface ON DELETE SET NULL,
    recording_id uuid REFERENCES recording ON DELETE SET NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    -- When its list of leftovers was put away.
    put_away_at timestamptz
);

GRANT SELECT, INSERT, UPDATE, DELETE ON setup_code, setup TO app;
