-- hold_sealing_keys --
-- Nobody else adds or forgets a key until this transaction ends.
SELECT pg_advisory_xact_lock(7233520);

-- add_sealing_key --
-- Notes that a key seals from now on.
INSERT INTO sealing_key (id, proof) VALUES ({id}, {proof}) ON CONFLICT (id) DO NOTHING;

-- add_setup_code --
-- Keeps the digest of a code of the first run, and no longer those that are too old.
WITH gone AS (DELETE FROM setup_code WHERE expires_at < clock_timestamp())
INSERT INTO setup_code (id, digest, expires_at) VALUES ({id}, {digest}, clock_timestamp() + {valid}::interval);

-- good_setup_code --
-- Whether a code of the first run could be spent.
SELECT id FROM setup_code
WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() AND NOT EXISTS (SELECT FROM user_account);

-- spend_setup_codes --
-- Spends a code of the first run once; with it all others end.
WITH spent AS (
    DELETE FROM setup_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp()
    RETURNING id
), others AS (
    DELETE FROM setup_code WHERE id <> {id} AND EXISTS (SELECT FROM spent)
)
SELECT id FROM spent;

-- begin_setup --
-- The first run of this installation, once.
INSERT INTO setup (user_id, step) VALUES ({user_id}, {step}) ON CONFLICT DO NOTHING;

-- end_setup --
-- The first run was gone through; its leftovers may be put away.
UPDATE setup
SET step = 'done', finished_at = coalesce(finished_at, clock_timestamp()),
    put_away_at = CASE WHEN {put_away}::boolean THEN coalesce(put_away_at, clock_timestamp()) ELSE put_away_at END;

-- change_profile --
-- Makes a profile that is locked its next version.
UPDATE profile
SET name = {name}, encoding = {encoding}, channel_mode = {channel_mode}, minimum_bytes = {minimum_bytes},
    length_limit_ms = {length_limit_ms}, size_limit_bytes = {size_limit_bytes}, idle_limit_ms = {idle_limit_ms},
    version = version + 1, changed_by = {changed_by}, changed_at = clock_timestamp()
WHERE id = {id};

-- add_profile --
-- A profile that is not the default.
INSERT INTO profile (id, name, encoding, channel_mode, minimum_bytes, length_limit_ms, size_limit_bytes, idle_limit_ms,
                     is_default, changed_by)
VALUES ({id}, {name}, {encoding}, {channel_mode}, {minimum_bytes}, {length_limit_ms}, {size_limit_bytes},
        {idle_limit_ms}, false, {changed_by});

-- profile_uses --
-- How many recordings were made with each profile.
SELECT profile_id, count(*) AS recordings FROM recording GROUP BY profile_id;

-- database_facts --
-- Version, size and newest migration of this database, and its present connections.
SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes,
       coalesce((SELECT max(name) FROM migration), '') AS newest_migration,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections;
