//! Query parameters of the operator API.

use std::str::FromStr;

use innkeep_types::ErrorKind;
use percent_encoding::percent_decode_str;

use crate::respond::Refused;

/// The parameters of one request, decoded; of a repeated one the first counts.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        let decode = |s: &str| percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the parameter as a `T`, or what is wrong with it.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let wrong = |e: T::Err| Refused::new(ErrorKind::Validation, format!("bad value for {name}: {e}"));
        self.get(name).map(|value| value.parse().map_err(wrong)).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}
