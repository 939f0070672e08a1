-- Digest of what made the sandbox: settings, host and build. Of a server that did not say, it fits nothing.
ALTER TABLE pool_member ADD COLUMN made_of TEXT NOT NULL DEFAULT '';
