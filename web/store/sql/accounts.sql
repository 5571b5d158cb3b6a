-- add_first_account --
-- Makes the first account, also when two are at it, which may do everything.
WITH made AS (
    INSERT INTO user_account (id, name)
    SELECT {id}, {name} WHERE NOT EXISTS (SELECT FROM user_account)
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name
)
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT {grant_id}, made.id, r.id, 'allow', 'everything', made.name
FROM made JOIN role r ON r.is_built_in AND r.name = {role};

-- make_administrator --
-- Lets somebody do everything.
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT {grant_id}, u.id, r.id, 'allow', 'everything', u.name
FROM user_account u JOIN role r ON r.is_built_in AND r.name = {role}
WHERE u.id = {user_id};

-- add_sign_in_code --
-- Keeps the digest of a code, and no longer those that are too old.
WITH over AS (DELETE FROM sign_in_code WHERE expires_at < clock_timestamp())
INSERT INTO sign_in_code (id, digest, expires_at) VALUES ({id}, {digest}, clock_timestamp() + {valid}::interval);

-- good_sign_in_code --
-- A code that can still be spent.
SELECT id FROM sign_in_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp();

-- spend_sign_in_code --
-- Uses a code up, if it is good.
DELETE FROM sign_in_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING id;

-- add_login_session --
-- Begins a session, and forgets those of its user that have run out.
WITH over AS (DELETE FROM login_session WHERE user_id = {user_id} AND expires_at < clock_timestamp())
INSERT INTO login_session (id, user_id, digest, is_by_link, is_by_issuer, address, browser, expires_at)
VALUES ({id}, {user_id}, {digest}, {is_by_link}, {is_by_issuer}, {address}, {browser}, clock_timestamp() + {valid}::interval);

-- login_session --
-- A session that is going on and its user. That it was used is noted once a minute.
WITH found AS (
    SELECT s.id, s.last_seen_at, s.is_by_link, s.is_by_issuer, s.user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at,
           EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor,
           (SELECT second_factor FROM sign_in_rule) AS rule,
           (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = u.id) AS grants
    FROM login_session s JOIN user_account u ON u.id = s.user_id
    WHERE s.id = {id} AND s.digest = {digest} AND s.expires_at > clock_timestamp() AND u.disabled_at IS NULL
      AND s.last_seen_at > clock_timestamp() - {idle}::interval
), seen AS (
    UPDATE login_session s SET last_seen_at = clock_timestamp()
    FROM found WHERE s.id = found.id AND found.last_seen_at < clock_timestamp() - interval '1 minute'
)
SELECT * FROM found;

-- end_login_session --
-- Ends a session; controllers that stream to it hear of it.
WITH ended AS (DELETE FROM login_session WHERE id = {id} AND digest = {digest} RETURNING id, user_id)
SELECT u.id AS user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at,
       pg_notify('reelkeeper_page', json_build_object('name', 'session', 'id', ended.id, 'data', '')::text)
FROM ended JOIN user_account u ON u.id = ended.user_id;

