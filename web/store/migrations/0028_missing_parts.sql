-- Content that lacks what lay on a disk of its node that was away is delivered again, whole, once that disk is back.

CREATE FUNCTION lacks_a_part(c cache_file) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT c.state = 'cached' AND coalesce(c.facts @? '$.gaps[*] ? (@.cause == "disk_away")', false)
$$;

-- Whether a recording was delivered by this job, and nothing good is left of it here, or not all of it has come.
CREATE OR REPLACE FUNCTION is_wanted_again(j job) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state = 'completed'
       AND (EXISTS (SELECT FROM cache_file c WHERE c.job_id = j.id AND c.is_current AND lacks_a_part(c))
            OR EXISTS (SELECT FROM cache_file c WHERE c.job_id = j.id AND c.state = 'damaged')
               AND NOT EXISTS (SELECT FROM cache_file c WHERE c.recording_id = j.recording_id AND c.state = 'cached'))
$$;
