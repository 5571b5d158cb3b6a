-- What somebody holds is read with every request, and what is open hears when it changes.

-- Each grant of each user, of his own and by his groups; a node group counts with the nodes that it has now.
CREATE VIEW held_grant AS
SELECT h.user_id, r.permissions, g.effect, g.scope_kind,
       CASE g.scope_kind
           WHEN 'node' THEN ARRAY [g.node_id]
           WHEN 'node_group'
               THEN ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.node_group_id)
           ELSE '{}'
       END AS nodes, g.folder
FROM (
    SELECT id, user_id FROM access_grant WHERE user_id IS NOT NULL
    UNION ALL
    SELECT g.id, m.user_id FROM access_grant g JOIN user_group_member m ON m.user_group_id = g.user_group_id
) h
JOIN access_grant g ON g.id = h.id
JOIN role r ON r.id = g.role_id;
GRANT SELECT ON held_grant TO app;

-- Until now every account could do everything.
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT gen_random_uuid(), u.id, r.id, 'allow', 'everything', 'upgrade'
FROM user_account u
JOIN role r ON r.is_built_in AND r.name = 'administrator'
WHERE NOT EXISTS (SELECT FROM access_grant g WHERE g.user_id = u.id);

CREATE FUNCTION tell_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('reelkeeper_page', '{"name": "access"}');
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_access AFTER INSERT OR UPDATE OR DELETE ON access_grant EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell_access AFTER INSERT OR UPDATE OR DELETE ON role EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell_access AFTER INSERT OR UPDATE OR DELETE ON user_group_member EXECUTE FUNCTION tell_access();
CREATE TRIGGER tell_access AFTER INSERT OR UPDATE OR DELETE ON node_group_member EXECUTE FUNCTION tell_access();

-- Whether a thing of this node, in this folder, lies within a scope; NULL is everything. Denials win. One expression
-- without a sub-select, so that it becomes part of the query that calls it; folders come as regular expressions.
CREATE OR REPLACE FUNCTION in_scope(scope jsonb, of_node uuid, in_folder text DEFAULT NULL) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT scope IS NULL OR (
        ((scope ->> 'everything')::boolean
         OR coalesce(scope -> 'nodes' ? of_node::text, false)
         OR coalesce(in_folder ~ (scope ->> 'folders'), false))
        AND NOT coalesce(scope -> 'but_nodes' ? of_node::text, false)
        AND NOT coalesce(in_folder ~ (scope ->> 'but_folders'), false))
$$;
