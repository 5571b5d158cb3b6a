-- To find the cache files that grow, or never went on growing, among all that are cached.

CREATE INDEX cache_file_growing ON cache_file (job_id) WHERE state = 'receiving';
