-- add_webhook --
-- A webhook, unless its name is taken.
INSERT INTO webhook (id, name, url, kinds, secret, user_id, created_by)
VALUES ({id}, {name}, {url}, {kinds}, {secret}, {user_id}, {created_by})
ON CONFLICT (name) DO NOTHING
RETURNING id;

-- webhooks --
-- One or all, with how much is owed to them.
SELECT w.*, (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting') AS waiting
FROM webhook w
WHERE {webhook_id}::uuid IS NULL OR w.id = {webhook_id}
ORDER BY w.name;

-- lock_webhook --
-- One at a time may change it.
SELECT id FROM webhook WHERE id = {id} FOR UPDATE;

-- webhook_of_name --
-- Whether another webhook has this name.
SELECT id FROM webhook WHERE name = {name} AND id IS DISTINCT FROM {but_by}::uuid;

-- change_webhook --
-- From now on it hears of what this person may read.
UPDATE webhook SET name = {name}, url = {url}, kinds = {kinds}, user_id = {user_id}, created_by = {created_by}
WHERE id = {id};

-- set_webhook_secret --
-- Another secret, from the next attempt on.
UPDATE webhook SET secret = {secret} WHERE id = {id};

-- enable_webhook --
-- What is still owed is tried anew.
WITH owed AS (
    UPDATE webhook_delivery SET due_at = clock_timestamp() WHERE webhook_id = {id} AND state = 'waiting'
)
UPDATE webhook SET is_enabled = true, trouble = NULL, failing_since = NULL WHERE id = {id};

-- disable_webhook --
-- Nothing more is owed to it, nor sent.
UPDATE webhook SET is_enabled = false, trouble = {trouble} WHERE id = {id} AND is_enabled RETURNING id;

-- remove_webhook --
-- A webhook and all that was owed to it.
DELETE FROM webhook WHERE id = {id};

-- owe_test --
-- Something to try a webhook with.
INSERT INTO webhook_delivery (webhook_id, message_id, kind, object_id, data)
VALUES ({webhook_id}, {message_id}, {kind}, {webhook_id}, {data})
RETURNING *;

-- newest_deliveries --
-- What was owed to a webhook, newest first, or what is behind one of them.
SELECT * FROM webhook_delivery
WHERE webhook_id = {webhook_id}
  AND ({state}::text IS NULL OR state = {state})
  AND ({before}::bigint IS NULL OR id < {before})
ORDER BY id DESC
LIMIT {limit};

-- owe_again --
-- What was delivered, given up or dropped is owed once more, under the same id of its message.
UPDATE webhook_delivery
SET state = 'waiting', due_at = clock_timestamp(), first_due_at = clock_timestamp(), claimed_until = NULL
WHERE webhook_id = {webhook_id} AND id = {id}
RETURNING *;

-- claim_deliveries --
-- What this controller is to send now: of each object the oldest that is owed, of each webhook no more than {each} at
-- once. What another controller has claimed is being sent.
WITH due AS (
    SELECT d.id, row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.due_at, d.id)
                 + (SELECT count(*) FROM webhook_delivery c
                    WHERE c.webhook_id = d.webhook_id AND c.state = 'waiting' AND c.claimed_until > clock_timestamp())
                 AS place
    FROM webhook_delivery d
    JOIN webhook w ON w.id = d.webhook_id AND w.is_enabled
    WHERE d.state = 'waiting' AND d.due_at <= clock_timestamp()
      AND (d.claimed_until IS NULL OR d.claimed_until <= clock_timestamp())
      AND NOT EXISTS (SELECT FROM webhook_delivery e
                      WHERE e.webhook_id = d.webhook_id AND e.object_id = d.object_id AND e.state = 'waiting'
                        AND e.id < d.id)
), taken AS (
    SELECT d.id
    FROM webhook_delivery d
    JOIN due ON due.id = d.id AND due.place <= {each}
    WHERE d.state = 'waiting' AND (d.claimed_until IS NULL OR d.claimed_until <= clock_timestamp())
    ORDER BY d.due_at, d.id
    LIMIT {limit}
    FOR NO KEY UPDATE OF d SKIP LOCKED
), claimed AS (
    UPDATE webhook_delivery d
    SET claimed_until = clock_timestamp() + {claim}::interval, attempts = d.attempts + 1,
        last_attempt_at = clock_timestamp()
    FROM taken WHERE d.id = taken.id
    RETURNING d.*
)
SELECT c.*, w.url, w.secret, w.user_id, clock_timestamp() AS now,
       extract(epoch FROM clock_timestamp() - c.first_due_at)::float8 AS owed_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - w.failing_since), 0)::float8 AS failing_seconds,
       u.disabled_at IS NOT NULL AS is_maker_disabled,
       (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = w.user_id) AS grants
FROM claimed c
JOIN webhook w ON w.id = c.webhook_id
LEFT JOIN user_account u ON u.id = w.user_id
ORDER BY c.id;

-- note_delivered --
-- It was taken; whatever failed before is over.
WITH done AS (
    UPDATE webhook_delivery
    SET state = 'delivered', claimed_until = NULL, last_status = {status}, last_error = NULL
    WHERE id = {id}
)
UPDATE webhook SET failing_since = NULL WHERE id = {webhook_id} AND failing_since IS NOT NULL;

-- note_failed_delivery --
-- It was not taken: it is due again after a pause, or given up.
WITH failed AS (
    UPDATE webhook_delivery
    SET state = CASE WHEN {pause}::interval IS NULL THEN 'failed' ELSE 'waiting' END, claimed_until = NULL,
        due_at = clock_timestamp() + coalesce({pause}, interval '0'), last_status = {status}, last_error = {error}
    WHERE id = {id}
)
UPDATE webhook SET failing_since = clock_timestamp() WHERE id = {webhook_id} AND failing_since IS NULL;

-- note_dropped_delivery --
-- It is not for the one who made the webhook.
UPDATE webhook_delivery SET state = 'dropped', claimed_until = NULL, last_error = {error} WHERE id = {id};

-- forget_old_deliveries --
-- What was done long ago.
DELETE FROM webhook_delivery WHERE state <> 'waiting' AND happened_at < clock_timestamp() - {kept}::interval;
