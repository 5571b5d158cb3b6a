-- Statements that must decide by themselves. A value is written {name}. Locks are taken in the order node, job, lease,
-- cache file, recording, several of a kind in the order of their ids; never FOR UPDATE, which would hold up every new row that refers to the locked one. Instants are
-- clock_timestamp(): now() stands still in a transaction.

-- lock_node --
-- Serialises what changes the work of one node. What depends on it is read by later statements: this one sees
-- the rows as they were before it waited.
SELECT id, name, capacity, node_run, change_no, is_draining FROM node
WHERE id = {node_id} AND removed_at IS NULL FOR NO KEY UPDATE;

-- share_node --
-- Keeps a newer run from beginning until this transaction ends.
SELECT node_run FROM node WHERE id = {node_id} FOR SHARE;

-- lock_job --
-- A job as it stands, until this transaction ends.
SELECT id, recording_id, node_id, state, wish, epoch, reason, is_wanted_again(job) AS is_wanted_again
FROM job WHERE id = {job_id} FOR NO KEY UPDATE;

-- hold_job --
-- The current run of the caller's node and a job as it stands, with its lease, until this transaction ends.
WITH caller AS MATERIALIZED (
    SELECT node_run FROM node WHERE id = {node_id} FOR SHARE
), held AS MATERIALIZED (
    SELECT j.id, j.recording_id, j.node_id, j.state, j.wish, j.epoch, j.reason, is_wanted_again(j) AS is_wanted_again,
           caller.node_run AS current_run
    FROM caller
    CROSS JOIN job j
    WHERE j.id = {job_id}
    FOR NO KEY UPDATE OF j
), leased AS MATERIALIZED (
    SELECT l.job_id FROM held JOIN lease l ON l.job_id = held.id FOR NO KEY UPDATE OF l
)
SELECT held.* FROM held LEFT JOIN leased ON leased.job_id = held.id;

-- raise_change_no --
-- Tells waiting agents of this node, once the transaction commits.
WITH raised AS (UPDATE node SET change_no = change_no + 1 WHERE id = {node_id} RETURNING id)
SELECT pg_notify('reelkeeper_node', id::text) FROM raised;

-- tell_recording --
-- Tells controllers that something on pages has changed, once the transaction commits; as do the next three.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'recording', 'id', id, 'node_id', node_id, 'folder', folder, 'data', concat_ws(' ', id, state))::text)
FROM recording WHERE id = {id};

-- tell_job --
-- A job is there, or is in another state, or something else is wished of it.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', j.id, 'node_id', j.node_id, 'folder', r.folder,
           'data', concat_ws(' ', j.id, j.state))::text)
FROM job j JOIN recording r ON r.id = j.recording_id
WHERE j.id = {id};

-- tell_node --
-- A node or what it has.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'node', 'id', {id}::uuid, 'node_id', {id}::uuid, 'data', {id}::uuid)::text);

-- tell_health_event --
-- An event, with its severity, its state and the recording it is about.
SELECT pg_notify('reelkeeper_page', json_build_object(
           'name', 'health', 'id', e.id, 'node_id', e.node_id, 'folder', r.folder,
           'data', concat_ws(' ', e.id, e.severity, e.state, e.recording_id))::text)
FROM health_event e LEFT JOIN recording r ON r.id = e.recording_id
WHERE e.id = {id};

-- tell_meters --
-- Levels, for pages that other controllers serve.
SELECT pg_notify('reelkeeper_meters', payload) FROM unnest({payloads}::text[]) payload;

-- change_nos --
-- The change numbers of nodes for which requests are held.
SELECT id, change_no FROM node WHERE id = ANY({node_ids}::uuid[]);

-- see_node --
-- Notes a sign of life.
INSERT INTO node_seen (node_id, last_seen_at) VALUES ({node_id}, clock_timestamp())
ON CONFLICT (node_id) DO UPDATE SET last_seen_at = excluded.last_seen_at;

-- interfaces_of_scope --
-- The interfaces of the nodes of a scope, in the order of their names.
SELECT * FROM interface WHERE in_scope({scope}::jsonb, node_id) ORDER BY node_id, backend, name;

-- nodes --
-- Nodes of a scope, all or one.
SELECT n.*, s.last_seen_at,
       coalesce(s.last_seen_at > clock_timestamp() - {seen_within}::interval, false) AS is_seen,
       EXISTS (SELECT FROM health_event e
               WHERE e.node_id = n.id AND e.kind = 'node_not_seen' AND e.is_condition AND e.ended_at IS NULL
                 AND e.state = 'acknowledged') AS is_absence_known,
       ARRAY(SELECT g.name FROM node_group g JOIN node_group_member m ON m.node_group_id = g.id
             WHERE m.node_id = n.id ORDER BY g.name) AS groups
FROM node n
LEFT JOIN node_seen s ON s.node_id = n.id
WHERE ({node_id}::uuid IS NULL OR n.id = {node_id}) AND n.removed_at IS NULL
  AND in_scope({scope}::jsonb, n.id)
ORDER BY n.name;

-- add_node --
-- Makes a node, unless its name is taken.
INSERT INTO node (id, name, capacity, node_run, change_no, version)
VALUES ({node_id}, {name}, {capacity}, 0, 0, {version})
ON CONFLICT (name) WHERE removed_at IS NULL DO NOTHING
RETURNING id;

-- add_node_token --
-- A token that a node may take up. Those that ended long ago are forgotten.
WITH forgotten AS (
    DELETE FROM node_token
    WHERE node_id = {node_id} AND ended_at < clock_timestamp() - {life}::interval - {grace}::interval
)
INSERT INTO node_token (id, node_id, digest, renew_at, expires_at)
VALUES ({id}, {node_id}, {digest}, clock_timestamp() + {life}::interval / 2, clock_timestamp() + {life})
ON CONFLICT (digest) DO NOTHING;

-- node_token --
-- A token by its digest, as it stands.
SELECT t.id, n.id AS node_id, n.name, t.used_at IS NULL AS is_new, t.ended_by,
       t.expires_at > clock_timestamp() AS is_fresh,
       t.expires_at > clock_timestamp() - {grace}::interval AS is_exchanged,
       coalesce(t.ended_at < clock_timestamp() - {tolerated}::interval, false) AS is_long_ended
FROM node_token t
JOIN node n ON n.id = t.node_id
WHERE t.digest = {digest} AND t.node_id = {node_id};

-- use_node_token --
-- The first use of a token ends every other of its node.
WITH used AS (
    UPDATE node_token SET used_at = clock_timestamp()
    WHERE id = {id} AND used_at IS NULL AND ended_at IS NULL
    RETURNING id, node_id
)
UPDATE node_token t SET ended_at = clock_timestamp(), ended_by = 'successor'
FROM used
WHERE t.node_id = used.node_id AND t.id <> used.id AND t.ended_at IS NULL;

-- node_tokens --
-- The tokens of a node that are good for anything, newest first.
SELECT created_at, expires_at, used_at, renew_at <= clock_timestamp() AS is_due
FROM node_token
WHERE node_id = {node_id} AND ended_at IS NULL AND expires_at > clock_timestamp() - {grace}::interval
ORDER BY created_at DESC, id DESC;

-- renew_node_tokens --
-- The agent of a node is asked for another token when it is heard next.
UPDATE node_token SET renew_at = clock_timestamp()
WHERE node_id = {node_id} AND ended_at IS NULL AND renew_at > clock_timestamp();

-- end_node_tokens --
-- From now on no token of a node is good.
UPDATE node_token SET ended_at = clock_timestamp(), ended_by = {ended_by}
WHERE node_id = {node_id} AND ended_at IS NULL
RETURNING id;

-- fence_node --
-- Agents of earlier runs are refused from now on.
UPDATE node SET node_run = node_run + 1, version = {version} WHERE id = {node_id} RETURNING node_run;

-- describe_node --
-- Where a node is, and what it is for.
UPDATE node SET name = {name}, location = {location}, tags = {tags}::text[], site_zone = {site_zone}
WHERE id = {node_id};

-- other_of_name --
-- Another node of this name.
SELECT id FROM node WHERE name = {name} AND removed_at IS NULL AND id IS DISTINCT FROM {node_id}::uuid;

-- drain_node --
-- Whether a node takes on anything new.
UPDATE node SET is_draining = {is_draining} WHERE id = {node_id};

-- owed_of_node --
-- How many jobs of a node have not ended, which would be stranded without it.
SELECT count(*) AS jobs FROM job WHERE node_id = {node_id} AND state IN ('queued', 'running');

-- remove_node --
-- A node is gone: its recordings stay, its name is free, and nobody is to look after it any more.
WITH gone AS (
    UPDATE node SET removed_at = clock_timestamp() WHERE id = {node_id} RETURNING id
), ungrouped AS (
    DELETE FROM node_group_member m USING gone WHERE m.node_id = gone.id
), ungranted AS (
    DELETE FROM access_grant a USING gone WHERE a.node_id = gone.id
), unwanted AS (
    UPDATE enrolment_code c SET revoked_at = clock_timestamp()
    FROM gone WHERE c.rejoins = gone.id AND c.used_at IS NULL AND c.revoked_at IS NULL
)
UPDATE health_event e
SET state = 'resolved', ended_at = CASE WHEN e.is_condition THEN coalesce(e.ended_at, clock_timestamp()) ELSE e.ended_at END
FROM gone
WHERE e.node_id = gone.id AND e.recording_id IS NULL AND e.state <> 'resolved'
RETURNING e.id;

-- acknowledge_node --
-- Somebody knows what is said of a node itself.
UPDATE health_event SET state = 'acknowledged'
WHERE node_id = {node_id} AND recording_id IS NULL AND state = 'open'
RETURNING id;

-- name_interface --
-- What people call an input and its channels.
UPDATE interface SET given_label = {given_label}, channel_labels = {channel_labels}::text[]
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- enable_interface --
-- Whether recordings may be started on an input. One that is preferred and not enabled is preferred no more.
UPDATE interface SET is_enabled = {is_enabled}, is_preferred = is_preferred AND {is_enabled}
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- node_trend --
-- How many warnings and critical events there were about a node, hour by hour of the last day, oldest first.
SELECT h AS hours_ago, count(e.id) FILTER (WHERE e.severity = 'warning') AS warnings,
       count(e.id) FILTER (WHERE e.severity = 'critical') AS criticals
