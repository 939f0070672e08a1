//! The rules of a request's members as data, and the one walk that checks them. The tables are in [`crate::model`].
//!
//! What passes has only members that the tables name, each of its type: unknown members are ignored, as rest-json has it, and null
//! is as good as absent.

use std::sync::OnceLock;

use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::validate::Violations;

/// The least and the greatest length: characters of a text, items of a list, entries of a map.
pub(crate) type Bounds = (usize, usize);

/// No bounds at all.
pub(crate) const ANY: Bounds = (0, usize::MAX);

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A text of this length, and of this form.
    Text(Bounds, Option<&'static Pattern>),
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A whole number, bounds included.
    Integer(i64, i64),
    Boolean,
    List(Bounds, &'static Shape),
    /// Shape of the keys, shape of the values.
    Map(Bounds, &'static Shape, &'static Shape),
    Structure(&'static [Member]),
    /// A structure of which exactly one member is there.
    Union(&'static [Member]),
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    name: &'static str,
    is_required: bool,
    shape: &'static Shape,
}

/// Returns a member that must be there.
pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, is_required: true, shape }
}

/// Returns a member that may be absent.
pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, is_required: false, shape }
}

/// The form of a whole text.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: &'static str,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// Returns the pattern `source`, as the model has it, without the anchors at its ends: a text must match as a whole.
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// Tells whether `text` has the form.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compile = || Regex::new(&format!("^(?:{})$", self.source)).expect("the tables' patterns are tested");
        self.compiled.get_or_init(compile).is_match(text)
    }
}

/// Checks `value`, which stands at the path `at`. Returns what passes of it; what does not is noted in `found`.
pub(crate) fn check(shape: &Shape, value: Value, at: &str, found: &mut Violations) -> Option<Value> {
    match (shape, value) {
        (Shape::Text(bounds, pattern), Value::String(text)) => {
            found.length(at, &text, bounds.0..=bounds.1);
            if let Some(pattern) = pattern {
                found.pattern(at, pattern.matches(&text), pattern.source);
            }
            Some(Value::String(text))
        }
        (Shape::Enum(words), Value::String(text)) => found.one_of(at, &text, words).map(Value::from),
        (Shape::Integer(least, greatest), Value::Number(number)) => match number.as_i64() {
            Some(n) => found.range::<i64>(at, n, *least..=*greatest).map(Value::from),
            None => found.must(at, "have its type in the model (a whole number)"),
        },
        (Shape::Boolean, Value::Bool(value)) => Some(Value::Bool(value)),
        (Shape::List(bounds, item), Value::Array(items)) => {
            found.count(at, items.len(), bounds.0..=bounds.1);
            let items = items.into_iter().enumerate();
            let items = items.map(|(idx, value)| check(item, value, &format!("{at}[{idx}]"), found));
            // All of them are checked before the first failure is acted on.
            items.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
        }
        (Shape::Map(bounds, key, value), Value::Object(entries)) => {
            found.count(at, entries.len(), bounds.0..=bounds.1);
            let entries = entries.into_iter().map(|(name, entry)| {
                let at = format!("{at}.{name}");
                check(key, Value::String(name.clone()), &at, found)?;
                Some((name, check(value, entry, &at, found)?))
            });
            entries.collect::<Vec<_>>().into_iter().collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        (Shape::Structure(members), Value::Object(given)) => structure(members, given, at, found).map(Value::Object),
        (Shape::Union(members), Value::Object(given)) => {
            let is_given = |member: &&Member| given.get(member.name).is_some_and(|value| !value.is_null());
            if members.iter().filter(is_given).count() == 1 {
                return structure(members, given, at, found).map(Value::Object);
            }
            let names: Vec<_> = members.iter().map(|member| member.name).collect();
            found.must(at, format_args!("have exactly one of {}", names.join(" and ")))
        }
        (shape, _) => found.must(at, format_args!("have its type in the model ({})", shape.kind())),
    }
}

/// Checks the members of an object that stands at `at`; at the root `at` is empty. None if one of them does not pass.
pub(crate) fn structure(
    members: &[Member],
    given: Map<String, Value>,
    at: &str,
    found: &mut Violations,
) -> Option<Map<String, Value>> {
    let (passed, is_whole) = members_that_pass(members, given, at, found);
    is_whole.then_some(passed)
}

/// The same; returns the members that pass, so that rules across them are checked though another does not, and whether all of
/// them do.
pub(crate) fn members_that_pass(
    members: &[Member],
    mut given: Map<String, Value>,
    at: &str,
    found: &mut Violations,
) -> (Map<String, Value>, bool) {
    let mut passed = Map::new();
    let mut is_whole = true;
    for Member { name, is_required, shape } in members {
        let at = if at.is_empty() { (*name).to_owned() } else { format!("{at}.{name}") };
        let value = given.remove(*name).filter(|value| !value.is_null());
        let checked = match value {
            Some(value) => check(shape, value, &at, found),
            None if *is_required => found.required::<Value>(&at, None),
            None => continue,
        };
        is_whole &= checked.is_some();
        passed.extend(checked.map(|value| ((*name).to_owned(), value)));
    }
    (passed, is_whole)
}

impl Shape {
    /// Returns what JSON calls it, with its article.
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(..) | Self::Enum(_) => "a string",
            Self::Integer(..) => "a whole number",
            Self::Boolean => "a boolean",
            Self::List(..) => "an array",
            Self::Map(..) | Self::Structure(_) | Self::Union(_) => "an object",
        }
    }
}

