-- Locks are taken in the order node, job, lease, cache file, recording, several of a kind in the order of their ids;
-- never FOR UPDATE, which would hold up every new row that refers to the locked one.
-- Of access: the key of a client, the turn to change what people hold, tokens.

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

-- lock_node_group --
-- A node group as it stands, until this transaction ends.
SELECT id FROM node_group WHERE id = {group_id} FOR NO KEY UPDATE;

-- lock_cache_file --
-- A cache file as it stands, until this transaction ends.
SELECT c.*, j.node_id FROM cache_file c JOIN job j ON j.id = c.job_id WHERE c.id = {cache_file_id} FOR NO KEY UPDATE OF c;

-- take_turn --
-- Whether this controller is the one that rescues now; until its transaction ends.
SELECT pg_try_advisory_xact_lock({key}) AS is_ours;

-- change_access_in_turn --
-- Who changes what people hold waits for another who does, until the transaction ends.
SELECT pg_advisory_xact_lock({key})::text;

-- answer_key_in_turn --
-- A request with a key of its client waits for another one of the same key, until that one's transaction ends. Two
-- numbers are never the same lock as one number; keys that share them merely wait for each other.
SELECT pg_advisory_xact_lock(hashtext({token_id}::uuid::text), hashtext({key}))::text;

-- hold_token --
-- Keeps a token from being revoked until this transaction ends; none when it was.
SELECT id FROM access_token WHERE id = {token_id} FOR KEY SHARE;