FROM generate_series(23, 0, -1) h
LEFT JOIN health_event e
    ON e.node_id = {node_id} AND e.severity IN ('warning', 'critical')
   AND e.happened_at > (SELECT clock_timestamp() - interval '24 hours')
   AND floor(extract(epoch FROM clock_timestamp() - e.happened_at) / 3600)::integer = h
GROUP BY h
ORDER BY h DESC;

-- node_groups --
-- Every node group with its members, and whether rights hang on it.
SELECT g.id, g.name, EXISTS (SELECT FROM access_grant a WHERE a.node_group_id = g.id) AS gives_rights,
       ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.id) AS node_ids
FROM node_group g
WHERE {group_id}::uuid IS NULL OR g.id = {group_id}
ORDER BY g.name;

-- lock_node_group --
-- A node group as it stands, until this transaction ends.
SELECT id FROM node_group WHERE id = {group_id} FOR NO KEY UPDATE;

-- add_node_group --
-- Makes a node group, unless its name is taken.
INSERT INTO node_group (id, name) VALUES ({id}, {name}) ON CONFLICT (name) DO NOTHING RETURNING id;

-- rename_node_group --
-- Gives it another name, unless that is taken.
UPDATE node_group SET name = {name}
WHERE id = {group_id} AND NOT EXISTS (SELECT FROM node_group o WHERE o.name = {name} AND o.id <> {group_id})
RETURNING id;

-- set_node_group_members --
-- These nodes and no others, as far as they exist.
WITH wanted AS (
    SELECT id FROM node WHERE id = ANY({node_ids}::uuid[]) AND removed_at IS NULL
), left_out AS (
    DELETE FROM node_group_member
    WHERE node_group_id = {group_id} AND NOT node_id = ANY({node_ids}::uuid[])
)
INSERT INTO node_group_member (node_group_id, node_id) SELECT {group_id}, id FROM wanted
ON CONFLICT (node_group_id, node_id) DO NOTHING;

-- remove_node_group --
-- With its members, which stay nodes.
DELETE FROM node_group WHERE id = {group_id};

-- begin_run --
-- The next run of a node; never one that its agent has had already.
UPDATE node SET node_run = greatest(node_run, {previous_run}) + 1, version = {version} WHERE id = {node_id}
RETURNING node_run;

-- run_of_request --
-- The run that came of a request of this node.
SELECT node_run FROM run_request WHERE node_id = {node_id} AND request_id = {request_id};

-- keep_run_request --
-- Remembers which run came of a request.
INSERT INTO run_request (node_id, request_id, node_run) VALUES ({node_id}, {request_id}, {node_run});

-- move_leases --
-- Hands the node's live leases to its current run.
UPDATE lease SET node_run = {node_run}, expires_at = clock_timestamp() + {lease}::interval WHERE node_id = {node_id};

-- keep_inventory --
-- What a node says of itself.
UPDATE node SET version = {version}, spool_free_bytes = {spool_free_bytes}, spool_total_bytes = {spool_total_bytes},
    spools = {spools}, disk_seconds_left = {disk_seconds_left},
    clock_offset_ms = {utc_ns}::bigint / 1000000 - floor(1000 * extract(epoch FROM clock_timestamp()))::bigint
WHERE id = {node_id};

-- keep_interface --
-- What a node says of an input; what people set stays.
INSERT INTO interface (id, node_id, backend, name, label, max_channels, sample_rates_hz, sample_types, default_capture,
                       is_present)
VALUES ({id}, {node_id}, {backend}, {name}, {label}, {max_channels}, {sample_rates_hz}, {sample_types},
        {default_capture}, true)
ON CONFLICT (node_id, backend, name) DO UPDATE
SET label = excluded.label, max_channels = excluded.max_channels, sample_rates_hz = excluded.sample_rates_hz,
    sample_types = excluded.sample_types, default_capture = excluded.default_capture, is_present = true;

-- mark_interfaces_absent --
-- Before an inventory is kept: what it does not list is absent.
UPDATE interface SET is_present = false WHERE node_id = {node_id} AND is_present;

-- set_capture --
-- The capture format that somebody chose for an input.
UPDATE interface SET chosen_capture = {capture} WHERE node_id = {node_id} AND backend = {backend} AND name = {name};

-- arm_interface --
-- How far a start on an input can reach back; 0 for one that is captured only while it is recorded.
UPDATE interface SET preroll_seconds = {preroll_seconds}
WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- prefer_interface --
-- Moves the preference to one input of the node.
UPDATE interface SET is_preferred = true WHERE node_id = {node_id} AND backend = {backend} AND name = {name}
RETURNING id;

-- prefer_no_interface --
-- Takes the preference away, since only one may have it at any moment.
UPDATE interface SET is_preferred = false WHERE node_id = {node_id} AND is_preferred;

-- keep_watched --
-- Inputs stay watched for a while, for one controller; which were not, for any. Controllers that are gone are forgotten.
WITH wanted AS MATERIALIZED (
    SELECT i.id, i.node_id,
           NOT EXISTS (SELECT FROM watched_interface w
                       WHERE w.interface_id = i.id AND w.until > clock_timestamp()) AS is_new
    FROM interface i
    WHERE i.id = ANY({interface_ids}::uuid[]) AND in_scope({scope}::jsonb, i.node_id)
), kept AS (
    INSERT INTO watched_interface (interface_id, controller_id, until)
    SELECT id, {controller_id}, clock_timestamp() + {watch}::interval FROM wanted ORDER BY id
    ON CONFLICT (interface_id, controller_id) DO UPDATE SET until = excluded.until
), forgotten AS (
    DELETE FROM watched_interface w USING (
        SELECT id FROM watched_interface
        WHERE controller_id <> {controller_id} AND until < clock_timestamp() - interval '1 hour'
        ORDER BY id
        FOR UPDATE SKIP LOCKED
    ) over
    WHERE w.id = over.id
)
SELECT node_id, is_new FROM wanted;

-- watched_of_node --
-- The node's run and its watched inputs, of which some are shown by other controllers than the one that asks.
SELECT n.node_run, w.*
FROM node n
LEFT JOIN LATERAL (
    SELECT i.id, i.backend, i.name, bool_or(x.controller_id <> {controller_id}) AS is_elsewhere
    FROM interface i JOIN watched_interface x ON x.interface_id = i.id
    WHERE i.node_id = n.id AND x.until > clock_timestamp()
    GROUP BY i.id
    ORDER BY i.backend, i.name
) w ON true
WHERE n.id = {node_id};

-- add_enrolment_code --
-- Keeps the digest of a code, and no longer those that were over long ago.
WITH over AS (DELETE FROM enrolment_code WHERE expires_at < clock_timestamp() - interval '90 days')
INSERT INTO enrolment_code (id, node_name, rejoins, address_range, digest, created_by, expires_at)
VALUES ({id}, {node_name}, {rejoins}, {address_range}, {digest}, {created_by}, clock_timestamp() + {valid}::interval)
RETURNING expires_at;

-- enrolment_code --
-- A code by its digest, whatever has become of it.
SELECT id, node_name, rejoins, address_range FROM enrolment_code WHERE id = {id} AND digest = {digest};

-- use_enrolment_code --
-- Uses a code up, if it is good.
UPDATE enrolment_code SET used_at = clock_timestamp()
WHERE id = {id} AND digest = {digest} AND used_at IS NULL AND revoked_at IS NULL AND expires_at > clock_timestamp()
RETURNING id;

-- revoke_enrolment_code --
-- Nobody joins by it any more.
UPDATE enrolment_code SET revoked_at = clock_timestamp() WHERE id = {id} AND used_at IS NULL AND revoked_at IS NULL
RETURNING id;

-- enrolment_codes --
-- One code, or all that can still be used; never their secrets.
SELECT c.id, c.node_name, coalesce(c.rejoins, c.id) AS node_id, c.rejoins IS NOT NULL AS is_rejoining, c.address_range,
       c.created_by, c.created_at, c.expires_at, extract(epoch FROM clock_timestamp() - c.created_at)::float8 AS age_seconds,
       CASE WHEN c.used_at IS NOT NULL AND s.last_seen_at > c.used_at
                 AND EXISTS (SELECT FROM interface i WHERE i.node_id = s.node_id) THEN 'reported'
            WHEN c.used_at IS NOT NULL THEN 'joined'
            WHEN c.revoked_at IS NOT NULL THEN 'revoked'
            WHEN c.expires_at <= clock_timestamp() THEN 'expired'
            ELSE 'open' END AS state
FROM enrolment_code c
LEFT JOIN node_seen s ON s.node_id = coalesce(c.rejoins, c.id)
WHERE CASE WHEN {code_id}::uuid IS NULL
           THEN c.used_at IS NULL AND c.revoked_at IS NULL AND c.expires_at > clock_timestamp()
           ELSE c.id = {code_id} END
ORDER BY c.created_at DESC, c.id DESC;

-- add_access_token --
-- Keeps the digest of a token of a person; of two ends the earlier one counts.
INSERT INTO access_token (id, name, digest, user_id, permissions, node_ids, folders, expires_at, created_by)
VALUES ({id}, {name}, {digest}, {user_id}, {permissions}, {node_ids}, {folders},
        least(clock_timestamp() + {valid}::interval, {not_after}::timestamptz), {created_by});

-- access_tokens --
-- One token, or the newest of one owner or of all, or those behind one.
SELECT t.*, u.name AS owner_name, coalesce(t.expires_at <= clock_timestamp(), false) AS is_expired
FROM access_token t
LEFT JOIN user_account u ON u.id = t.user_id
WHERE ({token_id}::uuid IS NULL OR t.id = {token_id})
  AND ({user_id}::uuid IS NULL OR t.user_id = {user_id})
  AND ({before}::uuid IS NULL OR t.id < {before})
ORDER BY t.id DESC
LIMIT {limit};

