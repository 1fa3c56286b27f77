-- What a message costs by its last status that said so, and what was charged for a part's recipients. NULL: nobody said it.
ALTER TABLE message_state ADD COLUMN pricing TEXT;
ALTER TABLE part ADD COLUMN charged BLOB;
