-- One row for each field written, recorded before the call that writes it.
CREATE TABLE audit (
    id           UUID   NOT NULL PRIMARY KEY,   -- UUID version 7
    connection   TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,     -- of the record written; for a create, of the record that lacked its twin
    record_id    TEXT COLLATE "C" NOT NULL,
    creates      TEXT,                          -- for a create, the kind of the new record
    field        TEXT   NOT NULL,
    old          TEXT   NOT NULL,               -- JSON
    new          TEXT   NOT NULL,               -- JSON
    rule         TEXT   NOT NULL,
    cause_kind   TEXT   NOT NULL,               -- 'delivery', 'resync', 'follow' or 'sweep'
    cause        UUID   NOT NULL,
    written      BOOLEAN,                       -- whether it was written; NULL while the outcome is open
    created_kind TEXT COLLATE "C",              -- for a create, the record that came of it
    created_id   TEXT COLLATE "C"
);

CREATE INDEX audit_by_record ON audit (connection, kind, record_id, id);

-- Rows of the create that a record came of; few rows are of creates.
CREATE INDEX audit_by_created ON audit (connection, created_kind, created_id, id) WHERE created_id IS NOT NULL;

-- Rows left open by a process that ended between a call and its answer.
CREATE INDEX audit_open ON audit (connection, kind, record_id) WHERE written IS NULL;