-- presented_token --
-- A token that somebody shows, with what its owner holds now.
SELECT t.*, u.name AS owner_name, coalesce(t.expires_at <= clock_timestamp(), false) AS is_expired,
       u.disabled_at IS NOT NULL AS is_owner_disabled,
       t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - interval '1 minute' AS is_use_old,
       (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = t.user_id) AS grants
FROM access_token t
LEFT JOIN user_account u ON u.id = t.user_id
WHERE t.id = {id};

-- note_token_use --
-- When and from where a token was used, to the minute.
UPDATE access_token SET last_used_at = clock_timestamp(), last_used_from = {address} WHERE id = {id};

-- remove_access_token --
-- A token that is revoked.
DELETE FROM access_token WHERE id = {id};

-- forget_kept_answers --
-- Of a token, those that are too old to be asked for again.
DELETE FROM kept_answer WHERE token_id = {token_id} AND created_at < clock_timestamp() - {valid}::interval;

-- claim_kept_answer --
-- Begins the one request of a key. Waits for the transaction of another one.
INSERT INTO kept_answer (id, token_id, key, request_digest) VALUES ({id}, {token_id}, {key}, {request_digest})
ON CONFLICT (token_id, key) DO NOTHING
RETURNING id;

-- keep_answer --
-- What it was answered.
UPDATE kept_answer SET status = {status}, answer = {answer} WHERE id = {id};

-- kept_answer --
-- What a key was used for.
SELECT id, request_digest, status, answer FROM kept_answer WHERE token_id = {token_id} AND key = {key};

-- add_boundless_token --
-- Keeps the digest of a token that belongs to nobody.
INSERT INTO access_token (id, name, digest, created_by) VALUES ({id}, {name}, {digest}, {created_by});

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

-- add_first_account --
-- Makes the first account, also when two are at it, which may do everything.
WITH made AS (
    INSERT INTO user_account (id, name)
    SELECT {id}, {name} WHERE NOT EXISTS (SELECT FROM user_account)
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name
)
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT {grant_id}, made.id, r.id, 'allow', 'everything', made.name
FROM made JOIN role r ON r.is_built_in AND r.name = {role};

-- make_administrator --
-- Lets somebody do everything.
INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by)
SELECT {grant_id}, u.id, r.id, 'allow', 'everything', u.name
FROM user_account u JOIN role r ON r.is_built_in AND r.name = {role}
WHERE u.id = {user_id};

-- add_sign_in_code --
-- Keeps the digest of a code, and no longer those that are too old.
WITH over AS (DELETE FROM sign_in_code WHERE expires_at < clock_timestamp())
INSERT INTO sign_in_code (id, digest, expires_at) VALUES ({id}, {digest}, clock_timestamp() + {valid}::interval);

-- good_sign_in_code --
-- A code that can still be spent.
SELECT id FROM sign_in_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp();

-- spend_sign_in_code --
-- Uses a code up, if it is good.
DELETE FROM sign_in_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING id;

-- add_login_session --
-- Begins a session, and forgets those of its user that have run out.
WITH over AS (DELETE FROM login_session WHERE user_id = {user_id} AND expires_at < clock_timestamp())
INSERT INTO login_session (id, user_id, digest, is_by_link, address, browser, expires_at)
VALUES ({id}, {user_id}, {digest}, {is_by_link}, {address}, {browser}, clock_timestamp() + {valid}::interval);

-- login_session --
-- A session that is going on and its user. That it was used is noted once a minute.
WITH found AS (
    SELECT s.id, s.last_seen_at, s.is_by_link, s.user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at,
           (SELECT jsonb_agg(to_jsonb(g)) FROM held_grant g WHERE g.user_id = u.id) AS grants
    FROM login_session s JOIN user_account u ON u.id = s.user_id
    WHERE s.id = {id} AND s.digest = {digest} AND s.expires_at > clock_timestamp() AND u.disabled_at IS NULL
      AND s.last_seen_at > clock_timestamp() - {idle}::interval
), seen AS (
    UPDATE login_session s SET last_seen_at = clock_timestamp()
    FROM found WHERE s.id = found.id AND found.last_seen_at < clock_timestamp() - interval '1 minute'
)
SELECT * FROM found;

-- held_grants --
-- What somebody holds.
SELECT jsonb_agg(to_jsonb(g)) AS grants FROM held_grant g WHERE g.user_id = {user_id};

-- administrators --
-- People who may give rights to others.
SELECT u.name
FROM user_account u
WHERE u.disabled_at IS NULL
  AND EXISTS (SELECT FROM held_grant g WHERE g.user_id = u.id AND g.effect = 'allow' AND g.scope_kind = 'everything'
                AND {permission} = ANY(g.permissions))
  AND NOT EXISTS (SELECT FROM held_grant g WHERE g.user_id = u.id AND g.effect = 'deny' AND g.scope_kind = 'everything'
                  AND {permission} = ANY(g.permissions))
ORDER BY u.name
LIMIT {limit};

-- end_login_session --
-- Ends a session; controllers that stream to it hear of it.
WITH ended AS (DELETE FROM login_session WHERE id = {id} AND digest = {digest} RETURNING id, user_id)
SELECT u.id AS user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at,
       pg_notify('reelkeeper_page', json_build_object('name', 'session', 'id', ended.id, 'data', '')::text)
FROM ended JOIN user_account u ON u.id = ended.user_id;

-- recording_cards --
-- Recordings as their pages show them: one of a scope. Names of nodes are for those who may know these.
SELECT *, in_scope({nodes}::jsonb, node_id) AS knows_node FROM recording_card
WHERE id = {recording_id} AND in_scope({scope}::jsonb, node_id, folder);

-- newest_recording_cards --
-- Recordings as their pages show them: the newest of a scope that match, those from one on, or those behind one.
SELECT *, in_scope({nodes}::jsonb, node_id) AS knows_node FROM recording_card
WHERE in_scope({scope}::jsonb, node_id, folder)
  AND ({states}::text[] IS NULL OR state = ANY({states}))
  AND ({text}::text IS NULL
       OR strpos(lower(concat_ws(' ', name, folder, CASE WHEN in_scope({nodes}::jsonb, node_id) THEN node_name END,
                                 array_to_string(tags, ' '))), lower({text})) > 0)
  AND ({first}::uuid IS NULL OR (created_at, id) <= (SELECT created_at, id FROM recording WHERE id = {first}))
  AND ({before}::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM recording WHERE id = {before}))
ORDER BY created_at DESC, id DESC
LIMIT {limit};

-- matching_recordings --
-- How many recordings of a scope match, all or those that are newer than one; no more than a limit are counted.
SELECT count(*) AS recordings
FROM (
    SELECT FROM recording_card
    WHERE in_scope({scope}::jsonb, node_id, folder)
      AND ({states}::text[] IS NULL OR state = ANY({states}))
      AND ({text}::text IS NULL
           OR strpos(lower(concat_ws(' ', name, folder, CASE WHEN in_scope({nodes}::jsonb, node_id) THEN node_name END,
                                     array_to_string(tags, ' '))), lower({text})) > 0)
      AND ({after}::uuid IS NULL OR (created_at, id) > (SELECT created_at, id FROM recording WHERE id = {after}))
    LIMIT {limit}
) matching;

-- live_recordings --
-- What has not ended, with its newest job, the longest running first.
SELECT r.id, r.name, r.folder, r.state, r.node_id,
       CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN n.name END AS node_name,
       CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN i.id END AS interface_id,
       coalesce(CASE WHEN in_scope({nodes}::jsonb, r.node_id) THEN coalesce(i.given_label, i.label) END, j.interface) AS interface_label,
       j.settings, j.wish, l.phase,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       extract(epoch FROM clock_timestamp() - j.run_at)::float8 AS waited_seconds,
       floor(1000 * extract(epoch FROM clock_timestamp() - r.started_at))::bigint AS elapsed_ms,
       floor(1000 * extract(epoch FROM coalesce(j.ends_at, r.started_at + (j.settings ->> 'duration_ms')::bigint * interval '1 ms')
                                       - clock_timestamp()))::bigint AS remaining_ms
