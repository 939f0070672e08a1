//! The process's environment, read once. An empty variable counts as unset, as it does for the AWS tools.

use std::collections::BTreeMap;

/// Environment variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns this process's environment; what is no UTF-8 is left out.
    pub(crate) fn of_process() -> Self {
        let utf8 = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self(utf8.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Returns the value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns all variables, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of the first of `names` that has one.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }
}
