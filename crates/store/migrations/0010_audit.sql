-- Who did what. Rows are added and, when they are old, removed; never changed.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    principal TEXT,
    access_key_id TEXT,
    action TEXT NOT NULL,
    resource TEXT,
    session TEXT,
    outcome TEXT NOT NULL,
    error TEXT,
    statement TEXT,
    request TEXT,
    source TEXT,
    count INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