FROM recording r
JOIN node n ON n.id = r.node_id
JOIN LATERAL (SELECT * FROM job WHERE job.recording_id = r.id ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN interface i ON i.node_id = j.node_id AND i.backend = j.backend AND i.name = j.interface
WHERE r.state IN ('queued', 'recording', 'finishing')
  AND in_scope({scope}::jsonb, r.node_id, r.folder)
  AND ({node_id}::uuid IS NULL OR r.node_id = {node_id})
ORDER BY r.created_at, r.id;

-- bar_counts --
-- What the bar over every page says. Instants are compared as sub-selects, once: then indexes help. A node that was not heard of in time is not said to record.
SELECT (SELECT count(*) FROM recording r
        WHERE r.state = 'recording' AND in_scope({scope}::jsonb, r.node_id, r.folder)
          AND EXISTS (SELECT FROM job j JOIN lease l ON l.job_id = j.id
                      WHERE j.recording_id = r.id AND l.expires_at > clock_timestamp())) AS running,
       (SELECT count(DISTINCT c.key) FROM concern c LEFT JOIN recording r ON r.id = c.recording_id
        WHERE (c.lasts OR c.at > (SELECT clock_timestamp() - {since}::interval))
          AND in_scope({health}::jsonb, c.node_id, r.folder)) AS attention;

-- newest_concerns --
-- What somebody should look at, one row a recording or fault of a node: the worst that is said of it, and how often.
-- What lasts comes first.
WITH recent AS (
    SELECT c.*, count(*) OVER (PARTITION BY c.key) AS events,
           row_number() OVER (PARTITION BY c.key
                              ORDER BY c.is_failed DESC, c.lasts DESC, c.severity = 'critical' DESC, c.at DESC) AS place
    FROM concern c
    LEFT JOIN recording r ON r.id = c.recording_id
    WHERE (c.lasts OR c.at > (SELECT clock_timestamp() - {since}::interval))
      AND in_scope({scope}::jsonb, c.node_id, r.folder)
), shown AS (
    SELECT *, count(*) OVER () AS total FROM recent WHERE place = 1 ORDER BY lasts DESC, at DESC, key LIMIT {limit}
)
SELECT s.severity, s.message, s.at, s.events, s.total, s.node_id, n.name AS node_name, r.id AS recording_id,
       r.name AS recording_name, r.folder, s.is_failed, s.lasts, j.reason, coalesce(j.lost_at, s.at) AS ended_at,
       CASE WHEN s.is_failed AND f.origin = 'salvaged' THEN f.cached_at END AS salvaged_at,
       CASE WHEN s.is_failed AND f.origin = 'salvaged' THEN r.duration_ms END AS salvaged_ms,
       CASE WHEN r.id IS NULL OR s.is_failed THEN NULL
            WHEN s.kind = 'gap'
                THEN (f.facts -> 'gaps' -> 0 ->> 'start_frame')::float8 / (f.facts ->> 'sample_rate_hz')::float8
            WHEN s.at >= r.started_at AND s.at < coalesce(r.started_at + r.duration_ms * interval '1 ms', s.at + interval '1 s')
                THEN extract(epoch FROM s.at - r.started_at)::float8
       END AS heard_at_seconds
FROM shown s
LEFT JOIN node n ON n.id = s.node_id AND in_scope({nodes}::jsonb, n.id)
LEFT JOIN recording r ON r.id = s.recording_id AND in_scope({recordings}::jsonb, r.node_id, r.folder)
LEFT JOIN LATERAL (SELECT reason, lost_at FROM job WHERE s.is_failed AND job.recording_id = r.id
                   ORDER BY job.attempt DESC LIMIT 1) j ON true
LEFT JOIN cache_file f ON f.recording_id = r.id AND f.is_current
ORDER BY s.lasts DESC, s.at DESC, s.key;

-- last_day --
-- How the recordings ended that ended within a day.
SELECT r.state, count(*) AS recordings
FROM recording r
WHERE r.ended_at > (SELECT clock_timestamp() - interval '1 day') AND in_scope({scope}::jsonb, r.node_id, r.folder)
GROUP BY r.state;

-- job_card --
-- One job of a scope, as its page shows it.
SELECT j.*, r.name AS recording_name, r.folder,
       CASE WHEN in_scope({nodes}::jsonb, j.node_id) THEN n.name END AS node_name, l.phase, l.frames, l.uploaded_bytes, l.start_frame,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       c.cached_at AS salvaged_at, r.duration_ms AS salvaged_ms
FROM job j
JOIN recording r ON r.id = j.recording_id
JOIN node n ON n.id = j.node_id
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current AND c.job_id = j.id AND c.origin = 'salvaged'
WHERE j.id = {job_id} AND in_scope({scope}::jsonb, j.node_id, r.folder);

-- newest_job_cards --
-- Jobs as their pages show them: the newest of a scope, or those behind one of them.
SELECT j.*, r.name AS recording_name, r.folder,
       CASE WHEN in_scope({nodes}::jsonb, j.node_id) THEN n.name END AS node_name, l.phase, l.frames, l.uploaded_bytes, l.start_frame,
       extract(epoch FROM l.expires_at - clock_timestamp())::float8 AS lease_seconds,
       c.cached_at AS salvaged_at, r.duration_ms AS salvaged_ms
FROM job j
JOIN recording r ON r.id = j.recording_id
JOIN node n ON n.id = j.node_id
LEFT JOIN lease l ON l.job_id = j.id
LEFT JOIN cache_file c ON c.recording_id = r.id AND c.is_current AND c.job_id = j.id AND c.origin = 'salvaged'
WHERE in_scope({scope}::jsonb, j.node_id, r.folder)
  AND ({recording_id}::uuid IS NULL OR j.recording_id = {recording_id})
  AND ({node_id}::uuid IS NULL OR j.node_id = {node_id})
  AND ({states}::text[] IS NULL OR j.state = ANY({states}))
  AND ({text}::text IS NULL
       OR concat_ws(' ', r.name, CASE WHEN in_scope({nodes}::jsonb, j.node_id) THEN n.name END, j.interface, j.reason)
          ILIKE '%' || {text} || '%')
  AND ({before}::uuid IS NULL OR (j.created_at, j.id) < (SELECT created_at, id FROM job WHERE id = {before}))
ORDER BY j.created_at DESC, j.id DESC
LIMIT {limit};

-- job_counts --
-- How many jobs stand where, and how many ended so within a day; of neither more than {limit}.
SELECT s.state, now.jobs, today.jobs AS of_today
FROM unnest({states}::text[]) AS s (state),
     LATERAL (SELECT count(*) AS jobs FROM (
         SELECT FROM job j
         WHERE j.state = s.state AND in_scope({scope}::jsonb, j.node_id) LIMIT {limit}) found) now,
     LATERAL (SELECT count(*) AS jobs FROM (
         SELECT FROM job j
         WHERE j.state = s.state AND j.ended_at > (SELECT clock_timestamp() - interval '1 day')
           AND in_scope({scope}::jsonb, j.node_id) LIMIT {limit}) found) today;

-- job_counts_in_folders --
-- The same for a scope that tells folders apart, in one pass over what lies within.
WITH found AS MATERIALIZED (
    SELECT j.state, j.ended_at > (SELECT clock_timestamp() - interval '1 day') AS is_of_today
    FROM job j
    JOIN recording r ON r.id = j.recording_id
    WHERE in_scope({scope}::jsonb, j.node_id, r.folder)
)
SELECT s.state, least(count(f.state), {limit}) AS jobs,
       least(count(f.state) FILTER (WHERE f.is_of_today), {limit}) AS of_today
FROM unnest({states}::text[]) AS s (state)
LEFT JOIN found f ON f.state = s.state
GROUP BY s.state;

-- job_history --
-- What happened to a job, oldest first.
SELECT e.kind, e.actor, e.epoch, e.at
FROM job_event e
JOIN job j ON j.id = e.job_id
JOIN recording r ON r.id = j.recording_id
WHERE e.job_id = {job_id} AND in_scope({scope}::jsonb, j.node_id, r.folder)
ORDER BY e.id;

-- request_digest --
-- What an id was first used for.
SELECT request_digest FROM recording WHERE id = {recording_id};

-- busy_recordings --
-- What occupies a node: due or capturing, and not asked to end. Names are for those who may know these.
SELECT CASE WHEN in_scope({scope}::jsonb, r.node_id, r.folder) THEN r.name END AS name
FROM job j
JOIN recording r ON r.id = j.recording_id
LEFT JOIN lease l ON l.job_id = j.id
WHERE j.node_id = {node_id} AND j.wish = 'run' AND (j.ends_at IS NULL OR j.ends_at > clock_timestamp())
  AND (j.state = 'queued' AND j.run_at <= clock_timestamp() OR l.phase IN ('starting', 'capturing'))
ORDER BY r.created_at;

-- busy_counts --
-- How much occupies each node of a scope, whoever may know of it: see `busy_recordings`.
SELECT j.node_id, count(*) AS recordings
FROM job j
LEFT JOIN lease l ON l.job_id = j.id
WHERE j.state IN ('queued', 'running') AND j.wish = 'run' AND (j.ends_at IS NULL OR j.ends_at > clock_timestamp())
  AND (j.state = 'queued' AND j.run_at <= clock_timestamp() OR l.phase IN ('starting', 'capturing'))
  AND in_scope({scope}::jsonb, j.node_id)
GROUP BY j.node_id;

-- add_recording --
-- Makes a recording, unless its id exists.
INSERT INTO recording (id, request_digest, name, folder, node_id, profile_id, upload_policy_ids, state, created_by)
VALUES ({id}, {request_digest}, {name}, {folder}, {node_id}, {profile_id}, {upload_policy_ids}, 'queued', {created_by})
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- add_tags --
-- Gives a recording its tags.
INSERT INTO recording_tag (recording_id, tag) SELECT {recording_id}, unnest({tags}::text[])
ON CONFLICT (recording_id, tag) DO NOTHING;

-- add_job --
-- Makes a job that is due a little before its start.
INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at, ends_at,
                 window_ends_at)
VALUES ({id}, {recording_id}, {attempt}, {node_id}, {backend}, {interface}, {settings}, 'queued', 'run', 0,
        coalesce({starts_at}::timestamptz - {lead}::interval, clock_timestamp()), {ends_at}::timestamptz,
        coalesce({ends_at}, coalesce({starts_at}, clock_timestamp()) + {duration}::interval));

-- last_attempt --
-- The newest attempt at a recording, and what was left by it and those before.
SELECT j.id, j.node_id, j.attempt, j.state, j.settings, w.ends_at AS window_ends_at,
       coalesce(w.ends_at <= clock_timestamp(), false) AS is_window_over,
       EXISTS (SELECT FROM cache_file c WHERE c.recording_id = j.recording_id AND c.state = 'cached') AS has_content,
       EXISTS (SELECT FROM job a WHERE a.recording_id = j.recording_id AND a.epoch > 0
               AND NOT a.reason = ANY({leaves_nothing}::text[])) AS may_be_on_node
FROM job j
CROSS JOIN LATERAL (SELECT coalesce((j.settings ->> 'ends_at')::timestamptz, j.window_ends_at) AS ends_at) w
WHERE j.recording_id = {recording_id}
ORDER BY j.attempt DESC
LIMIT 1;

-- add_retry --
-- Makes the attempt after another one.
INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at, ends_at,
                 window_ends_at)
SELECT {id}, recording_id, attempt + 1, node_id, backend, interface, {settings}, 'queued', 'run', 0,
       greatest({starts_at}::timestamptz - {lead}::interval, clock_timestamp()), {ends_at}::timestamptz,
       CASE WHEN {ends_at} > clock_timestamp() THEN {ends_at} END
FROM job WHERE id = {last_id};

-- queue_again --
-- A recording that ended waits for another attempt.
UPDATE recording
SET state = 'queued', mark = NULL, health = NULL, started_at = NULL, ended_at = NULL, duration_ms = NULL
WHERE id = {recording_id};

-- add_job_event --
-- Appends to the history of a job.
INSERT INTO job_event (job_id, epoch, kind, actor) VALUES ({job_id}, {epoch}, {kind}, {actor});

