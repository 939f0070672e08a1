-- Invocations whose callers do not wait, until their results are too old. Results lie in files of the same names.
CREATE TABLE invocation (
    id TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    session TEXT NOT NULL,
    owner BLOB NOT NULL,
    request TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    ended_at INTEGER,
    head TEXT,
    bytes INTEGER NOT NULL,
    failure TEXT
) STRICT;
