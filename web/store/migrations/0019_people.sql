-- How people come in: invitations, second factors, single sign-on; and what keeps guessers out.

-- Which keys have sealed something here. The keys themselves lie outside the database.
CREATE TABLE sealing_key (
    id uuid PRIMARY KEY,
    proof bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE user_account
    ADD COLUMN disabled_at timestamptz,
    -- Of whom single sign-on tells: nothing else of what it says is a name of this account.
    ADD COLUMN issuer text,
    ADD COLUMN subject text,
    ADD CHECK ((issuer IS NULL) = (subject IS NULL)),
    ADD UNIQUE (issuer, subject);

ALTER TABLE login_session
    ADD COLUMN address text,
    ADD COLUMN browser text NOT NULL DEFAULT '';

-- One-time links that an administrator hands to one person; a newer one replaces the older.
CREATE TABLE invitation (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE REFERENCES user_account ON DELETE CASCADE,
    digest text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

-- Whose password was right, and whose second factor is awaited.
CREATE TABLE half_sign_in (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES user_account ON DELETE CASCADE,
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX half_sign_in_of_user ON half_sign_in (user_id);

CREATE TABLE second_factor (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE REFERENCES user_account ON DELETE CASCADE,
    secret bytea NOT NULL,
    -- A key that sealed something here cannot be dropped.
    key_id uuid NOT NULL GENERATED ALWAYS AS (encode(substring(secret FROM 2 FOR 16), 'hex')::uuid) STORED
        REFERENCES sealing_key,
    is_confirmed boolean NOT NULL DEFAULT false,
    -- The newest 30 seconds of which a code was taken: none is taken twice.
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE recovery_code (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES user_account ON DELETE CASCADE,
    digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX recovery_code_of_user ON recovery_code (user_id);

-- Tries that may be guesses: of an account, from an address, of an account from an address.
CREATE TABLE sign_in_try (
    key text PRIMARY KEY,
    failures integer NOT NULL,
    last_at timestamptz NOT NULL,
    free_at timestamptz NOT NULL
);
CREATE INDEX sign_in_try_by_age ON sign_in_try (last_at);

-- From where somebody has signed in: guesses from elsewhere do not keep that person out here.
CREATE TABLE known_address (
    id bigserial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES user_account ON DELETE CASCADE,
    address text NOT NULL,
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (user_id, address)
);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON sealing_key, invitation, half_sign_in, second_factor, recovery_code, sign_in_try, known_address TO app;
GRANT USAGE ON SEQUENCE known_address_id_seq TO app;
