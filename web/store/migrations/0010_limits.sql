-- What ends a recording by itself. NULL: no such limit.

ALTER TABLE profile ADD COLUMN length_limit_ms bigint CHECK (length_limit_ms >= 1);
ALTER TABLE profile ADD COLUMN size_limit_bytes bigint CHECK (size_limit_bytes >= 65536);
ALTER TABLE profile ADD COLUMN idle_limit_ms bigint CHECK (idle_limit_ms >= 1);
