-- Work that is done every now and then, by one instance at a time: sweeps, the end of what was kept long enough.
CREATE TABLE tasks (
    connection  TEXT    NOT NULL,
    task        TEXT    NOT NULL,               -- its name, such as 'sweep'
    due_at      INTEGER NOT NULL,               -- when it is to be done again; milliseconds since 1970
    cursor      TEXT,                           -- how far it has come, in its own words; NULL before the first time
    worker      BLOB,                           -- who took it up last
    lease_until INTEGER NOT NULL,               -- until when it is theirs; 0 while it rests
    PRIMARY KEY (connection, task)
) WITHOUT ROWID;

-- Calls taken from allowances that all instances share.
CREATE TABLE spent (
    connection TEXT    NOT NULL,
    allowance  TEXT    NOT NULL,                -- which one, such as 'hubspot.day'
    slot       INTEGER NOT NULL,                -- a part of its window: a day, a second
    n          INTEGER NOT NULL,                -- calls taken in it
    PRIMARY KEY (connection, allowance, slot)
) WITHOUT ROWID;
