-- Times are milliseconds since the epoch. Words (status, tier) are spelled as the API spells them. A sealed column holds
-- nonce, ciphertext and tag; the row's identity is its associated data.

CREATE TABLE sealing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    canary BLOB NOT NULL                     -- sealed; opens only with the key that the other sealed columns need
) STRICT;

CREATE TABLE runtime (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tags TEXT NOT NULL,                      -- JSON object
    next_version INTEGER NOT NULL,           -- a deleted version's number is never given again
    deleting INTEGER NOT NULL DEFAULT 0,     -- the whole runtime, not one version of it
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX runtime_by_creation ON runtime (created_at, id);

CREATE TABLE version (
    runtime TEXT NOT NULL REFERENCES runtime ON DELETE CASCADE,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    config TEXT NOT NULL,                    -- JSON, its environment emptied
    environment BLOB NOT NULL,               -- sealed JSON object
    settings TEXT NOT NULL,                  -- JSON
    failure_reason TEXT,
    failure_log TEXT NOT NULL DEFAULT '[]',  -- JSON array of lines
    bundle TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (runtime, version)
) STRICT;
CREATE INDEX version_in_progress ON version (runtime, version) WHERE status IN ('CREATING', 'UPDATING', 'DELETING');

CREATE TABLE endpoint (
    runtime TEXT NOT NULL REFERENCES runtime ON DELETE CASCADE,
    name TEXT NOT NULL,
    live INTEGER,
    target INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (runtime, name),
    FOREIGN KEY (runtime, live) REFERENCES version
) STRICT;
CREATE INDEX endpoint_by_live ON endpoint (runtime, live);

CREATE TABLE client_token (
    operation TEXT NOT NULL,
    scope TEXT NOT NULL,                     -- the runtime that the request named; empty for Create
    token TEXT NOT NULL,
    digest TEXT NOT NULL,
    runtime TEXT,                            -- with version: what was made, which takes the token along when it is deleted;
    version INTEGER,                         -- both null for Delete, whose token outlives the runtime
    created_at INTEGER NOT NULL,
    PRIMARY KEY (operation, scope, token),
    FOREIGN KEY (runtime, version) REFERENCES version ON DELETE CASCADE
) STRICT;
CREATE INDEX client_token_by_age ON client_token (created_at);
CREATE INDEX client_token_by_version ON client_token (runtime, version);

CREATE TABLE access_key (
    id TEXT PRIMARY KEY,
    secret BLOB NOT NULL,                    -- sealed
    operator INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- No reference to runtime: a sandbox that ends while its runtime is being deleted still records why.
CREATE TABLE session (
    runtime TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    session TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    version INTEGER NOT NULL,
    tier TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    stopped_at INTEGER,
    stop_reason TEXT,                        -- JSON
    PRIMARY KEY (runtime, endpoint, session),
    CHECK ((stopped_at IS NULL) = (stop_reason IS NULL))
) STRICT;
CREATE INDEX session_by_start ON session (started_at);
CREATE INDEX session_by_runtime ON session (runtime, started_at);
CREATE INDEX session_live ON session (started_at) WHERE stopped_at IS NULL;
