-- Who may do what, and on what: roles are named sets of permissions, and grants give them within a scope.

CREATE TABLE role (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    permissions text[] NOT NULL,
    -- Those of this version are told apart by their name; nobody changes or removes them.
    is_built_in boolean NOT NULL DEFAULT false
);

CREATE TABLE user_group (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE user_group_member (
    id bigserial PRIMARY KEY,
    user_group_id uuid NOT NULL REFERENCES user_group ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES user_account ON DELETE CASCADE,
    UNIQUE (user_group_id, user_id)
);
CREATE INDEX user_group_member_of_user ON user_group_member (user_id);

CREATE TABLE node_group (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE node_group_member (
    id bigserial PRIMARY KEY,
    node_group_id uuid NOT NULL REFERENCES node_group ON DELETE CASCADE,
    node_id uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    UNIQUE (node_group_id, node_id)
);
CREATE INDEX node_group_member_of_node ON node_group_member (node_id);

CREATE TABLE access_grant (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES user_account ON DELETE CASCADE,
    user_group_id uuid REFERENCES user_group ON DELETE CASCADE,
    role_id uuid NOT NULL REFERENCES role,
    effect text NOT NULL CHECK (effect IN ('allow', 'deny')),
    scope_kind text NOT NULL CHECK (scope_kind IN ('everything', 'node_group', 'node', 'folder')),
    node_group_id uuid REFERENCES node_group ON DELETE CASCADE,
    node_id uuid REFERENCES node ON DELETE CASCADE,
    folder text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (num_nonnulls(user_id, user_group_id) = 1),
    CHECK ((scope_kind = 'node_group') = (node_group_id IS NOT NULL)),
    CHECK ((scope_kind = 'node') = (node_id IS NOT NULL)),
    CHECK ((scope_kind = 'folder') = (folder IS NOT NULL)),
    UNIQUE NULLS NOT DISTINCT (user_id, user_group_id, role_id, effect, scope_kind, node_group_id, node_id, folder)
);
CREATE INDEX access_grant_of_user ON access_grant (user_id);
CREATE INDEX access_grant_of_group ON access_grant (user_group_id);

-- Whether a thing of this node, in this folder, lies within a scope; NULL is everything. Denials win.
CREATE FUNCTION in_scope(scope jsonb, of_node uuid, in_folder text DEFAULT NULL) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT scope IS NULL OR (
        ((scope ->> 'everything')::boolean
         OR coalesce(scope -> 'nodes' ? of_node::text, false)
         OR (in_folder IS NOT NULL AND EXISTS (
             SELECT FROM jsonb_array_elements_text(scope -> 'folders') f
             WHERE in_folder = f OR starts_with(in_folder, f || '/'))))
        AND NOT coalesce(scope -> 'but_nodes' ? of_node::text, false)
        AND NOT (in_folder IS NOT NULL AND EXISTS (
             SELECT FROM jsonb_array_elements_text(scope -> 'but_folders') f
             WHERE in_folder = f OR starts_with(in_folder, f || '/'))))
$$;

INSERT INTO role (id, name, description, permissions, is_built_in) VALUES
    ('00000000-0000-7000-8000-000000000001', 'viewer', 'Sees and plays what is recorded.',
     ARRAY['recording:read', 'recording:playback', 'node:read', 'schedule:read', 'upload:read', 'health:read'], true),
    ('00000000-0000-7000-8000-000000000002', 'operator', 'Starts and stops recordings, downloads them, and answers alarms.',
     ARRAY['recording:read', 'recording:create', 'recording:control', 'recording:playback',
           'recording:download', 'node:read', 'schedule:read', 'schedule:control', 'upload:read',
           'upload:create', 'upload:control', 'health:read', 'health:control'], true),
    ('00000000-0000-7000-8000-000000000003', 'manager', 'Also organises and deletes recordings, and sets nodes and schedules.',
     ARRAY['recording:read', 'recording:create', 'recording:control', 'recording:playback',
           'recording:download', 'recording:edit', 'recording:delete', 'node:read', 'node:control',
           'node:edit', 'schedule:read', 'schedule:create', 'schedule:control', 'schedule:edit',
           'schedule:delete', 'upload:read', 'upload:create', 'upload:control', 'health:read',
           'health:control', 'settings:read', 'user:read'], true),
    ('00000000-0000-7000-8000-000000000004', 'administrator', 'May do everything, also give rights to others.',
     ARRAY['recording:read', 'recording:create', 'recording:control', 'recording:playback',
           'recording:download', 'recording:edit', 'recording:delete', 'node:read', 'node:create',
           'node:control', 'node:edit', 'node:delete', 'schedule:read', 'schedule:create', 'schedule:control',
           'schedule:edit', 'schedule:delete', 'upload:read', 'upload:create', 'upload:control',
           'health:read', 'health:control', 'settings:read', 'settings:edit', 'audit:read', 'audit:download',
           'user:read', 'user:create', 'user:edit', 'user:delete'], true),
    ('00000000-0000-7000-8000-000000000005', 'auditor', 'Reads everything, and what everybody did; hears and changes nothing.',
     ARRAY['recording:read', 'node:read', 'schedule:read', 'upload:read', 'health:read', 'settings:read',
           'audit:read', 'audit:download', 'user:read'], true);

-- Until now everybody with an account could do everything.
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT gen_random_uuid(), u.id, r.id, 'allow', 'everything', 'upgrade'
FROM user_account u, role r
WHERE r.name = 'administrator';

GRANT SELECT, INSERT, UPDATE, DELETE
    ON role, user_group, user_group_member, node_group, node_group_member, access_grant TO app;
GRANT USAGE ON SEQUENCE user_group_member_id_seq, node_group_member_id_seq TO app;
