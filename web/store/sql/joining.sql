-- add_enrolment_code --
-- Keeps the digest of a code, and no longer those that were over long ago.
WITH over AS (DELETE FROM enrolment_code WHERE expires_at < clock_timestamp() - interval '90 days')
INSERT INTO enrolment_code (id, node_name, rejoins, address_range, digest, created_by, expires_at)
VALUES ({id}, {node_name}, {rejoins}, {address_range}, {digest}, {created_by}, clock_timestamp() + {valid}::interval)
RETURNING expires_at;

-- enrolment_code --
-- A code by its digest, whatever has become of it.
SELECT id, node_name, rejoins, address_range FROM enrolment_code WHERE id = {id} AND digest = {digest};

-- use_enrolment_code --
-- Uses a code up, if it is good.
UPDATE enrolment_code SET used_at = clock_timestamp()
WHERE id = {id} AND digest = {digest} AND used_at IS NULL AND revoked_at IS NULL AND expires_at > clock_timestamp()
RETURNING id;

-- revoke_enrolment_code --
-- Nobody joins by it any more.
UPDATE enrolment_code SET revoked_at = clock_timestamp() WHERE id = {id} AND used_at IS NULL AND revoked_at IS NULL
RETURNING id;

-- enrolment_codes --
-- One code, or all that can still be used; never their secrets.
SELECT c.id, c.node_name, coalesce(c.rejoins, c.id) AS node_id, c.rejoins IS NOT NULL AS is_rejoining, c.address_range,
       c.created_by, c.created_at, c.expires_at, extract(epoch FROM clock_timestamp() - c.created_at)::float8 AS age_seconds,
       CASE WHEN c.used_at IS NOT NULL AND s.last_seen_at > c.used_at
                 AND EXISTS (SELECT FROM interface i WHERE i.node_id = s.node_id) THEN 'reported'
            WHEN c.used_at IS NOT NULL THEN 'joined'
            WHEN c.revoked_at IS NOT NULL THEN 'revoked'
            WHEN c.expires_at <= clock_timestamp() THEN 'expired'
            ELSE 'open' END AS state
FROM enrolment_code c
LEFT JOIN node_seen s ON s.node_id = coalesce(c.rejoins, c.id)
WHERE CASE WHEN {code_id}::uuid IS NULL
           THEN c.used_at IS NULL AND c.revoked_at IS NULL AND c.expires_at > clock_timestamp()
           ELSE c.id = {code_id} END
ORDER BY c.created_at DESC, c.id DESC;