-- is_over --
-- Whether an instant is past by the database's clock.
SELECT {instant}::timestamptz <= clock_timestamp() AS is_over;

-- claim_next --
-- Leases the first due job of a node, if it may capture one more, or answers an earlier claim of this id again.
SELECT current_run, (leased).*,
       CASE WHEN (leased).job_id IS NOT NULL THEN pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', (leased).job_id, 'node_id', {node_id}::uuid,
           'data', concat_ws(' ', (leased).job_id, 'running'))::text) END
FROM claim_next({node_id}, {node_run}, {claim_id}, {backends}, {interfaces}, {lease}, {actor}, {after_window},
                {after_open_start}, {number});

-- leased_of_node --
-- Everything that a node holds.
SELECT * FROM leased_job WHERE node_id = {node_id} ORDER BY job_id;

-- beat --
-- A sign of life, and what every heartbeat is answered with and checked against. A crash may forget this transaction:
-- that only shortens leases, and the rescuer waits after a restart.
WITH seen AS (
    INSERT INTO node_seen (node_id, last_seen_at) VALUES ({node_id}, clock_timestamp())
    ON CONFLICT (node_id) DO UPDATE SET last_seen_at = excluded.last_seen_at
)
SELECT node_run, change_no, watched_inputs(id) AS watched, armed_inputs(id) AS armed, token_is_due(id) AS is_token_due,
       set_config('synchronous_commit', 'off', true)
FROM node WHERE id = {node_id};

-- must_last --
-- What a page shows is not forgotten: undoes what `beat` set.
SET LOCAL synchronous_commit = on;

-- node_news --
-- What every heartbeat is answered with and checked against.
SELECT node_run, change_no, watched_inputs(id) AS watched, armed_inputs(id) AS armed, token_is_due(id) AS is_token_due
FROM node WHERE id = {node_id};

-- renew_leases --
-- Renews what this run still holds, expired or not, and answers every reported job. Late duplicates take nothing back.
WITH reported AS (
    SELECT * FROM unnest({job_ids}::uuid[], {epochs}::integer[], {phases}::text[], {frames}::bigint[],
                         {uploaded_bytes}::bigint[], {start_frames}::bigint[])
             AS r (job_id, epoch, phase, frames, uploaded_bytes, start_frame)
), held AS (
    SELECT l.job_id, l.phase AS phase_before, r.frames, r.uploaded_bytes, r.start_frame,
           CASE WHEN array_position(p.phases, r.phase) > array_position(p.phases, l.phase) THEN r.phase ELSE l.phase END
               AS phase
    FROM lease l
    JOIN reported r ON r.job_id = l.job_id AND r.epoch = l.epoch
    CROSS JOIN (SELECT ARRAY ['starting', 'capturing', 'finishing', 'uploading'] AS phases) p
    WHERE l.node_id = {node_id} AND l.node_run = {node_run}
    ORDER BY l.job_id
    FOR NO KEY UPDATE OF l
), renewed AS (
    UPDATE lease l
    SET expires_at = clock_timestamp() + {lease}::interval, phase = h.phase, frames = greatest(l.frames, h.frames),
        uploaded_bytes = greatest(l.uploaded_bytes, h.uploaded_bytes),
        start_frame = coalesce(l.start_frame, h.start_frame),
        progress_at = CASE WHEN h.uploaded_bytes > l.uploaded_bytes OR h.phase <> l.phase
                           THEN clock_timestamp() ELSE l.progress_at END
    FROM held h WHERE l.job_id = h.job_id
    RETURNING l.job_id, l.phase, l.frames, h.phase_before
)
SELECT r.job_id, j.recording_id, coalesce(j.wish, 'run') AS wish,
       coalesce(greatest(0, floor(1000 * extract(epoch FROM clock_timestamp() - j.wish_at))), 0)::bigint AS wish_age_ms,
       renewed.phase, renewed.phase_before,
       1000 * renewed.frames / (j.settings -> 'capture' ->> 'sample_rate_hz')::bigint AS length_ms,
       CASE WHEN renewed.job_id IS NOT NULL THEN 'renewed'
            WHEN j.state IN ('queued', 'running') THEN 'superseded'
            ELSE 'ended' END AS standing
FROM reported r
LEFT JOIN job j ON j.id = r.job_id AND j.node_id = {node_id}
LEFT JOIN renewed ON renewed.job_id = r.job_id
ORDER BY r.job_id;

-- follow_phase --
-- The recording's state follows what its job is doing, forward only. It began as long ago as it is long.
UPDATE recording
SET state = {state}, started_at = coalesce(started_at, clock_timestamp() - {length}::interval)
WHERE id = {recording_id} AND state IN ('queued', 'recording') AND state <> {state}
RETURNING id;

-- newest_job --
-- The attempt that acts on a recording are meant for.
SELECT id, node_id FROM job WHERE recording_id = {recording_id} ORDER BY attempt DESC LIMIT 1;

-- raise_wish --
-- A new wish for a job that is locked.
UPDATE job SET wish = {wish}, wish_at = clock_timestamp() WHERE id = {job_id};

-- end_job --
-- The end of a job and its recording, once. `superseded_by` above 0 takes the epoch from whoever held it. Where good
-- content of another attempt stands for the recording, what is said of content stays.
WITH ended AS (
    UPDATE job
    SET state = {state}, reason = {reason}, message = {message}, ended_at = clock_timestamp(), lost_at = {lost_at},
        epoch = epoch + {superseded_by}::integer
    WHERE id = {job_id} AND epoch = {epoch} AND state IN ('queued', 'running')
    RETURNING id, recording_id, node_id, epoch
), left_behind AS (
    DELETE FROM lease USING ended WHERE lease.job_id = ended.id
), noted AS (
    INSERT INTO job_event (job_id, epoch, kind, actor) SELECT id, epoch, {state}, {actor} FROM ended
), other AS (
    SELECT FROM cache_file c JOIN ended ON c.recording_id = ended.recording_id
    WHERE c.is_current AND c.state = 'cached' AND c.job_id <> ended.id
), recording_ended AS (
    UPDATE recording r
    SET state = {state}, health = {health}, ended_at = clock_timestamp(),
        mark = CASE WHEN EXISTS (SELECT FROM other) THEN r.mark ELSE {mark} END,
        duration_ms = CASE WHEN EXISTS (SELECT FROM other) THEN r.duration_ms ELSE {duration_ms} END,
        started_at = CASE WHEN EXISTS (SELECT FROM other) THEN r.started_at
                          ELSE coalesce({started_at}::timestamptz, r.started_at) END
    FROM ended WHERE r.id = ended.recording_id AND r.state IN ('queued', 'recording', 'finishing')
)
SELECT ended.id,
       pg_notify('reelkeeper_page', json_build_object(
           'name', 'recording', 'id', r.id, 'node_id', ended.node_id, 'folder', r.folder,
           'data', concat_ws(' ', r.id, {state}::text))::text),
       pg_notify('reelkeeper_page', json_build_object(
           'name', 'job', 'id', ended.id, 'node_id', ended.node_id, 'folder', r.folder,
           'data', concat_ws(' ', ended.id, {state}::text))::text)
FROM ended JOIN recording r ON r.id = ended.recording_id;

-- salvage_recording --
-- Content for a recording that ended without: its state stays what it was. One that has better content stays all it was.
UPDATE recording
SET mark = 'salvaged', duration_ms = {duration_ms},
    started_at = coalesce({started_at}::timestamptz, started_at)
WHERE id = (SELECT recording_id FROM cache_file WHERE id = {cache_file_id} AND is_current);

-- severities --
-- How bad the events of a recording are.
SELECT DISTINCT severity FROM health_event WHERE recording_id = {recording_id};

-- add_health_event --
-- Keeps an event, once; what says that a condition is over ends it, once, whichever of the two comes first.
INSERT INTO health_event AS known (id, node_id, recording_id, job_id, backend, interface, kind, severity, message, state,
                                   happened_at, is_condition, ended_at)
SELECT {id}, {node_id}, j.recording_id, j.id, {backend}::text, {interface}::text, {kind}, {severity}, {message},
       CASE WHEN {ended_age}::interval IS NULL THEN 'open' ELSE 'resolved' END,
       clock_timestamp() - {age}::interval, {lasts} OR {ended_age} IS NOT NULL, clock_timestamp() - {ended_age}
FROM (SELECT) one
LEFT JOIN job j ON j.id = {job_id}::uuid AND j.node_id = {node_id}
ON CONFLICT (id) DO UPDATE
SET state = 'resolved', is_condition = true, ended_at = greatest(excluded.ended_at, known.happened_at),
    message = excluded.message, severity = worse_severity(known.severity, excluded.severity)
WHERE known.ended_at IS NULL AND excluded.ended_at IS NOT NULL AND known.node_id IS NOT DISTINCT FROM excluded.node_id
RETURNING id, recording_id;

-- newest_health_events --
-- What happened within a scope, newest first.
SELECT e.*, e.is_condition AND e.ended_at IS NULL AND r.ended_at IS NULL AS lasts
FROM health_event e
LEFT JOIN recording r ON r.id = e.recording_id
WHERE in_scope({scope}::jsonb, e.node_id, r.folder)
  AND ({recording_id}::uuid IS NULL OR e.recording_id = {recording_id})
  AND ({node_id}::uuid IS NULL OR e.node_id = {node_id})
  AND ({before}::uuid IS NULL
       OR (e.happened_at, e.id) < (SELECT happened_at, id FROM health_event WHERE id = {before}))
ORDER BY e.happened_at DESC, e.id DESC
LIMIT {limit};

-- end_condition --
-- A condition of a node, or of the controller itself, is over.
UPDATE health_event SET state = 'resolved', ended_at = clock_timestamp()
WHERE node_id IS NOT DISTINCT FROM {node_id} AND kind = {kind} AND is_condition AND ended_at IS NULL
RETURNING id;

-- lasting_condition --
-- The controller itself has such a condition already.
SELECT id FROM health_event WHERE node_id IS NULL AND kind = {kind} AND is_condition AND ended_at IS NULL;

