-- Where in its take a recording begins, as soon as its node knows.

ALTER TABLE lease ADD COLUMN start_frame bigint;
