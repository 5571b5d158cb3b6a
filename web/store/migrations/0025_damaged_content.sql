-- Content that was damaged after its seal is sent again by a node that still holds it.

-- Whether a recording was delivered by this job, and nothing good is left of it here.
CREATE FUNCTION is_wanted_again(j job) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state = 'completed'
       AND EXISTS (SELECT FROM cache_file c WHERE c.job_id = j.id AND c.state = 'damaged')
       AND NOT EXISTS (SELECT FROM cache_file c WHERE c.recording_id = j.recording_id AND c.state = 'cached')
$$;

-- Whether content of an ended job can be wanted no more. What failed may be salvaged, until a later attempt completes.
CREATE OR REPLACE FUNCTION is_unwanted(j job) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state = 'cancelled'
        OR j.state = 'completed' AND NOT is_wanted_again(j)
        OR j.state = 'failed' AND (j.wish = 'cancel'
                                   OR EXISTS (SELECT FROM job later
                                              WHERE later.recording_id = j.recording_id AND later.attempt > j.attempt
                                                AND later.state = 'completed'))
$$;
