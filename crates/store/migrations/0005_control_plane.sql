-- What callers say about an endpoint, why it could not move, and how it shares out its new sessions.
ALTER TABLE endpoint ADD COLUMN description TEXT;
ALTER TABLE endpoint ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';           -- JSON object
ALTER TABLE endpoint ADD COLUMN failure_reason TEXT;
ALTER TABLE endpoint ADD COLUMN split TEXT NOT NULL DEFAULT '{}';          -- JSON object, version to weight; empty: all to `live`
ALTER TABLE endpoint ADD COLUMN ends_split INTEGER NOT NULL DEFAULT 0;     -- the move in progress ends the split
CREATE INDEX endpoint_in_progress ON endpoint (runtime, name) WHERE status IN ('CREATING', 'UPDATING', 'DELETING');
UPDATE endpoint SET failure_reason =
    (SELECT v.failure_reason FROM version v WHERE v.runtime = endpoint.runtime AND v.version = endpoint.target)
WHERE status = 'CREATE_FAILED';

-- Kept by what the ARN names, so that a policy goes with its resource.
CREATE TABLE resource_policy (
    runtime TEXT NOT NULL REFERENCES runtime ON DELETE CASCADE,
    endpoint TEXT,                           -- null: of the runtime itself
    policy TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (runtime, endpoint) REFERENCES endpoint ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX resource_policy_of ON resource_policy (runtime, coalesce(endpoint, ''));
CREATE INDEX resource_policy_by_endpoint ON resource_policy (runtime, endpoint);

CREATE TABLE capacity_provider (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    permissions TEXT NOT NULL,               -- JSON, as validated
    compute TEXT NOT NULL,                   -- JSON, as validated
    tags TEXT NOT NULL,                      -- JSON object
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX capacity_provider_by_creation ON capacity_provider (created_at, id);

-- A token now has the first answer itself, whatever has become of what it tells of. Those of the day before are forgotten.
DROP TABLE client_token;
CREATE TABLE client_token (
    operation TEXT NOT NULL,
    scope TEXT NOT NULL,                     -- the resource that the request named; empty where it named none
    token TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer TEXT NOT NULL,                    -- JSON, without environments
    made TEXT,                               -- the resource that takes the token along when it goes; null for Delete
    created_at INTEGER NOT NULL,
    PRIMARY KEY (operation, scope, token)
) STRICT;
CREATE INDEX client_token_by_age ON client_token (created_at);
CREATE INDEX client_token_by_what_was_made ON client_token (made);
