-- People: their accounts, their sessions, and one-time links. Of every secret only a digest is kept.

CREATE TABLE user_account (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE login_session (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES user_account,
    digest text NOT NULL,
    is_by_link boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- To the minute, so that most requests write nothing.
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX login_session_of_user ON login_session (user_id);

CREATE TABLE sign_in_code (
    id uuid PRIMARY KEY,
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON user_account, login_session, sign_in_code TO app;
