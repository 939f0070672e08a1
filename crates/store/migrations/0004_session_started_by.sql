-- The request that a session's sandbox was started for; null for those that were started before this column was there.
ALTER TABLE session ADD COLUMN started_by TEXT;
