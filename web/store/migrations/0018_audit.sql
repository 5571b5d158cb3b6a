-- The audit: who did what, when, from where, and how it ended. It only grows. Seals chain its entries and lie apart,
-- so that nobody ever needs to change an entry.

CREATE SEQUENCE audit_entry_id;

CREATE TABLE audit_entry (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor_name text NOT NULL,
    -- noun.verb
    action text NOT NULL,
    object_kind text,
    object_id uuid,
    -- As it was called then: objects go, their names stay here.
    object_name text,
    before jsonb,
    after jsonb,
    outcome text NOT NULL CHECK (outcome IN ('done', 'denied', 'failed')),
    reason text,
    address text,
    request_id uuid
);
CREATE INDEX audit_entry_in_time ON audit_entry (at);
CREATE INDEX audit_entry_by_actor ON audit_entry (actor_name, id);
CREATE INDEX audit_entry_by_action ON audit_entry (action, id);
CREATE INDEX audit_entry_of_object ON audit_entry (object_id, id) WHERE object_id IS NOT NULL;
CREATE INDEX audit_entry_from_address ON audit_entry (address, id) WHERE address IS NOT NULL;
CREATE INDEX audit_entry_not_done ON audit_entry (id) WHERE outcome <> 'done';
CREATE INDEX audit_entry_in_words ON audit_entry USING gin (to_tsvector(
    'simple', actor_name || ' ' || coalesce(object_name, '') || ' ' || coalesce(reason, '')));

CREATE TABLE audit_seal (
    entry_id bigint PRIMARY KEY,
    -- 1, 2, 3 …: a seal that is taken out leaves a hole.
    number bigint NOT NULL UNIQUE,
    -- Hexadecimal SHA-256 over the seal before and this entry.
    hash text NOT NULL
);

-- Nobody chooses id and instant. The transaction has its own number before the entry has: whoever sees an entry, and no
-- transaction that was under way then, has seen all entries with a smaller id.
CREATE FUNCTION stamp_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_current_xact_id();
    NEW.id := nextval('audit_entry_id');
    NEW.at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION stamp_audit_entry();

CREATE FUNCTION refuse_to_change_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit only grows' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_audit();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_audit();

GRANT SELECT, INSERT ON audit_entry, audit_seal TO app;
GRANT USAGE ON SEQUENCE audit_entry_id TO app;
