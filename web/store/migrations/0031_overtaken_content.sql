-- Content that a later one of the same job overtook: its agent has begun anew, as salvage does, and does not come back to it.
CREATE FUNCTION is_overtaken(c cache_file) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM cache_file o
                   WHERE o.recording_id = c.recording_id AND o.job_id = c.job_id AND o.state = 'cached'
                     AND o.created_at > c.created_at)
$$;
