//! Identifiers, each parsed once at the edge into a type that cannot be wrong. Patterns: service model.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// A string that is not a valid identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must match {rule}")]
pub struct InvalidId {
    /// What the string was meant to be, as the API names it (`agentRuntimeName`).
    pub what: &'static str,
    /// The rule it breaks, as the API words it.
    pub rule: &'static str,
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the identifier, or the rule that `s` breaks.
            pub fn parse(s: impl Into<String>) -> Result<Self, InvalidId> {
                let s = s.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&s) { Ok(Self(s)) } else { Err(InvalidId { what: $what, rule: $rule }) }
            }

            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                Self::parse(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(s: String) -> Result<Self, InvalidId> {
                Self::parse(s)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

string_id!(
    /// A runtime's name: `[a-zA-Z][a-zA-Z0-9_]{0,47}`.
    RuntimeName, "agentRuntimeName", "[a-zA-Z][a-zA-Z0-9_]{0,47}", |s| is_name(s, 48)
);
string_id!(
    /// A runtime's id: its name, a hyphen, ten alphanumeric characters.
    RuntimeId, "agentRuntimeId", "[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}",
    |s| s.rsplit_once('-').is_some_and(|(name, suffix)| is_name(name, 100) && is_alphanumeric(suffix, 10))
);
string_id!(
    /// An endpoint's name, the *qualifier* of a request: `[a-zA-Z][a-zA-Z0-9_]{0,47}`.
    EndpointName, "endpointName", "[a-zA-Z][a-zA-Z0-9_]{0,47}", |s| is_name(s, 48)
);
string_id!(
    /// A capacity provider's name: `[a-zA-Z][a-zA-Z0-9_]{0,47}`.
    CapacityProviderName, "name", "[a-zA-Z][a-zA-Z0-9_]{0,47}", |s| is_name(s, 48)
);
string_id!(
    /// A capacity provider's id: its name, a hyphen, ten alphanumeric characters.
    CapacityProviderId, "capacityProviderId", "[a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10}",
    |s| s.rsplit_once('-').is_some_and(|(name, suffix)| is_name(name, 48) && is_alphanumeric(suffix, 10))
);
string_id!(
    /// A session's id: 33 to 256 visible ASCII characters. The model gives the request no pattern; what a header cannot carry
    /// is refused. Source: service model, which bounds the length only.
    SessionId, "runtimeSessionId", "[\\x21-\\x7E]{33,256}",
    |s| (33..=256).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic())
);
string_id!(
    /// A region: lower-case letters, digits and hyphens, at most 32.
    Region, "region", "[a-z0-9-]{1,32}",
    |s| (1..=32).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);
string_id!(
    /// An AWS account id: twelve digits.
    AccountId, "accountId", "[0-9]{12}", |s| s.len() == 12 && s.bytes().all(|b| b.is_ascii_digit())
);
string_id!(
    /// One sandbox on this host: lower-case letters and digits; the name of its directory.
    SandboxId, "sandboxId", "[a-z0-9]{8,40}",
    |s| (8..=40).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
);
string_id!(
    /// One request, as `x-amzn-requestid` and the logs carry it.
    RequestId, "requestId", "[A-Za-z0-9-]{1,64}",
    |s| (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);
string_id!(
    /// One invocation whose caller does not wait: 32 lower-case hexadecimal digits; the name of its result's file.
    InvocationId, "invocationId", "[0-9a-f]{32}",
    |s| s.len() == 32 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
string_id!(
    /// One terminal of a session, as its clients name it.
    ShellId, "shellId", "[a-zA-Z0-9][a-zA-Z0-9_-]{0,127}",
    |s| s.len() <= 128
        && s.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);
string_id!(
    /// The SHA-256 of an artifact as stored, in lower-case hex; also names the bundle made from it.
    ArtifactDigest, "artifact digest", "[0-9a-f]{64}",
    |s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

fn is_name(s: &str, max: usize) -> bool {
    s.len() <= max
        && s.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_alphanumeric(s: &str, len: usize) -> bool {
    s.len() == len && s.bytes().all(|b| b.is_ascii_alphanumeric())
}

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl RuntimeName {
    /// Returns the name that a folder called `folder` gets: what the API forbids becomes `_`. `None` if nothing usable is left.
    pub fn from_folder(folder: &str) -> Option<Self> {
        let s: String = folder.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(48).collect();
        let s = s.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        Self::parse(s).ok()
    }
}

impl RuntimeId {
    /// Returns a fresh id for a runtime called `name`; `random` supplies ten bytes.
    pub fn generate(name: &RuntimeName, random: [u8; 10]) -> Self {
        Self(with_suffix(name.as_str(), random))
    }
}

impl CapacityProviderId {
    /// Returns a fresh id for a capacity provider called `name`; `random` supplies ten bytes.
    pub fn generate(name: &CapacityProviderName, random: [u8; 10]) -> Self {
        Self(with_suffix(name.as_str(), random))
    }
}

fn with_suffix(name: &str, random: [u8; 10]) -> String {
    let suffix: String = random.iter().map(|b| char::from(ALPHANUMERIC[usize::from(*b) % 62])).collect();
    format!("{name}-{suffix}")
}

impl EndpointName {
    /// Returns `DEFAULT`, the endpoint that every runtime has and that follows its newest READY version.
    pub fn default_endpoint() -> Self {
        Self("DEFAULT".to_owned())
    }

    /// Tells whether this is `DEFAULT`, which no caller creates, moves or deletes.
    pub fn is_default(&self) -> bool {
        self.0 == "DEFAULT"
    }
}

impl SessionId {
    /// Returns a fresh id: a UUIDv4 of 36 characters, as every SDK would make it.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// Returns the valid id that people's short `name` stands for, the same every time: names of 33 to 256 visible characters
    /// stand for themselves; shorter ones are padded to `NAME-innkeep-session-000…` of 40 characters. `None` where a character
    /// is not visible ASCII or the name is empty or too long.
    pub fn from_short(name: &str) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        if name.len() >= 33 {
            return Self::parse(name).ok();
        }
        let stem = format!("{name}-innkeep-session-");
        Self::parse(format!("{stem:0<40}")).ok()
    }
}

impl ShellId {
    /// Returns a fresh id: a UUIDv4, as the SDK would make it.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }
}

impl RequestId {
    /// Returns a fresh id, shaped like a UUIDv4: unique, and no secret. Made without asking the kernel for randomness, which
    /// would be one system call in seven of a warm request.
    pub fn generate() -> Self {
        static START: LazyLock<(u64, u64)> = LazyLock::new(|| uuid::Uuid::new_v4().as_u64_pair());
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (START.0 ^ scramble(n), START.1.wrapping_add(n));
        let id = uuid::Builder::from_random_bytes(uuid::Uuid::from_u64_pair(high, scramble(low)).into_bytes());
        Self(id.into_uuid().to_string())
    }
}

/// Spreads a counter over all bits, one to one. Source: SplitMix64 (Steele, Lea, Flood, 2014).
fn scramble(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

impl InvocationId {
    /// Returns a fresh id, which nobody can guess.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

impl SandboxId {
    /// Returns a fresh id: 20 lower-case characters, short enough for a socket path.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string()[..20].to_owned())
    }
}

/// A version's number: 1 to 99999. Source: model, `[1-9][0-9]{0,4}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RuntimeVersion(u32);

impl RuntimeVersion {
    /// The version that Create makes.
    pub const FIRST: Self = Self(1);

    const INVALID: InvalidId = InvalidId { what: "agentRuntimeVersion", rule: "[1-9][0-9]{0,4}" };

    /// Returns the version with this number, if it is one (1 to 99999).
    pub fn new(n: u32) -> Option<Self> {
        (1..=99_999).contains(&n).then_some(Self(n))
    }

    /// Returns the version that `s` spells, without leading zeros.
    pub fn parse(s: &str) -> Result<Self, InvalidId> {
        if s.starts_with('0') || !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Self::INVALID);
        }
        s.parse().ok().and_then(Self::new).ok_or(Self::INVALID)
    }

    /// Returns the number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the version after this one; `None` after 99999.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

impl TryFrom<u32> for RuntimeVersion {
    type Error = InvalidId;
    fn try_from(n: u32) -> Result<Self, InvalidId> {
        Self::new(n).ok_or(Self::INVALID)
    }
}

impl From<RuntimeVersion> for u32 {
    fn from(version: RuntimeVersion) -> Self {
        version.0
    }
}

impl fmt::Display for RuntimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for good in ["a", "hello_1", &"a".repeat(48)] {
            assert!(RuntimeName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "a-b", "ä", &"a".repeat(49)] {
            assert!(RuntimeName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_runtime_ids_parse() {
        let name = RuntimeName::parse("hello").unwrap();
        let id = RuntimeId::generate(&name, [0, 61, 62, 255, 1, 2, 3, 4, 5, 6]);
        assert_eq!(RuntimeId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn folder_names_become_runtime_names() {
        assert_eq!(RuntimeName::from_folder("sdk-echo").unwrap().as_str(), "sdk_echo");
        assert_eq!(RuntimeName::from_folder("3d printer").unwrap().as_str(), "d_printer");
        assert_eq!(RuntimeName::from_folder("42"), None);
    }

    #[test]
    fn short_session_names_become_valid_ids() {
        let id = SessionId::from_short("alice").unwrap();
        assert_eq!(id.as_str(), "alice-innkeep-session-000000000000000000");
        assert_eq!(SessionId::from_short("alice"), Some(id));
        let long = "x".repeat(33);
        assert_eq!(SessionId::from_short(&long).unwrap().as_str(), long);
        assert_eq!(SessionId::from_short("two words"), None);
        assert_eq!(SessionId::from_short(""), None);
    }

    #[test]
    fn request_ids_are_unlike_each_other_and_look_like_uuids() {
        let ids: std::collections::HashSet<String> = (0..10_000).map(|_| RequestId::generate().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4, "{id}");
            assert!(RequestId::parse(id).is_ok());
        }
    }

    #[test]
    fn versions_have_one_spelling() {
        assert_eq!(RuntimeVersion::parse("7").unwrap().get(), 7);
        for bad in ["0", "07", "", "100000", "v1", "+1"] {
            assert!(RuntimeVersion::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_read_as_numbers_that_are_versions() {
        for (text, expect) in [("0", None), ("1", Some(1)), ("99999", Some(99_999)), ("100000", None)] {
            let read: Option<RuntimeVersion> = serde_json::from_str(text).ok();
            assert_eq!(read.map(RuntimeVersion::get), expect, "{text}");
            let key: Option<BTreeMap<RuntimeVersion, u32>> = serde_json::from_str(&format!("{{\"{text}\":1}}")).ok();
            assert_eq!(key.and_then(|map| map.into_keys().next()).map(RuntimeVersion::get), expect, "{text}");
        }
    }
}
