-- What the messages about a record said of the change, and whether a person asked for this one record.
ALTER TABLE jobs ADD COLUMN
    changed     TEXT;                           -- JSON: HubSpot properties told, each with when it last changed; NULL where anything may have
ALTER TABLE jobs ADD COLUMN
    asked_alone INTEGER NOT NULL DEFAULT 0;     -- whether a resync of this one record asks for it
