-- Every sandbox that a session had: what finds its log. `session` knows the last one alone.
CREATE TABLE sandbox (
    id TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    session TEXT NOT NULL,
    version INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX sandbox_by_end ON sandbox (ended_at);

INSERT INTO sandbox SELECT sandbox, runtime, endpoint, session, version, started_at, stopped_at FROM session;
