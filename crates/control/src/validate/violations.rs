//! The rules that a request breaks, in the service's words, and the checks that find them.

use std::fmt;
use std::ops::RangeInclusive;

use innkeep_protocol::error_shape::ValidationField;
use innkeep_types::InvalidId;

use crate::error::Error;

/// How many violations are told; a list of a hundred thousand bad items has as many. Source: our choice.
const MOST_TOLD: usize = 100;

/// What a request breaks, in the order found, at most [`MOST_TOLD`].
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

#[derive(Debug)]
struct Violation {
    field: ValidationField,
    /// A rule of one member (`Member must …`), or a sentence that stands alone.
    is_constraint: bool,
}

impl Violations {
    /// Returns the one violation.
    pub(crate) fn one(at: &str, rule: impl fmt::Display) -> Self {
        let mut found = Self::default();
        found.must::<()>(at, rule);
        found
    }

    /// Notes that the member `at` must do what `rule` says. Always `None`, for the value that there is not.
    pub(crate) fn must<T>(&mut self, at: &str, rule: impl fmt::Display) -> Option<T> {
        self.note(at, format_args!("Member must {rule}"), true)
    }

    /// Notes a rule that takes a whole sentence to say.
    pub(crate) fn say<T>(&mut self, at: &str, sentence: impl fmt::Display) -> Option<T> {
        self.note(at, sentence, false)
    }

    fn note<T>(&mut self, at: &str, message: impl fmt::Display, is_constraint: bool) -> Option<T> {
        if self.0.len() < MOST_TOLD {
            let field = ValidationField { name: at.to_owned(), message: message.to_string() };
            self.0.push(Violation { field, is_constraint });
        }
        None
    }

    /// Returns the value of a required member.
    pub(crate) fn required<T>(&mut self, at: &str, value: Option<T>) -> Option<T> {
        value.or_else(|| self.must(at, "not be null"))
    }

    /// Returns what parsed, or notes the rule that it breaks.
    pub(crate) fn parsed<T>(&mut self, at: &str, parsed: Result<T, InvalidId>) -> Option<T> {
        parsed.map_err(|InvalidId { rule, .. }| self.pattern(at, false, rule)).ok()
    }

    /// Checks a text's length in characters.
    pub(crate) fn length(&mut self, at: &str, text: &str, bounds: RangeInclusive<usize>) {
        self.count(at, text.chars().count(), bounds);
    }

    /// Checks the length of a list or a map.
    pub(crate) fn count(&mut self, at: &str, n: usize, bounds: RangeInclusive<usize>) {
        if n < *bounds.start() {
            self.must(at, format_args!("have length greater than or equal to {}", bounds.start()))
        } else if n > *bounds.end() {
            self.must(at, format_args!("have length less than or equal to {}", bounds.end()))
        } else {
            Some(())
        };
    }

    /// Returns a number that is within its bounds.
    pub(crate) fn range<N: TryFrom<i64>>(&mut self, at: &str, n: i64, bounds: RangeInclusive<i64>) -> Option<N> {
        if n < *bounds.start() {
            return self.must(at, format_args!("have value greater than or equal to {}", bounds.start()));
        }
        match N::try_from(n) {
            Ok(fits) if n <= *bounds.end() => Some(fits),
            _ => self.must(at, format_args!("have value less than or equal to {}", bounds.end())),
        }
    }

    /// Checks that a text has its form.
    pub(crate) fn pattern(&mut self, at: &str, matches: bool, pattern: &str) {
        if !matches {
            self.must::<()>(at, format_args!("satisfy regular expression pattern: {pattern}"));
        }
    }

    /// Returns a text that is one of `set`.
    pub(crate) fn one_of<'t>(&mut self, at: &str, text: &'t str, set: &[&str]) -> Option<&'t str> {
        if set.contains(&text) {
            return Some(text);
        }
        self.must(at, format_args!("satisfy enum value set: [{}]", set.join(", ")))
    }

    /// Tells whether no rule is known to be broken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a request that breaks no rule.
    pub(crate) fn complete<T>(self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self)),
        }
    }

    /// Returns what was found, as the wire has it.
    pub(crate) fn into_fields(self) -> Vec<ValidationField> {
        self.0.into_iter().map(|violation| violation.field).collect()
    }
}

/// `N validation errors detected: Value at 'x' failed to satisfy constraint: Member must …; …`; one sentence stands alone.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [Violation { field, is_constraint: false }] => return f.write_str(&field.message),
            [_] => f.write_str("1 validation error detected: ")?,
            many => write!(f, "{} validation errors detected: ", many.len())?,
        }
        for (idx, Violation { field: ValidationField { name, message }, is_constraint }) in self.0.iter().enumerate() {
            f.write_str(if idx == 0 { "" } else { "; " })?;
            match is_constraint {
                true => write!(f, "Value at '{name}' failed to satisfy constraint: {message}")?,
                false => f.write_str(message)?,
            }
        }
        Ok(())
    }
}
