-- The least output of a recording: as its profile says, else its node, else the default (NULL).

ALTER TABLE node ADD COLUMN minimum_bytes bigint CHECK (minimum_bytes >= 0);
ALTER TABLE profile ALTER COLUMN minimum_bytes DROP NOT NULL;
UPDATE profile SET minimum_bytes = NULL WHERE minimum_bytes = 128;
