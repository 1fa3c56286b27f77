-- The how manieth of its conversation a message is. Rows from before have 0: not known.
ALTER TABLE message ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
