-- Dirty records: one entry each, and one for each part of a delivery that could not be read.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,
    connection  TEXT    NOT NULL,
    family      TEXT    NOT NULL,               -- 'people'; '' for an unreadable part
    kind        TEXT    NOT NULL,               -- 'contact', 'Lead', 'Contact'; 'part' for an unreadable part
    record_id   TEXT    NOT NULL,               -- for an unreadable part: delivery id, '#', position
    dirty       INTEGER NOT NULL,               -- moves with each mark; a job is closed only if it did not move while it was worked on
    state       TEXT    NOT NULL,               -- 'due', 'waiting' or 'parked'; a due one under a lease is running
    due_at      INTEGER NOT NULL,
    dirty_since INTEGER NOT NULL,               -- when the oldest change not yet worked happened
    occurred_at INTEGER NOT NULL,               -- when the newest change happened
    attempts    INTEGER NOT NULL DEFAULT 0,     -- failed ones
    category    TEXT,                           -- heading of the last error
    message     TEXT,                           -- the last error, in words
    cause_kind  TEXT    NOT NULL,               -- 'delivery', 'resync', 'follow' or 'sweep'
    cause       BLOB    NOT NULL,               -- its UUID
    told        TEXT,                           -- JSON: values told, where every mark said that we ourselves wrote last
    worker      BLOB,                           -- who works on it, and with it on the record's pair; NULL for nobody
    lease_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (connection, kind, record_id)
);

-- What a claim looks for, in the order in which it takes it.
CREATE INDEX jobs_due ON jobs (connection, family, due_at) WHERE state <> 'parked';

-- What an ending worker gives back.
CREATE INDEX jobs_leased ON jobs (worker) WHERE worker IS NOT NULL;

-- Resyncs that a person asked for.
CREATE TABLE resyncs (
    id         BLOB    NOT NULL PRIMARY KEY,    -- UUID version 7
    connection TEXT    NOT NULL,
    all_of     TEXT,                            -- what to go through: a kind, or 'list:' and a list's id; NULL where records were named
    keys       TEXT    NOT NULL,                -- JSON: the records named and not marked yet
    dry_run    INTEGER NOT NULL,
    complete   INTEGER NOT NULL,                -- whether every record was marked or looked at
    cursor     TEXT,                            -- where the next page starts
    total      INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    preview    TEXT    NOT NULL,                -- JSON: what a dry run found, by kind of step
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- How connections stand; one that is not here runs.
CREATE TABLE connections (
    name       TEXT    NOT NULL PRIMARY KEY,
    state      TEXT    NOT NULL,                -- 'running', 'paused', 'unauthorized' or 'refused'
    reason     TEXT    NOT NULL,                -- '' where there is none
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;
