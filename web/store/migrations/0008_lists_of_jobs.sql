-- The list of jobs and its counts read what they show, not the whole table.
CREATE INDEX job_newest ON job (created_at DESC, id DESC);
CREATE INDEX job_in_state ON job (state, ended_at) INCLUDE (node_id);
