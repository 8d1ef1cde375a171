-- Records that belong together, and what both sides last agreed on.
CREATE TABLE pairs (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection      TEXT COLLATE "C" NOT NULL,
    hubspot_kind    TEXT COLLATE "C" NOT NULL,  -- 'contact'
    hubspot_id      TEXT COLLATE "C" NOT NULL,
    salesforce_kind TEXT COLLATE "C" NOT NULL,  -- 'Lead' or 'Contact'
    salesforce_id   TEXT COLLATE "C" NOT NULL,  -- 18 characters
    stopped         TEXT,                       -- why nothing passes at the moment; NULL where it does
    base            TEXT   NOT NULL,            -- JSON: agreed values by HubSpot property
    UNIQUE (connection, hubspot_kind, hubspot_id)
) WITH (fillfactor = 70); -- with room beside it, a new base moves no index

-- From either record to its pair.
CREATE TABLE links (
    connection TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    record_id  TEXT COLLATE "C" NOT NULL,
    pair_id    BIGINT           NOT NULL REFERENCES pairs (id) ON DELETE CASCADE,
    PRIMARY KEY (connection, kind, record_id)
);

CREATE INDEX links_by_pair ON links (pair_id);

-- How each record stands, for people who ask.
CREATE TABLE records (
    connection     TEXT COLLATE "C" NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    record_id      TEXT COLLATE "C" NOT NULL,
    state          TEXT             NOT NULL,   -- 'linked', 'unlinked', 'excluded', ...
    last_synced_at BIGINT,                      -- when it was last brought into agreement
    category       TEXT,                        -- heading of the last error; NULL where the last attempt went well
    message        TEXT,                        -- the last error, in words
    PRIMARY KEY (connection, kind, record_id)
) WITH (fillfactor = 70); -- likewise

-- Conflicts that a person must decide.
CREATE TABLE conflicts (
    connection TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    record_id  TEXT COLLATE "C" NOT NULL,
    property   TEXT COLLATE "C" NOT NULL,       -- the HubSpot property
    text       TEXT             NOT NULL,       -- what is at odds, without values
    at         BIGINT           NOT NULL,       -- since when
    PRIMARY KEY (connection, kind, record_id, property)
);