/// Compiles every pattern of the tables, which must not fail when a request comes.
#[cfg(test)]
pub(crate) fn compile(members: &[Member]) {
    fn compile_shape(shape: &Shape) {
        match shape {
            Shape::Text(_, pattern) => drop(pattern.map(|pattern| pattern.matches(""))),
            Shape::Enum(_) | Shape::Integer(..) | Shape::Boolean => {}
            Shape::List(_, item) => compile_shape(item),
            Shape::Map(_, key, value) => {
                compile_shape(key);
                compile_shape(value);
            }
            Shape::Structure(members) | Shape::Union(members) => compile(members),
        }
    }
    members.iter().for_each(|member| compile_shape(member.shape));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static WORD: Pattern = Pattern::new("[a-z]+");
    static INNER: Shape = Shape::Union(&[
        optional("a", &Shape::Text((1, 3), Some(&WORD))),
        optional("b", &Shape::List((1, 2), &Shape::Integer(0, 9))),
    ]);
    static OUTER: Shape = Shape::Structure(&[
        required("inner", &INNER),
        optional("map", &Shape::Map((0, 1), &Shape::Text((1, 2), None), &Shape::Boolean)),
        optional("kind", &Shape::Enum(&["X", "Y"])),
    ]);

    #[track_caller]
    fn passes(sent: Value, expect: Value) {
        let mut found = Violations::default();
        let passed = check(&OUTER, sent, "", &mut found);
        assert_eq!(found.complete(passed).unwrap(), expect);
    }

    #[track_caller]
    fn breaks(sent: Value, expect: &[(&str, &str)]) {
        let mut found = Violations::default();
        check(&OUTER, sent.clone(), "", &mut found);
        let fields = found.into_fields();
        let got: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.message.as_str())).collect();
        assert_eq!(got, expect, "{sent}");
    }

    #[test]
    fn what_is_unknown_or_null_is_as_good_as_absent() {
        passes(
            json!({"inner": {"a": "abc", "b": null, "other": 1}, "map": null, "new": {}}),
            json!({"inner": {"a": "abc"}}),
        );
        passes(
            json!({"inner": {"b": [0, 9]}, "map": {"k": true}, "kind": "Y"}),
            json!({"inner": {"b": [0, 9]}, "map": {"k": true}, "kind": "Y"}),
        );
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once() {
        breaks(json!({}), &[("inner", "Member must not be null")]);
        breaks(json!({"inner": {}}), &[("inner", "Member must have exactly one of a and b")]);
        breaks(json!({"inner": {"a": "x", "b": [1]}}), &[("inner", "Member must have exactly one of a and b")]);
        breaks(
            json!({"inner": {"b": [1, -1, 2.5]}, "map": {"abc": 1}, "kind": "Z"}),
            &[
                ("inner.b", "Member must have length less than or equal to 2"),
                ("inner.b[1]", "Member must have value greater than or equal to 0"),
                ("inner.b[2]", "Member must have its type in the model (a whole number)"),
                ("map.abc", "Member must have length less than or equal to 2"),
                ("map.abc", "Member must have its type in the model (a boolean)"),
                ("kind", "Member must satisfy enum value set: [X, Y]"),
            ],
        );
        breaks(
            json!({"inner": {"a": "A\n"}, "map": [1]}),
            &[
                ("inner.a", "Member must satisfy regular expression pattern: [a-z]+"),
                ("map", "Member must have its type in the model (an object)"),
            ],
        );
    }
}
