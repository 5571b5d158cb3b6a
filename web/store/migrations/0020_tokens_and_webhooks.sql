-- Tokens of people, answers that are kept for a request that is repeated, and webhooks with what they still owe.

-- Those that were made at the controller's own machine belong to nobody.
ALTER TABLE access_token ADD COLUMN user_id uuid REFERENCES user_account ON DELETE CASCADE;
-- NULL: whatever its owner may do, and on whatever.
ALTER TABLE access_token ADD COLUMN permissions text[];
ALTER TABLE access_token ADD COLUMN node_ids uuid[];
ALTER TABLE access_token ADD COLUMN folders text[];
ALTER TABLE access_token ADD COLUMN expires_at timestamptz;
-- To the minute, so that most requests write nothing.
ALTER TABLE access_token ADD COLUMN last_used_at timestamptz;
ALTER TABLE access_token ADD COLUMN last_used_from text;
CREATE INDEX access_token_of_user ON access_token (user_id);

-- What a request with a key of its client was answered, in the transaction of its effect.
CREATE TABLE kept_answer (
    id uuid PRIMARY KEY,
    token_id uuid NOT NULL REFERENCES access_token ON DELETE CASCADE,
    key text NOT NULL,
    request_digest text NOT NULL,
    status integer,
    -- Sealed: some answers hold a secret that is shown once.
    answer bytea,
    key_id uuid GENERATED ALWAYS AS (encode(substring(answer FROM 2 FOR 16), 'hex')::uuid) STORED
        REFERENCES sealing_key,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (token_id, key)
);
CREATE INDEX kept_answer_oldest ON kept_answer (created_at);

CREATE TABLE webhook (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    url text NOT NULL,
    -- Of events, each whole or as a noun: `recording.failed`, `health.*`.
    kinds text[] NOT NULL,
    secret bytea NOT NULL,
    key_id uuid NOT NULL GENERATED ALWAYS AS (encode(substring(secret FROM 2 FOR 16), 'hex')::uuid) STORED
        REFERENCES sealing_key,
    -- It hears of what this person may read; NULL is the controller's own machine.
    user_id uuid REFERENCES user_account ON DELETE CASCADE,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_enabled boolean NOT NULL DEFAULT true,
    -- Why it was disabled, unless somebody did that.
    trouble text,
    -- Since the first of the failures that nothing has ended yet.
    failing_since timestamptz
);

-- What is owed and what was delivered. The ids of one object rise in the order of its changes.
CREATE TABLE webhook_delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
    message_id uuid NOT NULL,
    kind text NOT NULL,
    object_id uuid NOT NULL,
    node_id uuid,
    folder text,
    data jsonb NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed', 'dropped')),
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    first_due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- While a controller is sending it; one that dies meanwhile leaves it to be sent again.
    claimed_until timestamptz,
    last_attempt_at timestamptz,
    last_status integer,
    last_error text
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_at) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_owed ON webhook_delivery (webhook_id, object_id, id) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_newest ON webhook_delivery (webhook_id, id DESC);
CREATE INDEX webhook_delivery_old ON webhook_delivery (happened_at) WHERE state <> 'waiting';

-- Owed to every webhook that wants it, in the transaction of the change itself: nothing can be changed and not told.
CREATE FUNCTION owe_to_webhooks(of_kind text, of_object uuid, of_node uuid, in_folder text, with_data jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO webhook_delivery (webhook_id, message_id, kind, object_id, node_id, folder, data)
    SELECT w.id, gen_random_uuid(), of_kind, of_object, of_node, in_folder, with_data
    FROM webhook w
    WHERE w.is_enabled AND w.kinds && ARRAY [of_kind, split_part(of_kind, '.', 1) || '.*']
    ORDER BY w.id
$$;

CREATE FUNCTION tell_webhooks_of_recording() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM owe_to_webhooks(
        'recording.' || CASE WHEN TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN 'changed'
                             WHEN NEW.state = 'recording' THEN 'started'
                             ELSE NEW.state END,
        NEW.id, NEW.node_id, NEW.folder,
        jsonb_build_object(
            'id', NEW.id, 'name', NEW.name, 'folder', NEW.folder, 'node_id', NEW.node_id, 'state', NEW.state,
            'mark', NEW.mark, 'health', NEW.health, 'created_at', NEW.created_at, 'started_at', NEW.started_at,
            'ended_at', NEW.ended_at, 'duration_ms', NEW.duration_ms));
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_webhooks_of_new AFTER INSERT ON recording
    FOR EACH ROW EXECUTE FUNCTION tell_webhooks_of_recording();
CREATE TRIGGER tell_webhooks_of_change AFTER UPDATE ON recording
    FOR EACH ROW
    WHEN ((OLD.state, OLD.mark, OLD.health, OLD.name, OLD.folder, OLD.duration_ms)
          IS DISTINCT FROM (NEW.state, NEW.mark, NEW.health, NEW.name, NEW.folder, NEW.duration_ms))
    EXECUTE FUNCTION tell_webhooks_of_recording();

CREATE FUNCTION tell_webhooks_of_health() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM owe_to_webhooks(
        'health.' || CASE NEW.state WHEN 'open' THEN 'opened' ELSE NEW.state END,
        NEW.id, NEW.node_id, (SELECT folder FROM recording WHERE id = NEW.recording_id),
        jsonb_build_object(
            'id', NEW.id, 'kind', NEW.kind, 'severity', NEW.severity, 'state', NEW.state, 'message', NEW.message,
            'node_id', NEW.node_id, 'recording_id', NEW.recording_id, 'happened_at', NEW.happened_at,
            'ended_at', NEW.ended_at));
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_webhooks_of_new AFTER INSERT ON health_event
    FOR EACH ROW EXECUTE FUNCTION tell_webhooks_of_health();
CREATE TRIGGER tell_webhooks_of_change AFTER UPDATE ON health_event
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_webhooks_of_health();

GRANT SELECT, INSERT, UPDATE, DELETE ON kept_answer, webhook, webhook_delivery TO app;
