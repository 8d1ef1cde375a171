-- Dirty records: one entry each, and one for each part of a delivery that could not be read.
CREATE TABLE jobs (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection  TEXT COLLATE "C" NOT NULL,
    family      TEXT COLLATE "C" NOT NULL,      -- 'people'; '' for an unreadable part
    kind        TEXT COLLATE "C" NOT NULL,      -- 'contact', 'Lead', 'Contact'; 'part' for an unreadable part
    record_id   TEXT COLLATE "C" NOT NULL,      -- for an unreadable part: delivery id, '#', position
    dirty       BIGINT NOT NULL,                -- moves with each mark; a job is closed only if it did not move while it was worked on
    state       TEXT   NOT NULL,                -- 'due', 'waiting' or 'parked'; a due one under a lease is running
    due_at      BIGINT NOT NULL,
    dirty_since BIGINT NOT NULL,                -- when the oldest change not yet worked happened
    occurred_at BIGINT NOT NULL,                -- when the newest change happened
    attempts    BIGINT NOT NULL DEFAULT 0,      -- failed ones
    category    TEXT,                           -- heading of the last error
    message     TEXT,                           -- the last error, in words
    cause_kind  TEXT   NOT NULL,                -- 'delivery', 'resync', 'follow' or 'sweep'
    cause       UUID   NOT NULL,                -- its UUID
    told        TEXT,                           -- JSON: values told, where every mark said that we ourselves wrote last
    worker      UUID,                           -- who works on it, and with it on the record's pair; NULL for nobody
    lease_until BIGINT NOT NULL DEFAULT 0,
    UNIQUE (connection, kind, record_id)
) WITH (fillfactor = 50); -- a job lives for one lease: with room beside it, taking one moves no index

-- What a claim looks for, in the order in which it takes it.
CREATE INDEX jobs_due ON jobs (connection, family, due_at, id) WHERE state <> 'parked';

-- There is no index for what an ending worker gives back: it would move with every lease, and the table is short.

-- Resyncs that a person asked for.
CREATE TABLE resyncs (
    id         UUID    NOT NULL PRIMARY KEY,    -- UUID version 7
    connection TEXT    NOT NULL,
    all_of     TEXT,                            -- what to go through: a kind, or 'list:' and a list's id; NULL where records were named
    keys       TEXT    NOT NULL,                -- JSON: the records named and not marked yet
    dry_run    BOOLEAN NOT NULL,
    complete   BOOLEAN NOT NULL,                -- whether every record was marked or looked at
    cursor     TEXT,                            -- where the next page starts
    total      BIGINT  NOT NULL,
    done       BIGINT  NOT NULL,
    failed     BIGINT  NOT NULL,
    preview    TEXT    NOT NULL,                -- JSON: what a dry run found, by kind of step
    created_at BIGINT  NOT NULL
);

-- How connections stand; one that is not here runs.
CREATE TABLE connections (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state      TEXT   NOT NULL,                 -- 'running', 'paused', 'unauthorized' or 'refused'
    reason     TEXT   NOT NULL,                 -- '' where there is none
    changed_at BIGINT NOT NULL
);
