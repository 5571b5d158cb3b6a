-- held_grants --
-- What somebody holds.
SELECT jsonb_agg(to_jsonb(g)) AS grants FROM held_grant g WHERE g.user_id = {user_id};

-- administrators --
-- People who may give rights to others.
SELECT u.name
FROM user_account u
WHERE u.disabled_at IS NULL
  AND EXISTS (SELECT FROM held_grant g WHERE g.user_id = u.id AND g.effect = 'allow' AND g.scope_kind = 'everything'
                AND {permission} = ANY(g.permissions))
  AND NOT EXISTS (SELECT FROM held_grant g WHERE g.user_id = u.id AND g.effect = 'deny' AND g.scope_kind = 'everything'
                  AND {permission} = ANY(g.permissions))
ORDER BY u.name
LIMIT {limit};

-- stored_roles --
-- Roles with how often they are given, those that come with Reelkeeper first; one of them when its id is given.
SELECT r.*, (SELECT count(*) FROM access_grant g WHERE g.role_id = r.id) AS uses
FROM role r
WHERE {role_id}::uuid IS NULL OR r.id = {role_id}
ORDER BY NOT r.is_built_in, CASE WHEN r.is_built_in THEN r.id::text ELSE lower(r.name) END, r.name;

-- change_role --
-- Changes the version that somebody has seen, and no later one.
UPDATE role
SET name = {name}, description = {description}, permissions = {permissions}, version = version + 1,
    changed_by = {changed_by}, changed_at = clock_timestamp()
WHERE id = {id} AND version = {version} AND NOT is_built_in
RETURNING id;

-- grants_in_words --
-- Grants with the names of what they are about: of one user with those that come by groups, of one group, of one role,
-- within one group of nodes, one of them, or all.
SELECT g.id, g.user_id, g.user_group_id, coalesce(u.name, ug.name) AS holder_name, r.id AS role_id, r.name AS role_name,
       r.permissions, g.effect, g.scope_kind, coalesce(g.node_id, g.node_group_id) AS place_id,
       coalesce(n.name, ng.name, g.folder, '') AS place_name, g.folder,
       CASE g.scope_kind
           WHEN 'node' THEN ARRAY [g.node_id]
           WHEN 'node_group'
               THEN ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.node_group_id)
           ELSE '{}'::uuid[]
       END AS nodes, g.created_by, g.created_at
FROM access_grant g
JOIN role r ON r.id = g.role_id
LEFT JOIN user_account u ON u.id = g.user_id
LEFT JOIN user_group ug ON ug.id = g.user_group_id
LEFT JOIN node n ON n.id = g.node_id
LEFT JOIN node_group ng ON ng.id = g.node_group_id
WHERE ({user_id}::uuid IS NULL OR g.user_id = {user_id}
       OR g.user_group_id IN (SELECT m.user_group_id FROM user_group_member m WHERE m.user_id = {user_id}))
  AND ({group_id}::uuid IS NULL OR g.user_group_id = {group_id})
  AND ({role_id}::uuid IS NULL OR g.role_id = {role_id})
  AND ({node_group_id}::uuid IS NULL OR g.node_group_id = {node_group_id})
  AND ({grant_id}::uuid IS NULL OR g.id = {grant_id})
ORDER BY g.user_id IS NULL, holder_name, g.effect, r.name, g.scope_kind, place_name, g.id;

-- add_grant --
-- Gives a role to somebody, once.
INSERT INTO access_grant (id, user_id, user_group_id, role_id, effect, scope_kind, node_id, node_group_id, folder, created_by)
VALUES ({id}, {user_id}, {group_id}, {role_id}, {effect}, {scope_kind}, {node_id}, {node_group_id}, {folder}, {created_by})
ON CONFLICT DO NOTHING
RETURNING id;

-- perhaps_administrators --
-- People who are not disabled and were given all of these permissions on everything, whatever may be denied to them.
SELECT u.id, u.password_hash IS NOT NULL OR u.subject IS NOT NULL AS can_sign_in
FROM user_account u
WHERE u.disabled_at IS NULL
  AND EXISTS (SELECT FROM held_grant g
              WHERE g.user_id = u.id AND g.effect = 'allow' AND g.scope_kind = 'everything'
                AND g.permissions @> {permissions}::text[])
ORDER BY u.id;
