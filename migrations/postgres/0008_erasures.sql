-- Contacts that were erased for privacy and whose values are not gone from here yet.
CREATE TABLE erasures (
    connection       TEXT COLLATE "C" NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL, -- 'contact'
    record_id        TEXT COLLATE "C" NOT NULL,
    told_at          BIGINT NOT NULL,           -- when we were told; milliseconds since 1970
    counterpart_kind TEXT COLLATE "C",          -- the record it was paired with, which had its values; NULL before that was looked up
    counterpart_id   TEXT COLLATE "C",
    step             TEXT   NOT NULL,           -- what comes next: 'pair', 'deliveries', 'audit' or 'again'
    cursor           UUID,                      -- the delivery looked at last
    PRIMARY KEY (connection, kind, record_id)
);

-- Addresses of such contacts, as keyed hashes: nobody is made of them again but by hand.
CREATE TABLE erased_addresses (
    connection TEXT COLLATE "C" NOT NULL,
    hash       BYTEA            NOT NULL,       -- HMAC-SHA256 of the address
    erased_at  BIGINT           NOT NULL,       -- milliseconds since 1970
    PRIMARY KEY (connection, hash)
);

-- Keys made at random once, which never leave the database.
CREATE TABLE secret_keys (
    name  TEXT  NOT NULL PRIMARY KEY,           -- what it is for
    value BYTEA NOT NULL                        -- 32 bytes
);
