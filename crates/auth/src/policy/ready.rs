//! Policies to begin with, by name. Each is an ordinary document: `docs/policies.md` says what it allows.

/// Names and documents.
pub const READY: [(&str, &str); 4] = [
    ("admin", include_str!("ready/admin.json")),
    ("deployer", include_str!("ready/deployer.json")),
    ("invoker", include_str!("ready/invoker.json")),
    ("read-only", include_str!("ready/read-only.json")),
];

/// Returns the document of that name.
pub fn ready(name: &str) -> Option<&'static str> {
    READY.iter().find(|(known, _)| *known == name).map(|(_, document)| *document)
}
