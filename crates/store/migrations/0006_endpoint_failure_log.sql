-- The agent's last log lines from the check that failed, for operators. A JSON array.
ALTER TABLE endpoint ADD COLUMN failure_log TEXT NOT NULL DEFAULT '[]';
