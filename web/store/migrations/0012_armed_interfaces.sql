-- Inputs that are captured before anybody starts a recording, so that a start can reach back. 0: not armed.

ALTER TABLE interface ADD COLUMN preroll_seconds integer NOT NULL DEFAULT 0
    CHECK (preroll_seconds BETWEEN 0 AND 3600);

-- What a node is told of them.
CREATE FUNCTION armed_inputs(of_node uuid) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'interface', jsonb_build_object('backend', i.backend, 'name', i.name),
        'capture', coalesce(i.chosen_capture, i.default_capture),
        'preroll_ms', i.preroll_seconds * 1000) ORDER BY i.backend, i.name), '[]')
    FROM interface i
    WHERE i.node_id = of_node AND i.preroll_seconds > 0
$$;