-- changed_presence --
-- Nodes that nobody has heard of and of which that is not said yet, and nodes of which it is said no longer rightly.
SELECT n.id, n.name, s.last_seen_at, extract(epoch FROM clock_timestamp() - s.last_seen_at)::float8 AS silent_seconds,
       e.id IS NOT NULL AS is_told,
       (SELECT count(*) FROM lease l WHERE l.node_id = n.id AND l.phase = 'capturing') AS capturing
FROM node n
JOIN node_seen s ON s.node_id = n.id
LEFT JOIN health_event e ON e.node_id = n.id AND e.kind = {kind} AND e.is_condition AND e.ended_at IS NULL
WHERE n.removed_at IS NULL AND (s.last_seen_at < clock_timestamp() - {node_not_seen}::interval) <> (e.id IS NOT NULL)
ORDER BY n.id;

-- recording_state --
-- Where a recording stands in its health.
SELECT state, health FROM recording WHERE id = {recording_id} FOR NO KEY UPDATE;

-- set_health --
-- What late events make of a recording that has ended.
UPDATE recording SET health = {health} WHERE id = {recording_id};

-- cache_file --
-- A cache file of a scope, by its id.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.id = {cache_file_id} AND in_scope({scope}::jsonb, r.node_id, r.folder);

-- current_cache_file --
-- The cache file that stands for a recording.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.recording_id = {recording_id} AND c.is_current AND in_scope({scope}::jsonb, r.node_id, r.folder);

-- lock_cache_file --
-- A cache file as it stands, until this transaction ends.
SELECT c.*, j.node_id FROM cache_file c JOIN job j ON j.id = c.job_id WHERE c.id = {cache_file_id} FOR NO KEY UPDATE OF c;

-- stand_back --
-- Whatever stood for a recording makes room, unless it is good content.
UPDATE cache_file SET is_current = false
WHERE recording_id = {recording_id} AND is_current AND state <> 'cached' AND id <> {cache_file_id};

-- add_cache_file --
-- A cache file that is about to grow. It stands for the recording unless good content does.
INSERT INTO cache_file (id, recording_id, job_id, epoch, origin, codec, state, is_current)
VALUES ({cache_file_id}, {recording_id}, {job_id}, {epoch}, {origin}, {codec}, 'receiving',
        NOT EXISTS (SELECT FROM cache_file WHERE recording_id = {recording_id} AND is_current));

-- reopen_cache_file --
-- A growing cache file goes on under another epoch or origin.
UPDATE cache_file SET epoch = {epoch}, origin = {origin} WHERE id = {cache_file_id};

-- append_standing --
-- All that decides whether bytes may be appended, in one read.
SELECT c.*, j.node_id, n.node_run AS current_run, j.state AS job_state, j.epoch AS job_epoch, j.wish AS job_wish,
       j.reason AS job_reason, is_wanted_again(j) AS is_wanted_again
FROM cache_file c
JOIN job j ON j.id = c.job_id
JOIN node n ON n.id = j.node_id
WHERE c.id = {cache_file_id};

-- seal_cache_file --
-- The cache file is whole. It stands for the recording unless other good content does.
UPDATE cache_file c
SET state = 'cached', origin = {origin}, parts = {parts}, facts = {facts}, cached_at = clock_timestamp(),
    is_current = NOT EXISTS (SELECT FROM cache_file o
                             WHERE o.recording_id = c.recording_id AND o.is_current AND o.id <> c.id)
WHERE c.id = {cache_file_id};

-- abandoned_cache_files --
-- Growing cache files that nobody can seal any more, some time after their job ended: the requests of then are over.
SELECT c.id
FROM cache_file c
JOIN job j ON j.id = c.job_id
WHERE c.state = 'receiving' AND is_unwanted(j) AND j.ended_at < clock_timestamp() - {since}::interval
ORDER BY c.id
LIMIT {limit};

-- forget_cache_file --
-- An abandoned cache file whose bytes are gone.
DELETE FROM cache_file c USING job j
WHERE c.id = {cache_file_id} AND c.state = 'receiving' AND j.id = c.job_id AND is_unwanted(j)
RETURNING c.recording_id;

-- queue_uploads --
-- One upload item a policy of the recording that wants its content as soon as it is cached.
INSERT INTO upload_item (id, recording_id, cache_file_id, upload_policy_id, state)
SELECT gen_random_uuid(), r.id, {cache_file_id}, p.id, 'queued'
FROM recording r
JOIN upload_policy p ON p.id = ANY(r.upload_policy_ids) AND p.trigger = 'on_recording_cached'
WHERE r.id = {recording_id}
ON CONFLICT (cache_file_id, upload_policy_id) DO NOTHING;

-- set_checksum --
-- The SHA-256 of a cached file, once.
UPDATE cache_file SET sha256 = {sha256}
WHERE id = {cache_file_id} AND state = 'cached' AND (sha256 IS NULL OR sha256 = {sha256})
RETURNING recording_id;

-- set_preview --
-- What lists draw of a recording, from the file that stands for it.
UPDATE recording SET preview = {preview}
WHERE id = {recording_id}
  AND EXISTS (SELECT FROM cache_file c WHERE c.id = {cache_file_id} AND c.recording_id = {recording_id} AND c.is_current);

-- mark_damaged --
-- A cached file that is no longer what was sealed.
UPDATE cache_file SET state = 'damaged' WHERE id = {cache_file_id} AND state = 'cached'
RETURNING recording_id, job_id;

-- soften_health_events --
-- What a finding said of a recording is mended: it is over, and no worse than a warning.
UPDATE health_event SET state = 'resolved', severity = 'warning', message = {message}
WHERE recording_id = {recording_id} AND kind = {kind} AND severity = 'critical'
RETURNING id;

-- cached_without_checksum --
-- Sealed files that were not read back yet.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.state = 'cached' AND c.sha256 IS NULL
ORDER BY c.cached_at
LIMIT {limit};

-- take_try --
-- Counts a try, unless it comes too early; those that count no longer go.
WITH over AS (
    DELETE FROM sign_in_try
    WHERE key IN (SELECT key FROM sign_in_try WHERE last_at < clock_timestamp() - 2 * {forget}::interval
                  ORDER BY last_at LIMIT 20 FOR UPDATE SKIP LOCKED)
      AND key <> {key}
)
INSERT INTO sign_in_try AS t (key, failures, last_at, free_at)
VALUES ({key}, 1, clock_timestamp(), clock_timestamp() + {first_pause}::float8 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN t.last_at < clock_timestamp() - {forget}::interval THEN 1 ELSE t.failures + 1 END,
    last_at = clock_timestamp(),
    free_at = clock_timestamp() + CASE
        WHEN t.last_at < clock_timestamp() - {forget}::interval THEN {first_pause}::float8
        WHEN t.failures + 1 < {free}::int THEN 0
        ELSE least({first_seconds}::float8 * 2.0 ^ least(t.failures + 1 - {free}::int, 30), {longest_seconds}::float8)
    END * interval '1 second'
WHERE t.free_at <= clock_timestamp()
RETURNING key;

-- wait_of_try --
-- How long until the next try.
SELECT greatest(extract(epoch FROM free_at - clock_timestamp()), 0) AS seconds FROM sign_in_try WHERE key = {key};

-- give_back_tries --
-- Takes one try back.
UPDATE sign_in_try SET failures = greatest(failures - 1, 0), free_at = clock_timestamp()
WHERE key = ANY({keys}::text[]);

-- know_address --
-- Notes from where somebody signs in, and keeps the newest twenty.
WITH older AS (
    DELETE FROM known_address
    WHERE id IN (SELECT id FROM known_address WHERE user_id = {user_id} AND address <> {address}
                 ORDER BY last_at DESC OFFSET 19)
)
INSERT INTO known_address (user_id, address) VALUES ({user_id}, {address})
ON CONFLICT (user_id, address) DO UPDATE SET last_at = clock_timestamp();

-- account --
-- An account as it is.
SELECT u.id, u.name, u.password_hash, u.created_at, u.disabled_at IS NOT NULL AS is_disabled,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor
FROM user_account u
WHERE u.id = {user_id};

-- hold_account --
-- An account as it is, and stays until this transaction ends: no password is changed and nobody disabled meanwhile.
SELECT u.id, u.name, u.password_hash, u.created_at, u.disabled_at IS NOT NULL AS is_disabled,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor
FROM user_account u
WHERE u.id = {user_id}
FOR NO KEY UPDATE OF u;

-- add_half_sign_in --
-- Somebody whose password was right and whose second factor is awaited. Those that ran out go.
WITH over AS (DELETE FROM half_sign_in WHERE expires_at < clock_timestamp())
INSERT INTO half_sign_in (id, user_id, digest, expires_at)
VALUES ({id}, {user_id}, {digest}, clock_timestamp() + {valid}::interval);

-- half_sign_in --
-- One whose second factor is still awaited.
SELECT h.user_id, u.name, u.password_hash IS NOT NULL AS has_password, u.created_at
FROM half_sign_in h JOIN user_account u ON u.id = h.user_id
WHERE h.id = {id} AND h.digest = {digest} AND h.expires_at > clock_timestamp() AND u.disabled_at IS NULL;

-- end_half_sign_in --
-- Whether it was still there: it ends once.
DELETE FROM half_sign_in WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING id;

-- keep_second_factor --
-- A new secret, to be confirmed by a first code. One that is confirmed already stays.
INSERT INTO second_factor AS f (id, user_id, secret) VALUES ({id}, {user_id}, {secret})
ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, secret = excluded.secret, last_step = 0,
                                    created_at = clock_timestamp()
WHERE NOT f.is_confirmed
RETURNING id;

-- take_step --
-- Takes the code of these 30 seconds, once; a first one confirms the secret.
UPDATE second_factor SET last_step = {step}, is_confirmed = true
WHERE id = {id} AND last_step < {step}
RETURNING id;

-- spend_recovery_code --
-- Uses one up.
DELETE FROM recovery_code WHERE user_id = {user_id} AND digest = {digest} RETURNING id;

-- keep_recovery_codes --
-- Digests of new ones; the old ones are worth nothing any more.
WITH old AS (DELETE FROM recovery_code WHERE user_id = {user_id})
INSERT INTO recovery_code (id, user_id, digest)
SELECT id, {user_id}, digest FROM unnest({ids}::uuid[], {digests}::text[]) AS new (id, digest);

-- sessions_of --
-- Sessions that are going on, the one used last first.
SELECT id, address, browser, created_at, last_seen_at, is_by_link
FROM login_session
WHERE user_id = {user_id} AND expires_at > clock_timestamp() AND last_seen_at > clock_timestamp() - {idle}::interval
ORDER BY last_seen_at DESC, id;

-- end_sessions --
-- Ends sessions of somebody: one, or all but one.
WITH ended AS (
    DELETE FROM login_session
    WHERE user_id = {user_id} AND ({only}::uuid IS NULL OR id = {only}) AND ({but}::uuid IS NULL OR id <> {but})
    RETURNING id
), told AS (
    SELECT id, pg_notify('reelkeeper_page', json_build_object('name', 'session', 'id', id, 'data', '')::text) FROM ended
)
SELECT id FROM told;

-- people --
-- Everybody with an account, or one, or one group.
SELECT u.id, u.name, u.created_at, u.disabled_at, u.password_hash IS NOT NULL AS has_password,
       u.issuer, u.subject,
       EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.is_confirmed) AS has_second_factor,
       (SELECT i.expires_at FROM invitation i WHERE i.user_id = u.id AND i.expires_at > clock_timestamp()) AS invited_until,
       (SELECT max(s.last_seen_at) FROM login_session s WHERE s.user_id = u.id) AS last_seen_at,
       ARRAY(SELECT g.name FROM user_group_member m JOIN user_group g ON g.id = m.user_group_id
             WHERE m.user_id = u.id ORDER BY lower(g.name)) AS groups
