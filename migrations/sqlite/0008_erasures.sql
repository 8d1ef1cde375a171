-- Contacts that were erased for privacy and whose values are not gone from here yet.
CREATE TABLE erasures (
    connection       TEXT    NOT NULL,
    kind             TEXT    NOT NULL,          -- 'contact'
    record_id        TEXT    NOT NULL,
    told_at          INTEGER NOT NULL,          -- when we were told; milliseconds since 1970
    counterpart_kind TEXT,                      -- the record it was paired with, which had its values; NULL before that was looked up
    counterpart_id   TEXT,
    step             TEXT    NOT NULL,          -- what comes next: 'pair', 'deliveries', 'audit' or 'again'
    cursor           BLOB,                      -- the delivery looked at last
    PRIMARY KEY (connection, kind, record_id)
) WITHOUT ROWID;

-- Addresses of such contacts, as keyed hashes: nobody is made of them again but by hand.
CREATE TABLE erased_addresses (
    connection TEXT    NOT NULL,
    hash       BLOB    NOT NULL,                -- HMAC-SHA256 of the address
    erased_at  INTEGER NOT NULL,                -- milliseconds since 1970
    PRIMARY KEY (connection, hash)
) WITHOUT ROWID;

-- Keys made at random once, which never leave the database.
CREATE TABLE secret_keys (
    name  TEXT NOT NULL PRIMARY KEY,            -- what it is for
    value BLOB NOT NULL                         -- 32 bytes
) WITHOUT ROWID;
