//! How many sandboxes of a version wait for sessions to come.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// The setting `pool`: a number, or the word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolSize {
    /// So many, always; 0 is none.
    Fixed(u32),
    /// As many as sessions arrive while one starts.
    Auto,
}

impl PoolSize {
    const AUTO: &'static str = "auto";
}

impl Serialize for PoolSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(size) => serializer.serialize_u32(*size),
            Self::Auto => serializer.serialize_str(Self::AUTO),
        }
    }
}

impl<'de> Deserialize<'de> for PoolSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrWord)
    }
}

struct NumberOrWord;

impl Visitor<'_> for NumberOrWord {
    type Value = PoolSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of sandboxes, or \"auto\"")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<PoolSize, E> {
        let size = u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))?;
        Ok(PoolSize::Fixed(size))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<PoolSize, E> {
        let size = u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
        Ok(PoolSize::Fixed(size))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<PoolSize, E> {
        match word {
            PoolSize::AUTO => Ok(PoolSize::Auto),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_the_word_auto_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<PoolSize>(json).map_err(|e| e.to_string());
        assert_eq!((read("3"), read("\"auto\"")), (Ok(PoolSize::Fixed(3)), Ok(PoolSize::Auto)));
        for wrong in ["-1", "1.5", "\"many\"", "true", "4294967296"] {
            assert!(read(wrong).is_err_and(|e| e.contains("a number of sandboxes, or \"auto\"")), "{wrong}");
        }
        assert_eq!(serde_json::to_string(&[PoolSize::Fixed(2), PoolSize::Auto]).unwrap(), r#"[2,"auto"]"#);
    }
}
