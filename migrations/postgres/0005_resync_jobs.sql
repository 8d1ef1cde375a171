-- Which resyncs wait for which jobs: a record asked for twice counts for both, and for each of them once.
CREATE TABLE resync_jobs (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    resync UUID   NOT NULL,                     -- the resync's UUID
    PRIMARY KEY (job_id, resync)
);
