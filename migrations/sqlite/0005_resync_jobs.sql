-- Which resyncs wait for which jobs: a record asked for twice counts for both, and for each of them once.
CREATE TABLE resync_jobs (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    resync BLOB    NOT NULL,                    -- the resync's UUID
    PRIMARY KEY (job_id, resync)
) WITHOUT ROWID;
