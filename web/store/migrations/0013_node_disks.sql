-- The folders that a node writes takes to, and how long they last at the rate that it measured.

ALTER TABLE node ADD COLUMN spools jsonb NOT NULL DEFAULT '[]';
ALTER TABLE node ADD COLUMN disk_seconds_left bigint;
