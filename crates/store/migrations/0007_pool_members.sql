-- Sandboxes that wait for a session. One that a session took has its row in `session`, and none here.
CREATE TABLE pool_member (
    sandbox TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    version INTEGER NOT NULL,
    tier TEXT NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;
