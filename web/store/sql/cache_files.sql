-- cache_file --
-- A cache file of a scope, by its id.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.id = {cache_file_id} AND in_scope({scope}::jsonb, r.node_id, r.folder);

-- current_cache_file --
-- The cache file that stands for a recording.
SELECT c.*, r.node_id FROM cache_file c JOIN recording r ON r.id = c.recording_id
WHERE c.recording_id = {recording_id} AND c.is_current AND in_scope({scope}::jsonb, r.node_id, r.folder);

-- stand_back --
-- Whatever stood for a recording makes room, unless it is good content.
UPDATE cache_file SET is_current = false
WHERE recording_id = {recording_id} AND is_current AND state <> 'cached' AND id <> {cache_file_id};

-- make_way --
-- What lacks a part makes room for content of the same job that was sealed just now, and lacks less.
UPDATE cache_file c SET is_current = false
WHERE c.job_id = {job_id} AND c.is_current AND c.id <> {cache_file_id} AND lacks_a_part(c)
  AND {missing_frames}::bigint < greatest(1, (SELECT sum((gap ->> 'frames')::bigint)
                                              FROM jsonb_array_elements(c.facts -> 'gaps') gap
                                              WHERE gap ->> 'cause' = 'disk_away'));

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
WHERE c.state = 'receiving' AND (is_unwanted(j) OR is_overtaken(c))
  AND j.ended_at < clock_timestamp() - {since}::interval
ORDER BY c.id
LIMIT {limit};

-- forget_cache_file --
-- An abandoned cache file whose bytes are gone.
DELETE FROM cache_file c USING job j
WHERE c.id = {cache_file_id} AND c.state = 'receiving' AND j.id = c.job_id
  AND (is_unwanted(j) OR is_overtaken(c))
RETURNING c.recording_id;
