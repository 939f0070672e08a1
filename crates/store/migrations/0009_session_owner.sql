-- Whose a session is: a keyed digest of who started it, 32 bytes; null for those that were started before this column was there.
ALTER TABLE session ADD COLUMN owner BLOB;
