-- people --
-- Everybody with an account, or one, or one group.
SELECT u.id, u.name, u.created_at, u.disabled_at, u.password_hash IS NOT NULL AS has_password,
       u.issuer, u.subject,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor,
       (SELECT i.expires_at FROM invitation i WHERE i.user_id = u.id AND i.expires_at > clock_timestamp()) AS invited_until,
       (SELECT max(s.last_seen_at) FROM login_session s WHERE s.user_id = u.id) AS last_seen_at,
       ARRAY(SELECT g.name FROM user_group_member m JOIN user_group g ON g.id = m.user_group_id
             WHERE m.user_id = u.id ORDER BY lower(g.name)) AS groups
FROM user_account u
WHERE ({user_id}::uuid IS NULL OR u.id = {user_id})
ORDER BY lower(u.name), u.id;

-- add_account --
-- A new account, unless somebody is called so.
INSERT INTO user_account (id, name, issuer, subject)
SELECT {id}, {name}, {issuer}::text, {subject}::text
WHERE NOT EXISTS (SELECT FROM user_account WHERE lower(name) = lower({name}))
ON CONFLICT DO NOTHING
RETURNING id;

-- keep_invitation --
-- The one link of somebody; one that was made before is worth nothing any more.
INSERT INTO invitation (id, user_id, digest, created_by, expires_at)
VALUES ({id}, {user_id}, {digest}, {created_by}, clock_timestamp() + {valid}::interval)
ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, digest = excluded.digest, created_by = excluded.created_by,
                                    created_at = clock_timestamp(), expires_at = excluded.expires_at
RETURNING expires_at;

-- invitation --
-- A link that can still be used.
SELECT i.id, i.user_id, u.name, u.password_hash IS NOT NULL AS has_password
FROM invitation i JOIN user_account u ON u.id = i.user_id
WHERE i.id = {id} AND i.digest = {digest} AND i.expires_at > clock_timestamp() AND u.disabled_at IS NULL;

-- people_with_reset_links --
-- Who can come in already, and has a link that can still be used.
SELECT i.user_id
FROM invitation i JOIN user_account u ON u.id = i.user_id
WHERE i.expires_at > clock_timestamp() AND (u.password_hash IS NOT NULL OR u.subject IS NOT NULL);

-- spend_invitation --
-- Uses it up.
DELETE FROM invitation WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING user_id;

-- set_disabled --
-- Whether that is new.
UPDATE user_account SET disabled_at = CASE WHEN {is_disabled}::bool THEN clock_timestamp() END
WHERE id = {user_id} AND (disabled_at IS NOT NULL) <> {is_disabled}::bool
RETURNING id;

-- end_entries --
-- Links and half-finished sign-ins of somebody are worth nothing any more.
WITH links AS (DELETE FROM invitation WHERE user_id = {user_id})
DELETE FROM half_sign_in WHERE user_id = {user_id};

-- user_groups --
-- Groups with their members; one of them when its id is given.
SELECT g.id, g.name,
       coalesce(jsonb_agg(jsonb_build_array(u.id, u.name) ORDER BY u.name) FILTER (WHERE u.id IS NOT NULL), '[]') AS members
FROM user_group g
LEFT JOIN user_group_member m ON m.user_group_id = g.id
LEFT JOIN user_account u ON u.id = m.user_id
WHERE {group_id}::uuid IS NULL OR g.id = {group_id}
GROUP BY g.id
ORDER BY lower(g.name);

-- join_group --
-- Makes somebody a member of a group, once.
INSERT INTO user_group_member (user_group_id, user_id) VALUES ({group_id}, {user_id}) ON CONFLICT DO NOTHING RETURNING id;

-- leave_group --
-- Makes somebody no member of a group any more.
DELETE FROM user_group_member WHERE user_group_id = {group_id} AND user_id = {user_id} RETURNING id;
