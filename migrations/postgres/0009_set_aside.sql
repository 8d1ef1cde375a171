-- How many fields of a pair hold something else on both sides, because the value of one does not fit the other.
ALTER TABLE pairs ADD COLUMN set_aside INTEGER NOT NULL DEFAULT 0; -- which they are is in the base

CREATE INDEX pairs_set_aside ON pairs (connection, id) WHERE set_aside > 0;
