//! JSON from strangers: bounded in depth and number of values, and no member occurs twice.
//!
//! `serde_json` alone keeps the last of two members of one name, where another reader of the same token may keep the first.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Flaw;

/// Returns the one object that `bytes` hold. `depth` counts it, and `n_values` counts everything in it.
pub(super) fn object(bytes: &[u8], depth: usize, n_values: usize) -> Result<Map<String, Value>, Flaw> {
    let reader = Reader { depth_left: depth, values_left: &Cell::new(n_values), flaw: &Cell::new(Flaw::Json) };
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = reader.deserialize(&mut input).map_err(|_| reader.flaw.get())?;
    input.end().map_err(|_| Flaw::Json)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Flaw::Json),
    }
}

/// Reads one value. `serde_json` has no room for our reasons in its errors, so `flaw` takes them past it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    depth_left: usize,
    values_left: &'a Cell<usize>,
    flaw: &'a Cell<Flaw>,
}

impl Reader<'_> {
    fn refuse<E: serde::de::Error>(self, flaw: Flaw) -> E {
        self.flaw.set(flaw);
        E::custom(flaw)
    }

    /// Returns the reader of what is inside.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.refuse(Flaw::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        match self.values_left.get().checked_sub(1) {
            Some(left) => self.values_left.set(left),
            None => return Err(self.refuse(Flaw::TooMany)),
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(self.refuse(Flaw::Duplicate));
            }
            map.insert(name, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(map))
    }
}
