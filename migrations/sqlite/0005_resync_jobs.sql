-- Which resyncs wait for which jobs: a record asked for twice counts for both, and for each of them once. Whoever ends a job counts it
-- and deletes its rows here; a foreign key would look for them once more.
CREATE TABLE resync_jobs (
    job_id INTEGER NOT NULL,
    resync BLOB    NOT NULL,                    -- the resync's UUID
    PRIMARY KEY (job_id, resync)
) WITHOUT ROWID;