-- take_try --
-- Counts a try, unless it comes too early; those that count no longer go.
WITH over AS (
    DELETE FROM sign_in_try
    WHERE key IN (SELECT key FROM sign_in_try WHERE last_at < clock_timestamp() - 2 * {forget}::interval
                  ORDER BY last_at LIMIT 20 FOR UPDATE SKIP LOCKED)
      AND key <> {key}
)
INSERT INTO sign_in_try AS t (key, failures, last_at, free_at)
VALUES ({key}, 1, clock_timestamp(), clock_timestamp() + {first_pause}::float8 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN t.last_at < clock_timestamp() - {forget}::interval THEN 1 ELSE t.failures + 1 END,
    last_at = clock_timestamp(),
    free_at = clock_timestamp() + CASE
        WHEN t.last_at < clock_timestamp() - {forget}::interval THEN {first_pause}::float8
        WHEN t.failures + 1 < {free}::int THEN 0
        ELSE least({first_seconds}::float8 * 2.0 ^ least(t.failures + 1 - {free}::int, 30), {longest_seconds}::float8)
    END * interval '1 second'
WHERE t.free_at <= clock_timestamp()
RETURNING key;

-- wait_of_try --
-- How long until the next try.
SELECT greatest(extract(epoch FROM free_at - clock_timestamp()), 0) AS seconds FROM sign_in_try WHERE key = {key};

-- give_back_tries --
-- Takes one try back.
UPDATE sign_in_try SET failures = greatest(failures - 1, 0), free_at = clock_timestamp()
WHERE key = ANY({keys}::text[]);

-- know_address --
-- Notes from where somebody signs in, and keeps the newest twenty.
WITH older AS (
    DELETE FROM known_address
    WHERE id IN (SELECT id FROM known_address WHERE user_id = {user_id} AND address <> {address}
                 ORDER BY last_at DESC OFFSET 19)
)
INSERT INTO known_address (user_id, address) VALUES ({user_id}, {address})
ON CONFLICT (user_id, address) DO UPDATE SET last_at = clock_timestamp();

-- account --
-- An account as it is.
SELECT u.id, u.name, u.password_hash, u.created_at, u.disabled_at IS NOT NULL AS is_disabled,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor
FROM user_account u
WHERE u.id = {user_id};

-- hold_account --
-- An account as it is, and stays until this transaction ends: no password is changed and nobody disabled meanwhile.
SELECT u.id, u.name, u.password_hash, u.created_at, u.disabled_at IS NOT NULL AS is_disabled,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor
FROM user_account u
WHERE u.id = {user_id}
FOR NO KEY UPDATE OF u;

-- add_half_sign_in --
-- Somebody whose password was right and whose second factor is awaited. Those that ran out go.
WITH over AS (DELETE FROM half_sign_in WHERE expires_at < clock_timestamp())
INSERT INTO half_sign_in (id, user_id, digest, expires_at)
VALUES ({id}, {user_id}, {digest}, clock_timestamp() + {valid}::interval);

-- half_sign_in --
-- One whose second factor is still awaited.
SELECT h.user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at
FROM half_sign_in h JOIN user_account u ON u.id = h.user_id
WHERE h.id = {id} AND h.digest = {digest} AND h.expires_at > clock_timestamp() AND u.disabled_at IS NULL;

-- end_half_sign_in --
-- Whether it was still there: it ends once.
DELETE FROM half_sign_in WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING id;

-- keep_second_factor --
-- A new secret, to be confirmed by a first code. One that is confirmed already stays.
INSERT INTO second_factor AS f (id, user_id, secret, begun_by) VALUES ({id}, {user_id}, {secret}, {begun_by})
ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, secret = excluded.secret, begun_by = excluded.begun_by, last_step = 0,
                                    created_at = clock_timestamp()
WHERE NOT f.is_confirmed
RETURNING id;

-- take_step --
-- Takes the code of these 30 seconds, once; a first one confirms the secret.
UPDATE second_factor SET last_step = {step}, is_confirmed = true
WHERE id = {id} AND last_step < {step}
RETURNING id;

-- spend_recovery_code --
-- Uses one up.
DELETE FROM recovery_code WHERE user_id = {user_id} AND digest = {digest} RETURNING id;

-- keep_recovery_codes --
-- Digests of new ones; the old ones are worth nothing any more.
WITH old AS (DELETE FROM recovery_code WHERE user_id = {user_id})
INSERT INTO recovery_code (id, user_id, digest)
SELECT id, {user_id}, digest FROM unnest({ids}::uuid[], {digests}::text[]) AS new (id, digest);

-- sessions_of --
-- Sessions that are going on, the one used last first.
SELECT id, address, browser, created_at, last_seen_at, is_by_link
FROM login_session
WHERE user_id = {user_id} AND expires_at > clock_timestamp() AND last_seen_at > clock_timestamp() - {idle}::interval
ORDER BY last_seen_at DESC, id;

-- end_sessions --
-- Ends sessions of somebody: one, or all but one.
WITH ended AS (
    DELETE FROM login_session
    WHERE user_id = {user_id} AND ({only}::uuid IS NULL OR id = {only}) AND ({but}::uuid IS NULL OR id <> {but})
    RETURNING id
), told AS (
    SELECT id, pg_notify('reelkeeper_page', json_build_object('name', 'session', 'id', id, 'data', '')::text) FROM ended
)
SELECT id FROM told;

-- sign_in_rule --
-- Who has to have a second factor.
SELECT second_factor, changed_by, changed_at FROM sign_in_rule;

-- change_sign_in_rule --
-- Changes the rule that somebody has seen, and no later one.
UPDATE sign_in_rule
SET second_factor = {rule},
    changed_by = CASE WHEN second_factor = {rule} THEN changed_by ELSE {changed_by} END,
    changed_at = CASE WHEN second_factor = {rule} THEN changed_at ELSE clock_timestamp() END
WHERE second_factor = {was}
RETURNING second_factor;

-- people_without_second_factor --
-- What those hold who come in by a password alone.
SELECT u.id, (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = u.id) AS grants
FROM user_account u
WHERE u.disabled_at IS NULL AND u.password_hash IS NOT NULL
  AND NOT EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed);
