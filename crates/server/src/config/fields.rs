//! Which settings there are, tables within tables included; taken from the types themselves, so that no list can be wrong.

use std::fmt;

use serde::de::value::Error as Stop;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{Config, Error, PREFIX, RegistrySettings, S3Settings};

/// What the variable of a table could hold.
const EXAMPLES: [(&str, &str); 3] = [
    ("s3", r#"{"endpoint": "https://s3.example.com", "access_key_id": "…", "secret_access_key": "…"}"#),
    ("registries", r#"{"registry.example.com": {"username": "…", "password": "…"}}"#),
    ("interpreters", r#"{"PYTHON_3_13": "/opt/python3.13/bin/python3"}"#),
];

/// Fails with the nearest known key if `table`, which `origin` holds, has an unknown one.
pub(super) fn check(table: &toml::Table, origin: &str) -> Result<(), Error> {
    for (key, value) in table {
        known(of::<Config>(), key, "", origin)?;
        match (key.as_str(), value) {
            ("s3", toml::Value::Table(s3)) => {
                s3.keys().try_for_each(|key| known(of::<S3Settings>(), key, "s3.", origin))?;
            }
            ("registries", toml::Value::Table(registries)) => {
                for (host, registry) in registries {
                    let within = format!("registries.{host:?}.");
                    let mut keys = registry.as_table().into_iter().flat_map(toml::Table::keys);
                    keys.try_for_each(|key| known(of::<RegistrySettings>(), key, &within, origin))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts what the variable `name` says into `table`.
pub(super) fn set(table: &mut toml::Table, name: &str, value: String) -> Result<(), Error> {
    let key = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    if let Some((_, example)) = EXAMPLES.iter().find(|(table, _)| *table == key) {
        let read = serde_json::from_str(&value).ok().or_else(|| spelled(&value)?.as_table().cloned());
        let read = read.ok_or_else(|| Error::Table { variable: name.to_owned(), example })?;
        let within = toml::Table::from_iter([(key.clone(), toml::Value::Table(read.clone()))]);
        check(&within, name)?;
        table.insert(key, toml::Value::Table(read));
        return Ok(());
    }
    if let Some(member) = key.strip_prefix("s3_") {
        known(of::<S3Settings>(), member, "s3.", name)?;
        let s3 = table.entry("s3").or_insert_with(|| toml::Value::Table(toml::Table::new()));
        // A key of digits alone is a text too.
        let value = if member == "path_style" { spelled(&value) } else { None }.unwrap_or(toml::Value::String(value));
        if let Some(s3) = s3.as_table_mut() {
            s3.insert(member.to_owned(), value);
        }
        return Ok(());
    }
    known(of::<Config>(), &key, "", name)?;
    // Numbers and booleans as TOML spells them; anything else is a string.
    table.insert(key, spelled(&value).unwrap_or(toml::Value::String(value)));
    Ok(())
}

fn spelled(value: &str) -> Option<toml::Value> {
    toml::from_str::<toml::Table>(&format!("v = {value}")).ok()?.remove("v")
}

fn known(fields: &[&str], key: &str, within: &str, origin: &str) -> Result<(), Error> {
    if fields.contains(&key) {
        return Ok(());
    }
    let nearest = fields.iter().max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
    let nearest = format!("{within}{}", nearest.unwrap_or(&""));
    Err(Error::Unknown { key: format!("{within}{key}"), origin: origin.to_owned(), nearest })
}

/// Returns the names of the members of `T`, a struct, as serde has them.
fn of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It ends with an error as soon as the names are known.
    let _: Result<T, Stop> = T::deserialize(Fields(&mut fields));
    fields
}

/// Asked for a struct it notes the names of its members, and gives none.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Stop;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        *self.0 = fields;
        Err(serde::de::Error::custom("the names are known"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(serde::de::Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}
