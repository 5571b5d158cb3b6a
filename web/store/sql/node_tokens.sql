-- add_node_token --
-- A token that a node may take up. Those that ended long ago are forgotten.
WITH forgotten AS (
    DELETE FROM node_token
    WHERE node_id = {node_id} AND ended_at < clock_timestamp() - {life}::interval - {grace}::interval
)
INSERT INTO node_token (id, node_id, digest, renew_at, expires_at)
VALUES ({id}, {node_id}, {digest}, clock_timestamp() + {life}::interval / 2, clock_timestamp() + {life})
ON CONFLICT (digest) DO NOTHING;

-- node_token --
-- A token by its digest, as it stands.
SELECT t.id, n.id AS node_id, n.name, c.certificate, c.next_certificate, t.used_at IS NULL AS is_new, t.ended_by,
       t.expires_at > clock_timestamp() AS is_fresh,
       t.expires_at > clock_timestamp() - {grace}::interval AS is_exchanged,
       coalesce(t.ended_at < clock_timestamp() - {tolerated}::interval, false) AS is_long_ended
FROM node_token t
JOIN node n ON n.id = t.node_id
LEFT JOIN node_certificate c ON c.node_id = n.id
WHERE t.digest = {digest} AND t.node_id = {node_id};

-- use_node_token --
-- The first use of a token ends every other of its node.
WITH used AS (
    UPDATE node_token SET used_at = clock_timestamp()
    WHERE id = {id} AND used_at IS NULL AND ended_at IS NULL
    RETURNING id, node_id
)
UPDATE node_token t SET ended_at = clock_timestamp(), ended_by = 'successor'
FROM used
WHERE t.node_id = used.node_id AND t.id <> used.id AND t.ended_at IS NULL;

-- node_tokens --
-- The tokens of a node that are good for anything, newest first.
SELECT created_at, expires_at, used_at, renew_at <= clock_timestamp() AS is_due
FROM node_token
WHERE node_id = {node_id} AND ended_at IS NULL AND expires_at > clock_timestamp() - {grace}::interval
ORDER BY created_at DESC, id DESC;

-- renew_node_tokens --
-- The agent of a node is asked for another token when it is heard next.
UPDATE node_token SET renew_at = clock_timestamp()
WHERE node_id = {node_id} AND ended_at IS NULL AND renew_at > clock_timestamp();

-- end_node_tokens --
-- From now on no token of a node is good.
UPDATE node_token SET ended_at = clock_timestamp(), ended_by = {ended_by}
WHERE node_id = {node_id} AND ended_at IS NULL
RETURNING id;

-- keep_certificate --
-- What a node shows from now on, and what it may show next.
INSERT INTO node_certificate (node_id, certificate, next_certificate) VALUES ({node_id}, {certificate}, {following})
ON CONFLICT (node_id) DO UPDATE SET certificate = excluded.certificate, next_certificate = excluded.next_certificate;

-- node_certificates --
-- What a node is known by besides its token.
SELECT certificate, next_certificate FROM node_certificate WHERE node_id = {node_id};

-- fence_node --
-- Agents of earlier runs are refused from now on.
UPDATE node SET node_run = node_run + 1, version = {version} WHERE id = {node_id} RETURNING node_run;