FROM user_account u
WHERE ({user_id}::uuid IS NULL OR u.id = {user_id})
ORDER BY lower(u.name), u.id;

-- add_account --
-- A new account, unless somebody is called so.
INSERT INTO user_account (id, name, issuer, subject)
SELECT {id}, {name}, {issuer}::text, {subject}::text
WHERE NOT EXISTS (SELECT FROM user_account WHERE lower(name) = lower({name}))
ON CONFLICT DO NOTHING
RETURNING id;

-- keep_invitation --
-- The one link of somebody; one that was made before is worth nothing any more.
INSERT INTO invitation (id, user_id, digest, created_by, expires_at)
VALUES ({id}, {user_id}, {digest}, {created_by}, clock_timestamp() + {valid}::interval)
ON CONFLICT (user_id) DO UPDATE SET id = excluded.id, digest = excluded.digest, created_by = excluded.created_by,
                                    created_at = clock_timestamp(), expires_at = excluded.expires_at
RETURNING expires_at;

-- invitation --
-- A link that can still be used.
SELECT i.id, i.user_id, u.name, u.password_hash IS NOT NULL AS has_password
FROM invitation i JOIN user_account u ON u.id = i.user_id
WHERE i.id = {id} AND i.digest = {digest} AND i.expires_at > clock_timestamp() AND u.disabled_at IS NULL;

-- people_with_reset_links --
-- Who can come in already, and has a link that can still be used.
SELECT i.user_id
FROM invitation i JOIN user_account u ON u.id = i.user_id
WHERE i.expires_at > clock_timestamp() AND (u.password_hash IS NOT NULL OR u.subject IS NOT NULL);

-- spend_invitation --
-- Uses it up.
DELETE FROM invitation WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() RETURNING user_id;

-- set_disabled --
-- Whether that is new.
UPDATE user_account SET disabled_at = CASE WHEN {is_disabled}::bool THEN clock_timestamp() END
WHERE id = {user_id} AND (disabled_at IS NOT NULL) <> {is_disabled}::bool
RETURNING id;

-- end_entries --
-- Links and half-finished sign-ins of somebody are worth nothing any more.
WITH links AS (DELETE FROM invitation WHERE user_id = {user_id})
DELETE FROM half_sign_in WHERE user_id = {user_id};

-- hold_sealing_keys --
-- Nobody else adds or forgets a key until this transaction ends.
SELECT pg_advisory_xact_lock(7233520);

-- add_sealing_key --
-- Notes that a key seals from now on.
INSERT INTO sealing_key (id, proof) VALUES ({id}, {proof}) ON CONFLICT (id) DO NOTHING;

-- server_uptime --
-- How long agents could have reached this database at most.
SELECT clock_timestamp() - pg_postmaster_start_time() AS uptime;

-- take_turn --
-- Whether this controller is the one that rescues now; until its transaction ends.
SELECT pg_try_advisory_xact_lock({key}) AS is_ours;

-- lost_jobs --
-- Leases that ran out longer ago than the grace of their phase. Locked rows are being renewed or ended: not lost.
SELECT j.id, j.recording_id, j.epoch, j.wish, l.phase, l.expires_at - {lease}::interval AS last_renewed_at,
       n.id AS node_id, n.name AS node_name
FROM lease l
JOIN job j ON j.id = l.job_id
JOIN node n ON n.id = j.node_id
WHERE CASE l.phase
          WHEN 'starting' THEN l.expires_at < clock_timestamp() - {grace_starting}::interval
          WHEN 'uploading' THEN l.expires_at < clock_timestamp()
                                AND l.progress_at < clock_timestamp() - {grace_uploading}::interval
          ELSE l.expires_at < clock_timestamp() - {grace_capturing}::interval
      END
ORDER BY j.id
LIMIT {limit}
FOR NO KEY UPDATE OF j, l SKIP LOCKED;

-- unclaimed_jobs --
-- Due starts that no node took. A planned window that is still open can be taken late: those are answered once, until
-- the event that tells of it is there.
SELECT j.id, j.recording_id, j.epoch, n.id AS node_id, n.name AS node_name,
       coalesce(s.last_seen_at > clock_timestamp() - {node_not_seen}::interval, false) AS is_node_seen,
       n.is_draining AS is_node_draining, w.window
FROM job j
JOIN node n ON n.id = j.node_id
LEFT JOIN node_seen s ON s.node_id = n.id
CROSS JOIN LATERAL (
    SELECT CASE WHEN j.window_ends_at < clock_timestamp() - {unclaimed}::interval THEN 'over'
                WHEN j.window_ends_at IS NULL OR j.settings ->> 'starts_at' IS NULL THEN 'none'
                ELSE 'open' END AS window
) w
WHERE j.state = 'queued' AND j.run_at < clock_timestamp() - {unclaimed}::interval
  AND (w.window <> 'open'
       OR NOT EXISTS (SELECT FROM health_event e WHERE e.recording_id = j.recording_id AND e.kind = 'not_claimed'))
ORDER BY j.id
LIMIT {limit}
FOR NO KEY UPDATE OF j SKIP LOCKED;

-- stored_roles --
-- Roles with how often they are given, those that come with Reelkeeper first; one of them when its id is given.
SELECT r.*, (SELECT count(*) FROM access_grant g WHERE g.role_id = r.id) AS uses
FROM role r
WHERE {role_id}::uuid IS NULL OR r.id = {role_id}
ORDER BY NOT r.is_built_in, CASE WHEN r.is_built_in THEN r.id::text ELSE lower(r.name) END, r.name;

-- change_role --
-- Changes the version that somebody has seen, and no later one.
UPDATE role
SET name = {name}, description = {description}, permissions = {permissions}, version = version + 1,
    changed_by = {changed_by}, changed_at = clock_timestamp()
WHERE id = {id} AND version = {version} AND NOT is_built_in
RETURNING id;

-- grants_in_words --
-- Grants with the names of what they are about: of one user with those that come by groups, of one group, of one role,
-- within one group of nodes, one of them, or all.
SELECT g.id, g.user_id, g.user_group_id, coalesce(u.name, ug.name) AS holder_name, r.id AS role_id, r.name AS role_name,
       r.permissions, g.effect, g.scope_kind, coalesce(g.node_id, g.node_group_id) AS place_id,
       coalesce(n.name, ng.name, g.folder, '') AS place_name, g.folder,
       CASE g.scope_kind
           WHEN 'node' THEN ARRAY [g.node_id]
           WHEN 'node_group'
               THEN ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.node_group_id)
           ELSE '{}'::uuid[]
       END AS nodes, g.created_by, g.created_at
FROM access_grant g
JOIN role r ON r.id = g.role_id
LEFT JOIN user_account u ON u.id = g.user_id
LEFT JOIN user_group ug ON ug.id = g.user_group_id
LEFT JOIN node n ON n.id = g.node_id
LEFT JOIN node_group ng ON ng.id = g.node_group_id
WHERE ({user_id}::uuid IS NULL OR g.user_id = {user_id}
       OR g.user_group_id IN (SELECT m.user_group_id FROM user_group_member m WHERE m.user_id = {user_id}))
  AND ({group_id}::uuid IS NULL OR g.user_group_id = {group_id})
  AND ({role_id}::uuid IS NULL OR g.role_id = {role_id})
  AND ({node_group_id}::uuid IS NULL OR g.node_group_id = {node_group_id})
  AND ({grant_id}::uuid IS NULL OR g.id = {grant_id})
ORDER BY g.user_id IS NULL, holder_name, g.effect, r.name, g.scope_kind, place_name, g.id;

-- add_grant --
-- Gives a role to somebody, once.
INSERT INTO access_grant (id, user_id, user_group_id, role_id, effect, scope_kind, node_id, node_group_id, folder, created_by)
VALUES ({id}, {user_id}, {group_id}, {role_id}, {effect}, {scope_kind}, {node_id}, {node_group_id}, {folder}, {created_by})
ON CONFLICT DO NOTHING
RETURNING id;

-- user_groups --
-- Groups with their members; one of them when its id is given.
SELECT g.id, g.name,
       coalesce(jsonb_agg(jsonb_build_array(u.id, u.name) ORDER BY u.name) FILTER (WHERE u.id IS NOT NULL), '[]') AS members
