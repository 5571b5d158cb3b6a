-- Which run of a node came of which request, so that one that is repeated, or arrives much later, begins no other run.

CREATE TABLE run_request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node,
    request_id uuid NOT NULL,
    node_run integer NOT NULL,
    UNIQUE (node_id, request_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON run_request TO app;
