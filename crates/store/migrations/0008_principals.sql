-- Whose a key is, and what it may do. `policies` is a JSON array: names of ready-made ones, and documents in IAM's language.
ALTER TABLE access_key ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE access_key ADD COLUMN policies TEXT NOT NULL DEFAULT '[]';
ALTER TABLE access_key ADD COLUMN description TEXT;
ALTER TABLE access_key ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE access_key ADD COLUMN expires_at INTEGER;
-- Coarse: written every few minutes, not at every use.
ALTER TABLE access_key ADD COLUMN last_used_at INTEGER;
-- The key that a rotation made in its place.
ALTER TABLE access_key ADD COLUMN replaced_by TEXT;

-- Until now every key could do everything, and the first start made the only one.
UPDATE access_key SET name = 'root', policies = '["admin"]';