FROM user_group g
LEFT JOIN user_group_member m ON m.user_group_id = g.id
LEFT JOIN user_account u ON u.id = m.user_id
WHERE {group_id}::uuid IS NULL OR g.id = {group_id}
GROUP BY g.id
ORDER BY lower(g.name);

-- join_group --
-- Makes somebody a member of a group, once.
INSERT INTO user_group_member (user_group_id, user_id) VALUES ({group_id}, {user_id}) ON CONFLICT DO NOTHING RETURNING id;

-- leave_group --
-- Makes somebody no member of a group any more.
DELETE FROM user_group_member WHERE user_group_id = {group_id} AND user_id = {user_id} RETURNING id;

-- change_access_in_turn --
-- Who changes what people hold waits for another who does, until the transaction ends.
SELECT pg_advisory_xact_lock({key})::text;

-- add_audit_entry --
-- Id and instant come with it, and the names of recordings and nodes unless they are given.
INSERT INTO audit_entry (actor_kind, actor_id, actor_name, action, object_kind, object_id, object_name, before, after,
                         outcome, reason, address, request_id)
VALUES ({actor_kind}, {actor_id}, {actor_name}, {action}, {object_kind}::text, {object_id}::uuid,
        coalesce({object_name},
                 (SELECT name FROM recording WHERE id = {object_id}::uuid AND {object_kind}::text = 'recording'),
                 (SELECT name FROM node WHERE id = {object_id}::uuid AND {object_kind}::text = 'node')),
        {before}::jsonb, {after}::jsonb, {outcome}, {reason}, {address}, {request_id});

-- add_audit_entry_once --
-- Unless the same actor did the same to the same object a short while ago.
INSERT INTO audit_entry (actor_kind, actor_id, actor_name, action, object_kind, object_id, object_name, before, after,
                         outcome, reason, address, request_id)
SELECT {actor_kind}, {actor_id}::uuid, {actor_name}, {action}, {object_kind}, {object_id}::uuid, {object_name},
       {before}::jsonb, {after}::jsonb, {outcome}, {reason}, {address}, {request_id}::uuid
WHERE NOT EXISTS (
    SELECT FROM audit_entry e
    WHERE e.object_id = {object_id}::uuid AND e.action = {action} AND e.actor_kind = {actor_kind}
      AND e.actor_name = {actor_name} AND e.actor_id IS NOT DISTINCT FROM {actor_id}::uuid
      AND e.at > clock_timestamp() - make_interval(secs => {within_seconds}));

-- audit_entry --
-- An entry, by its number.
SELECT * FROM audit_entry WHERE id = {entry_id};

-- audit_actions --
-- Every action that was noted: a jump through the index for each.
WITH RECURSIVE known AS (
    (SELECT action FROM audit_entry ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT action FROM audit_entry WHERE action > known.action ORDER BY action LIMIT 1)
    FROM known WHERE known.action IS NOT NULL
)
SELECT action FROM known WHERE action IS NOT NULL;

-- oldest_audit_entry --
-- The first that is there.
SELECT * FROM audit_entry ORDER BY id LIMIT 1;

-- newest_audit_entry --
-- The last that is there.
SELECT id FROM audit_entry ORDER BY id DESC LIMIT 1;

-- audit_entries_between --
-- How many lie between two numbers, the second included.
SELECT count(*) AS entries FROM audit_entry WHERE id > {after} AND id <= {up_to};

-- audited_object --
-- What something is called, whoever asks.
SELECT name FROM recording WHERE id = {id} AND {kind} = 'recording'
UNION ALL SELECT name FROM node WHERE id = {id} AND {kind} = 'node'
UNION ALL SELECT label FROM interface WHERE id = {id} AND {kind} = 'interface'
UNION ALL SELECT r.name FROM job j JOIN recording r ON r.id = j.recording_id WHERE j.id = {id} AND {kind} = 'job';

-- oldest_transaction --
-- All with smaller numbers have ended.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS number;

-- own_transaction --
-- The number of the transaction that asks.
SELECT pg_current_xact_id()::text::bigint AS number;

-- last_audit_seal --
-- Up to where the audit is sealed.
SELECT entry_id, number, hash FROM audit_seal ORDER BY number DESC LIMIT 1;

-- unsealed_audit --
-- Entries as they are sealed: every column as text, in this order.
SELECT id, id::text AS sealed_id,
       to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS sealed_at,
       actor_kind AS sealed_actor_kind, actor_id::text AS sealed_actor_id, actor_name AS sealed_actor_name,
       action AS sealed_action,
       object_kind AS sealed_object_kind, object_id::text AS sealed_object_id, object_name AS sealed_object_name,
       before::text AS sealed_before, after::text AS sealed_after,
       outcome AS sealed_outcome, reason AS sealed_reason,
       address AS sealed_address, request_id::text AS sealed_request_id
FROM audit_entry
WHERE id > {after} AND id <= {up_to}
ORDER BY id
LIMIT {limit};

-- add_audit_seals --
-- Seals entries, each with its place in the chain.
INSERT INTO audit_seal (entry_id, number, hash)
SELECT * FROM unnest({entry_ids}::bigint[], {numbers}::bigint[], {hashes}::text[]);

-- tell_audit --
-- There are new entries.
SELECT pg_notify('reelkeeper_page', '{"name": "audit"}');

-- audit_links --
-- What lies at the next ids behind one, of a span of ids: entries as they are sealed, and seals.
WITH start AS MATERIALIZED (
    SELECT least((SELECT min(id) FROM audit_entry WHERE id > {after}),
                 (SELECT min(entry_id) FROM audit_seal WHERE entry_id > {after})) AS first
), bounds AS MATERIALIZED (
    SELECT first, least(first + {span}::bigint - 1, {up_to}::bigint) AS last FROM start
), entries AS (
    SELECT e.* FROM bounds CROSS JOIN LATERAL (
        SELECT * FROM audit_entry WHERE id BETWEEN bounds.first AND bounds.last) e
), seals AS (
    SELECT s.* FROM bounds CROSS JOIN LATERAL (
        SELECT * FROM audit_seal WHERE entry_id BETWEEN bounds.first AND bounds.last) s
)
SELECT coalesce(e.id, s.entry_id) AS link_id, s.number, s.hash,
       e.id, e.id::text AS sealed_id,
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS sealed_at,
       e.actor_kind AS sealed_actor_kind, e.actor_id::text AS sealed_actor_id, e.actor_name AS sealed_actor_name,
       e.action AS sealed_action,
       e.object_kind AS sealed_object_kind, e.object_id::text AS sealed_object_id, e.object_name AS sealed_object_name,
       e.before::text AS sealed_before, e.after::text AS sealed_after,
       e.outcome AS sealed_outcome, e.reason AS sealed_reason,
       e.address AS sealed_address, e.request_id::text AS sealed_request_id
FROM entries e FULL JOIN seals s ON s.entry_id = e.id
ORDER BY 1;

-- perhaps_administrators --
-- People who are not disabled and were given all of these permissions on everything, whatever may be denied to them.
SELECT u.id, u.password_hash IS NOT NULL OR u.subject IS NOT NULL AS can_sign_in
FROM user_account u
WHERE u.disabled_at IS NULL
  AND EXISTS (SELECT FROM held_grant g
              WHERE g.user_id = u.id AND g.effect = 'allow' AND g.scope_kind = 'everything'
                AND g.permissions @> {permissions}::text[])
ORDER BY u.id;

-- node_groups_with_nodes --
-- Groups of nodes, with those that are in them now.
SELECT g.id, g.name, ARRAY(SELECT m.node_id FROM node_group_member m WHERE m.node_group_id = g.id) AS nodes
FROM node_group g
ORDER BY lower(g.name);

-- add_setup_code --
-- Keeps the digest of a code of the first run, and no longer those that are too old.
WITH gone AS (DELETE FROM setup_code WHERE expires_at < clock_timestamp())
INSERT INTO setup_code (id, digest, expires_at) VALUES ({id}, {digest}, clock_timestamp() + {valid}::interval);

-- good_setup_code --
-- Whether a code of the first run could be spent.
SELECT id FROM setup_code
WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp() AND NOT EXISTS (SELECT FROM user_account);

-- spend_setup_codes --
-- Spends a code of the first run once; with it all others end.
WITH spent AS (
    DELETE FROM setup_code WHERE id = {id} AND digest = {digest} AND expires_at > clock_timestamp()
    RETURNING id
), others AS (
    DELETE FROM setup_code WHERE id <> {id} AND EXISTS (SELECT FROM spent)
)
SELECT id FROM spent;

-- begin_setup --
-- The first run of this installation, once.
INSERT INTO setup (user_id, step) VALUES ({user_id}, {step}) ON CONFLICT DO NOTHING;

-- end_setup --
-- The first run was gone through; its leftovers may be put away.
UPDATE setup
SET step = 'done', finished_at = coalesce(finished_at, clock_timestamp()),
    put_away_at = CASE WHEN {put_away}::boolean THEN coalesce(put_away_at, clock_timestamp()) ELSE put_away_at END;

-- change_profile --
-- Makes a profile that is locked its next version.
UPDATE profile
SET name = {name}, encoding = {encoding}, channel_mode = {channel_mode}, minimum_bytes = {minimum_bytes},
    length_limit_ms = {length_limit_ms}, size_limit_bytes = {size_limit_bytes}, idle_limit_ms = {idle_limit_ms},
    version = version + 1, changed_by = {changed_by}, changed_at = clock_timestamp()
WHERE id = {id};

-- add_profile --
-- A profile that is not the default.
INSERT INTO profile (id, name, encoding, channel_mode, minimum_bytes, length_limit_ms, size_limit_bytes, idle_limit_ms,
                     is_default, changed_by)
VALUES ({id}, {name}, {encoding}, {channel_mode}, {minimum_bytes}, {length_limit_ms}, {size_limit_bytes},
        {idle_limit_ms}, false, {changed_by});

-- profile_uses --
-- How many recordings were made with each profile.
SELECT profile_id, count(*) AS recordings FROM recording GROUP BY profile_id;

-- database_facts --
-- Version, size and newest migration of this database, and its present connections.
SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes,
       coalesce((SELECT max(name) FROM migration), '') AS newest_migration,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections;
