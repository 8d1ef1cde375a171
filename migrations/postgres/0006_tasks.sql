-- Work that is done every now and then, by one instance at a time: sweeps, the end of what was kept long enough.
CREATE TABLE tasks (
    connection  TEXT COLLATE "C" NOT NULL,
    task        TEXT COLLATE "C" NOT NULL,      -- its name, such as 'sweep'
    due_at      BIGINT NOT NULL,                -- when it is to be done again; milliseconds since 1970
    cursor      TEXT,                           -- how far it has come, in its own words; NULL before the first time
    worker      UUID,                           -- who took it up last
    lease_until BIGINT NOT NULL,                -- until when it is theirs; 0 while it rests
    PRIMARY KEY (connection, task)
);

-- Calls taken from allowances that all instances share.
CREATE TABLE spent (
    connection TEXT COLLATE "C" NOT NULL,
    allowance  TEXT COLLATE "C" NOT NULL,       -- which one, such as 'hubspot.day'
    slot       BIGINT NOT NULL,                 -- a part of its window: a day, a second
    n          BIGINT NOT NULL,                 -- calls taken in it
    PRIMARY KEY (connection, allowance, slot)
);
