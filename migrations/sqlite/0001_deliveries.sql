-- What the CRMs sent, as it came, for inspection and replay.
CREATE TABLE deliveries (
    id          BLOB    NOT NULL PRIMARY KEY, -- UUID version 7, so that rows are appended in the order of their arrival
    connection  TEXT,                         -- the connection; NULL where the call names an account that no connection has
    source      TEXT    NOT NULL,             -- 'hubspot' or 'salesforce'
    received_at INTEGER NOT NULL,             -- milliseconds since 1970
    outcome     TEXT    NOT NULL,             -- 'accepted', 'unknown' or 'refused'
    n_events    INTEGER NOT NULL,             -- events or notifications in it
    n_echoes    INTEGER NOT NULL,             -- how many of them were the echo of our own writes
    body        BLOB    NOT NULL              -- the raw bytes
) WITHOUT ROWID;

-- Notifications seen, because Salesforce repeats one even after it was acknowledged.
CREATE TABLE notifications (
    connection   TEXT    NOT NULL,
    notification TEXT    NOT NULL,            -- the sender's own id of it
    seen_at      INTEGER NOT NULL,            -- milliseconds since 1970
    PRIMARY KEY (connection, notification)
) WITHOUT ROWID;

-- Which of them were kept long enough.
CREATE INDEX notifications_seen ON notifications (seen_at);
