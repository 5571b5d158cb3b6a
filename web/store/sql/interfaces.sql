-- name_interface --
-- What people call an input and its channels.
UPDATE interface SET given_label = {given_label}, channel_labels = {channel_labels}::text[]
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- enable_interface --
-- Whether recordings may be started on an input. One that is preferred and not enabled is preferred no more.
UPDATE interface SET is_enabled = {is_enabled}, is_preferred = is_preferred AND {is_enabled}
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- keep_inventory --
-- What a node says of itself.
UPDATE node SET version = {version}, spool_free_bytes = {spool_free_bytes}, spool_total_bytes = {spool_total_bytes},
    spools = {spools}, disk_seconds_left = {disk_seconds_left},
    clock_offset_ms = {utc_ns}::bigint / 1000000 - floor(1000 * extract(epoch FROM clock_timestamp()))::bigint
WHERE id = {node_id};

-- keep_interface --
-- What a node says of an input; what people set stays.
INSERT INTO interface (id, node_id, backend, name, label, max_channels, sample_rates_hz, sample_types, default_capture,
                       is_present)
VALUES ({id}, {node_id}, {backend}, {name}, {label}, {max_channels}, {sample_rates_hz}, {sample_types},
        {default_capture}, true)
ON CONFLICT (node_id, backend, name) DO UPDATE
SET label = excluded.label, max_channels = excluded.max_channels, sample_rates_hz = excluded.sample_rates_hz,
    sample_types = excluded.sample_types, default_capture = excluded.default_capture, is_present = true;

-- mark_interfaces_absent --
-- Before an inventory is kept: what it does not list is absent.
UPDATE interface SET is_present = false WHERE node_id = {node_id} AND is_present;

-- set_capture --
-- The capture format that somebody chose for an input.
UPDATE interface SET chosen_capture = {capture} WHERE node_id = {node_id} AND backend = {backend} AND name = {name};

-- arm_interface --
-- How far a start on an input can reach back; 0 for one that is captured only while it is recorded.
UPDATE interface SET preroll_seconds = {preroll_seconds}
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- prefer_interface --
-- Moves the preference to one input of the node.
UPDATE interface SET is_preferred = true WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- prefer_no_interface --
-- Takes the preference away, since only one may have it at any moment.
UPDATE interface SET is_preferred = false WHERE node_id = {node_id} AND is_preferred;

-- keep_watched --
-- Inputs stay watched for a while, for one controller; which were not, for any. Controllers that are gone are forgotten.
WITH wanted AS MATERIALIZED (
    SELECT i.id, i.node_id,
           NOT EXISTS (SELECT FROM watched_interface w
                       WHERE w.interface_id = i.id AND w.until > clock_timestamp()) AS is_new
    FROM interface i
    WHERE i.id = ANY({interface_ids}::uuid[]) AND in_scope({scope}::jsonb, i.node_id)
), kept AS (
    INSERT INTO watched_interface (interface_id, controller_id, until)
    SELECT id, {controller_id}, clock_timestamp() + {watch}::interval FROM wanted ORDER BY id
    ON CONFLICT (interface_id, controller_id) DO UPDATE SET until = excluded.until
), forgotten AS (
    DELETE FROM watched_interface w USING (
        SELECT id FROM watched_interface
        WHERE controller_id <> {controller_id} AND until < clock_timestamp() - interval '1 hour'
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ) over
    WHERE w.id = over.id
)
SELECT node_id, is_new FROM wanted;

-- watched_of_node --
-- The node's run and its watched inputs, of which some are shown by other controllers than the one that asks.
SELECT n.node_run, w.*
FROM node n
LEFT JOIN LATERAL (
    SELECT i.id, i.backend, i.name, bool_or(x.controller_id <> {controller_id}) AS is_elsewhere
    FROM interface i JOIN watched_interface x ON x.interface_id = i.id
    WHERE i.node_id = n.id AND x.until > clock_timestamp()
    GROUP BY i.id
    ORDER BY i.backend, i.name
) w ON true
WHERE n.id = {node_id};
