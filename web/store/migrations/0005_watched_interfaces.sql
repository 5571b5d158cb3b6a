-- Inputs that pages show the levels of, by the controller that serves these pages.

CREATE TABLE watched_interface (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    interface_id uuid NOT NULL REFERENCES interface,
    controller_id uuid NOT NULL,
    until timestamptz NOT NULL,
    UNIQUE (interface_id, controller_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

-- What a node is told of them.
CREATE FUNCTION watched_inputs(of_node uuid) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('backend', i.backend, 'name', i.name)), '[]')
    FROM interface i JOIN watched_interface w ON w.interface_id = i.id
    WHERE i.node_id = of_node AND w.until > clock_timestamp()
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON watched_interface TO app;
