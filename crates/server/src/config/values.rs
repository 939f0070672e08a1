//! Values of settings that serde does not read by itself.

use std::net::IpAddr;

use innkeep_artifacts::Secret;
use serde::{Deserialize, Deserializer, de};

/// `host`, or the absolute path of a tree.
pub(super) mod base {
    use std::path::Path;

    use innkeep_protocol::walls::Base;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(in crate::config) fn serialize<S: Serializer>(base: &Base, serializer: S) -> Result<S::Ok, S::Error> {
        match base {
            Base::Host => "host".serialize(serializer),
            Base::Tree(path) => path.serialize(serializer),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Base, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "host" => Ok(Base::Host),
            path if Path::new(path).is_absolute() => Ok(Base::Tree(path.into())),
            other => Err(de::Error::custom(format!("base is {other:?}, but must be \"host\" or an absolute path"))),
        }
    }
}

/// Reads a list of addresses, or a text with commas between them, as variables have it.
pub(super) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let parse = |text: &String| text.parse().map_err(|_| de::Error::custom(format!("dns: {text:?} is no IP address")));
    list(deserializer)?.iter().map(parse).collect()
}

/// Reads a list of texts, or one with commas between them.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    let texts = match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => list,
        ListOrText::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    let given = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    Ok(given.map(str::to_owned).collect())
}

/// Reads a secret. What is none is not shown: it may be one that was misspelled.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    match toml::Value::deserialize(deserializer) {
        Ok(toml::Value::String(text)) if !text.is_empty() => Ok(Secret(text)),
        _ => Err(de::Error::custom("a secret must be a text that is not empty")),
    }
}

/// Reads a secret that need not be there.
pub(super) fn some_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    secret(deserializer).map(Some)
}
