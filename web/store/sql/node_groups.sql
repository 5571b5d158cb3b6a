-- node_groups --
-- Every node group with its members, and whether rights hang on it.
SELECT g.id, g.name, EXISTS (SELECT FROM access_grant a WHERE a.node_group_id = g.id) AS gives_rights,
       ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.id) AS node_ids
FROM node_group g
WHERE {group_id}::uuid IS NULL OR g.id = {group_id}
ORDER BY g.name;

-- add_node_group --
-- Makes a node group, unless its name is taken.
INSERT INTO node_group (id, name) VALUES ({id}, {name}) ON CONFLICT (name) DO NOTHING RETURNING id;

-- rename_node_group --
-- Gives it another name, unless that is taken.
UPDATE node_group SET name = {name}
WHERE id = {group_id} AND NOT EXISTS (SELECT FROM node_group o WHERE o.name = {name} AND o.id <> {group_id})
RETURNING id;

-- set_node_group_members --
-- These nodes and no others, as far as they exist.
WITH wanted AS (
    SELECT id FROM node WHERE id = ANY({node_ids}::uuid[]) AND removed_at IS NULL
), left_out AS (
    DELETE FROM node_group_member
    WHERE node_group_id = {group_id} AND NOT node_id = ANY({node_ids}::uuid[])
)
INSERT INTO node_group_member (node_group_id, node_id) SELECT {group_id}, id FROM wanted
ON CONFLICT (node_group_id, node_id) DO NOTHING;

-- remove_node_group --
-- With its members, which stay nodes.
DELETE FROM node_group WHERE id = {group_id};

-- node_groups_with_nodes --
-- Groups of nodes, with those that are in them now.
SELECT g.id, g.name, ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.id) AS nodes
FROM node_group g
ORDER BY lower(g.name);
