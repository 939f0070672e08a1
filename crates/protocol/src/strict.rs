//! What serde lets pass and an API must not: derived code reads a struct from an array too, its values for the members in the order
//! of their declaration.

use serde::Serialize;
use serde_json::Value;

/// Returns where the JSON text `sent` has an array in place of the object that `read` was made from it: `a.b`, or `.` for all of it.
pub fn array_for_object(sent: &[u8], read: &impl Serialize) -> Option<String> {
    let (sent, read) = (serde_json::from_slice(sent).ok()?, serde_json::to_value(read).ok()?);
    let mut path = Vec::new();
    find(&sent, &read, &mut path).then(|| if path.is_empty() { ".".to_owned() } else { path.join(".") })
}

/// Looks into what both have; `path` is where it was found.
fn find<'a>(sent: &'a Value, read: &Value, path: &mut Vec<&'a str>) -> bool {
    match (sent, read) {
        (Value::Array(_), Value::Object(_)) => true,
        (Value::Object(sent), Value::Object(read)) => sent.iter().any(|(name, sent)| {
            path.push(name);
            let found = read.get(name).is_some_and(|read| find(sent, read, path));
            if !found {
                path.pop();
            }
            found
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Outer {
        #[serde(skip_serializing_if = "Option::is_none")]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<u32>,
        #[serde(default)]
        any: Value,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Inner {
        a: Option<u32>,
        b: Option<u32>,
    }

    fn check(sent: &str, expect: Option<&str>) {
        let read: Outer = serde_json::from_str(sent).unwrap();
        assert_eq!(array_for_object(sent.as_bytes(), &read).as_deref(), expect, "{sent}");
    }

    #[test]
    fn an_array_is_found_wherever_an_object_should_be() {
        check(r#"{"inner":{"a":1},"list":[1,2],"any":[[]]}"#, None);
        check(r#"{"inner":[1,2]}"#, Some("inner"));
        check("[null,[1],{}]", Some("."));
        check(r#"{"unknown":[1],"inner":null}"#, None);
    }
}
