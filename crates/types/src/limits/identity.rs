//! Limits of who may call: tokens and their issuers, keys, policies, the audit log.

use std::time::Duration;

/// How far a signature's date may be from ours. Source: IAM guide, "within five minutes".
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How far a token's `exp`, `nbf` and `iat` may be off from our clock. Source: our choice, within RFC 7519 section 4.1.4, "usually no more
/// than a few minutes".
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

/// The longest bearer token, bytes as sent. Source: our choice, below the 16 KiB that servers commonly take as one header.
pub const MAX_TOKEN_BYTES: usize = 16_000;

/// The longest header of a token, bytes as sent: certificate chains have no place in one that is sent with each request. Source: our
/// choice.
pub const MAX_TOKEN_HEADER_BYTES: usize = 4096;

/// The longest `kid`, bytes: it is what remembered keys and misses are filed under. Source: our choice.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// JSON values in a token's header, and in its claims. Source: our choice: one that lists 200 groups has some 230.
pub const MAX_TOKEN_VALUES: usize = 2000;

/// Depth of objects and arrays in a token, and in a key set. Source: our choice.
pub const MAX_TOKEN_DEPTH: usize = 16;

/// The longest key set of an issuer, bytes. Source: our choice: ten keys with their certificates are about 30 KB.
pub const MAX_KEY_SET_BYTES: usize = 256 << 10;

/// Keys in a key set, of any kind. Source: our choice.
pub const MAX_KEY_SET_KEYS: usize = 100;

/// JSON values in a key set. Source: our choice, 40 for each key.
pub const MAX_KEY_SET_VALUES: usize = 40 * MAX_KEY_SET_KEYS;

/// The longest discovery URL, bytes. Source: our choice; the model has no maximum.
pub const MAX_DISCOVERY_URL_BYTES: usize = 2048;

/// For how long a presigned request is good at most, from its date. Source: bedrock-agentcore SDK, `generate_presigned_url`.
pub const MAX_PRESIGNED_LIFETIME: Duration = Duration::from_secs(300);

/// For how long a temporary key is good at most. Source: STS API reference, AssumeRole `DurationSeconds`.
pub const MAX_TEMPORARY_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// For how long it is good, unless asked. Source: STS API reference, AssumeRole `DurationSeconds`.
pub const TEMPORARY_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Characters of a session policy. Source: STS API reference, AssumeRole `Policy`.
pub const MAX_SESSION_POLICY_CHARS: usize = 2048;

/// For how long a key that was rotated still works, unless asked. Source: our choice: a day to roll the new one out.
pub const ROTATION_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it may still work at most. Source: our choice.
pub const MAX_ROTATION_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Access keys of a server. They are all held in memory. Source: IAM quotas, 5000 users in an account.
pub const MAX_ACCESS_KEYS: usize = 5000;

/// Policies of one access key. Source: IAM quotas, managed policies attached to a user.
pub const MAX_KEY_POLICIES: usize = 10;

/// For how long a key that expires is good at most. Source: our choice; what is to last longer need not expire.
pub const MAX_KEY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long a key's last use may go unwritten. Source: our choice: coarse enough for no request to notice.
pub const KEY_USE_INTERVAL: Duration = Duration::from_secs(3 * 60);

/// Characters of a principal's name. Source: IAM API reference, `UserName`.
pub const MAX_PRINCIPAL_NAME_CHARS: usize = 64;

/// Characters of an access key's description. Source: our choice.
pub const MAX_KEY_DESCRIPTION_CHARS: usize = 256;

/// Days for which the audit log is kept. Source: our choice.
pub const AUDIT_RETENTION_DAYS: u32 = 90;

/// Audit events that wait to be written; of more only the number is written. Source: our choice: a second's worth of a busy server.
pub const AUDIT_QUEUE: usize = 4096;

/// Refusals in a burst that the audit log has a line for each of. Source: our choice.
pub const AUDIT_REFUSALS_BURST: u32 = 100;

/// Refusals per second that it has lines for in the long run; further ones are counted. Source: our choice: a flood of 90 days takes
/// less than 4 GB, at some 250 bytes a line.
pub const AUDIT_REFUSALS_PER_SECOND: u32 = 1;

/// Issuers of tokens of which something is remembered; whoever was unused for longest is forgotten. Source: our choice; each costs up
/// to a few hundred KiB.
pub const MAX_ISSUERS: usize = 256;

/// Time in which an issuer must have sent discovery document and key set. Source: our choice; requests wait for it.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an issuer may send us on to another URL, for each of its documents. Source: our choice; most do never.
pub const MAX_ISSUER_REDIRECTS: usize = 3;

/// An issuer's discovery document, bytes. Source: our choice; they have a few KiB.
pub const MAX_DISCOVERY_BYTES: usize = 64 << 10;

/// Time for which an issuer's keys are good if it does not say. Source: our choice.
pub const ISSUER_KEYS_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The least and the most that it may say. Source: our choice: a key that was withdrawn is refused within an hour.
pub const ISSUER_KEYS_LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// Time for which they are good besides, while the issuer cannot be asked. Source: our choice.
pub const ISSUER_KEYS_GRACE: Duration = Duration::from_secs(60 * 60);

/// Time for which an issuer that failed is not asked again. Source: our choice.
pub const ISSUER_RETRY: Duration = Duration::from_secs(10);

/// Time between two questions to an issuer about keys that tokens name and that it did not publish. Source: our choice: whoever makes
/// up tokens makes us ask no more often.
pub const ISSUER_UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);

/// A list in a runtime's authorizer that the model leaves without a maximum: items. Source: our choice; each version keeps its own.
pub const MAX_AUTHORIZER_ITEMS: usize = 1000;

/// A policy document, bytes. Source: model, `PutResourcePolicy.policy` 1..20480; the same for a principal's.
pub const MAX_POLICY_BYTES: usize = 20_480;

/// Statements of a policy document. Source: our choice: more than fit into one of common size.
pub const MAX_POLICY_STATEMENTS: usize = 250;

/// The longest text that policies are held against (an ARN, a tag), bytes; what is longer is denied. Source: model, role ARNs
/// 1..2048, the longest of all.
pub const MAX_POLICY_VALUE_BYTES: usize = 2048;

/// Tags of a request that policies are held against; with more it is denied. Source: model, `Tags` and `TagKeys` 0..50, and room
/// for the operation to say so itself.
pub const MAX_POLICY_TAGS: usize = 200;
