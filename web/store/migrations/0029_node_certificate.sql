-- A node that showed a certificate when it joined is heard by no other from then on. SHA-256, in hex.
CREATE TABLE node_certificate (
    node_id uuid PRIMARY KEY REFERENCES node,
    certificate text NOT NULL,
    -- The one that it said it will show; from its first use on the only one.
    next_certificate text
);
GRANT SELECT, INSERT, UPDATE, DELETE ON node_certificate TO app;
