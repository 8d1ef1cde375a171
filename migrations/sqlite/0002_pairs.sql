-- Records that belong together, and what both sides last agreed on.
CREATE TABLE pairs (
    id              INTEGER PRIMARY KEY,
    connection      TEXT    NOT NULL,
    hubspot_kind    TEXT    NOT NULL,           -- 'contact'
    hubspot_id      TEXT    NOT NULL,
    salesforce_kind TEXT    NOT NULL,           -- 'Lead' or 'Contact'
    salesforce_id   TEXT    NOT NULL,           -- 18 characters
    stopped         TEXT,                       -- why nothing passes at the moment; NULL where it does
    base            TEXT    NOT NULL,           -- JSON: agreed values by HubSpot property
    UNIQUE (connection, hubspot_kind, hubspot_id)
);

-- From either record to its pair.
CREATE TABLE links (
    connection TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    record_id  TEXT    NOT NULL,
    pair_id    INTEGER NOT NULL REFERENCES pairs (id) ON DELETE CASCADE,
    PRIMARY KEY (connection, kind, record_id)
) WITHOUT ROWID;

CREATE INDEX links_by_pair ON links (pair_id);

-- How each record stands, for people who ask.
CREATE TABLE records (
    connection     TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    record_id      TEXT    NOT NULL,
    state          TEXT    NOT NULL,            -- 'linked', 'unlinked', 'excluded', ...
    last_synced_at INTEGER,                     -- when it was last brought into agreement
    category       TEXT,                        -- heading of the last error; NULL where the last attempt went well
    message        TEXT,                        -- the last error, in words
    PRIMARY KEY (connection, kind, record_id)
) WITHOUT ROWID;

-- Conflicts that a person must decide.
CREATE TABLE conflicts (
    connection TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    record_id  TEXT    NOT NULL,
    property   TEXT    NOT NULL,                -- the HubSpot property
    text       TEXT    NOT NULL,                -- what is at odds, without values
    at         INTEGER NOT NULL,                -- since when
    PRIMARY KEY (connection, kind, record_id, property)
) WITHOUT ROWID;
