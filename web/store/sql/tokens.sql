-- add_access_token --
-- Keeps the digest of a token of a person; of two ends the earlier one counts.
INSERT INTO access_token (id, name, digest, user_id, permissions, node_ids, folders, expires_at, created_by)
VALUES ({id}, {name}, {digest}, {user_id}, {permissions}, {node_ids}, {folders},
        least(clock_timestamp() + {valid}::interval, {not_after}::timestamptz), {created_by});

-- access_tokens --
-- One token, or the newest of one owner or of all, or those behind one.
SELECT t.*, u.name AS owner_name, coalesce(t.expires_at <= clock_timestamp(), false) AS is_expired
FROM access_token t
LEFT JOIN user_account u ON u.id = t.user_id
WHERE ({token_id}::uuid IS NULL OR t.id = {token_id})
  AND ({user_id}::uuid IS NULL OR t.user_id = {user_id})
  AND ({before}::uuid IS NULL OR t.id < {before})
ORDER BY t.id DESC
LIMIT {limit};

-- presented_token --
-- A token that somebody shows, with what its owner holds now.
SELECT t.*, u.name AS owner_name, coalesce(t.expires_at <= clock_timestamp(), false) AS is_expired,
       u.disabled_at IS NOT NULL AS is_owner_disabled,
       t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - interval '1 minute' AS is_use_old,
       (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = t.user_id) AS grants
FROM access_token t
LEFT JOIN user_account u ON u.id = t.user_id
WHERE t.id = {id};

-- note_token_use --
-- When and from where a token was used, to the minute.
UPDATE access_token SET last_used_at = clock_timestamp(), last_used_from = {address} WHERE id = {id};

-- remove_access_token --
-- A token that is revoked.
DELETE FROM access_token WHERE id = {id};

-- good_tokens_of --
-- How many tokens of somebody have not run out.
SELECT count(*) AS number FROM access_token
WHERE user_id = {user_id} AND (expires_at IS NULL OR expires_at > clock_timestamp());

-- remove_tokens_of --
-- All tokens of somebody, which are revoked.
DELETE FROM access_token WHERE user_id = {user_id} RETURNING id, name;

-- forget_kept_answers --
-- Of a token, those that are too old to be asked for again.
DELETE FROM kept_answer WHERE token_id = {token_id} AND created_at < clock_timestamp() - {valid}::interval;

-- keep_answer --
-- What a request with a key of its client was answered.
INSERT INTO kept_answer (id, token_id, key, request_digest, status, answer)
VALUES ({id}, {token_id}, {key}, {request_digest}, {status}, {answer});

-- kept_answer --
-- What a key was used for, unless that is too long ago.
SELECT id, request_digest, status, answer FROM kept_answer
WHERE token_id = {token_id} AND key = {key} AND created_at >= clock_timestamp() - {valid}::interval;

-- add_boundless_token --
-- Keeps the digest of a token that belongs to nobody.
INSERT INTO access_token (id, name, digest, created_by) VALUES ({id}, {name}, {digest}, {created_by});
