//! What a condition holds a value against, compiled.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::super::error::Error;
use super::super::pattern::Pattern;
use super::key::Found;
use super::net::Net;
use super::operator::{Order, What};

/// The values of a policy; one of them is enough.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Text(Box<[Box<str>]>),
    TextAnyCase(Box<[Box<str>]>),
    Like(Box<[Pattern]>),
    /// Each of its six parts is matched by itself.
    Arn(Box<[[Pattern; 6]]>),
    Number(Order, Box<[f64]>),
    /// Seconds since 1970.
    Date(Order, Box<[i64]>),
    Flag(Box<[bool]>),
    Address(Box<[Net]>),
    /// Whether the key must be absent.
    Absent(bool),
}

impl Test {
    pub(super) fn parse(at: &str, what: What, values: &[String]) -> Result<Self, Error> {
        Ok(match what {
            What::Text => Self::Text(values.iter().map(|text| text.as_str().into()).collect()),
            What::TextAnyCase => Self::TextAnyCase(values.iter().map(|text| text.to_lowercase().into()).collect()),
            What::TextLike => Self::Like(values.iter().map(|text| Pattern::new(text)).collect()),
            What::Arn => Self::Arn(all(at, values, "be an ARN of six parts, which may have wildcards", arn)?),
            What::Number(order) => Self::Number(order, all(at, values, "be a number", number)?),
            What::Date(order) => {
                let rule = "be a time, 2026-11-20T10:00:00Z or 2026-11-20, or seconds since 1970";
                Self::Date(order, all(at, values, rule, date)?)
            }
            What::Flag => Self::Flag(all(at, values, "be true or false", flag)?),
            What::Address => Self::Address(all(at, values, "be an address, or a range as 203.0.113.0/24", Net::parse)?),
            What::Null => match *all(at, values, "be true or false", flag)? {
                [absent] => Self::Absent(absent),
                _ => return Err(Error::new(at, "be true or false, and not a list")),
            },
        })
    }

    /// Tells whether one of the values fits.
    pub(super) fn passes(&self, found: &Found<'_>) -> bool {
        match (self, found) {
            (Self::Text(values), Found::Text(text)) => values.iter().any(|value| **value == **text),
            (Self::TextAnyCase(values), Found::Text(text)) => {
                let text = text.to_lowercase();
                values.iter().any(|value| **value == *text)
            }
            (Self::Like(patterns), Found::Text(text)) => patterns.iter().any(|pattern| pattern.matches(text)),
            (Self::Arn(patterns), Found::Text(text)) => patterns.iter().any(|parts| arn_matches(parts, text)),
            (Self::Number(order, values), Found::Time(secs)) => {
                // Exact until the year 285 million.
                let secs = *secs;
                values.iter().any(|value| order.holds(to_f64(secs).partial_cmp(value)))
            }
            (Self::Date(order, values), Found::Time(secs)) => {
                values.iter().any(|value| order.holds(Some(secs.cmp(value))))
            }
            (Self::Flag(values), Found::Flag(flag)) => values.contains(flag),
            (Self::Address(nets), Found::Address(address)) => nets.iter().any(|net| net.contains(*address)),
            // Keys have operators of their kind only.
            _ => false,
        }
    }
}

impl Order {
    fn holds(self, found: Option<std::cmp::Ordering>) -> bool {
        found.is_some_and(|found| match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        })
    }
}

fn all<T>(at: &str, values: &[String], rule: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Box<[T]>, Error> {
    let parsed =
        values.iter().map(|value| parse(value).ok_or_else(|| Error::new(at, format!("{rule}; it has {value:?}"))));
    parsed.collect()
}

fn arn(text: &str) -> Option<[Pattern; 6]> {
    let parts: Vec<Pattern> = text.splitn(6, ':').map(Pattern::new).collect();
    parts.try_into().ok().filter(|_| text.starts_with("arn:"))
}

fn arn_matches(parts: &[Pattern; 6], text: &str) -> bool {
    let mut given = text.splitn(6, ':');
    parts.iter().all(|part| given.next().is_some_and(|given| part.matches(given)))
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Seconds of our time as what numbers of policies are.
fn to_f64(secs: i64) -> f64 {
    // Without a cast: these have at most 53 bits in any year that a clock has.
    i32::try_from(secs >> 32).map_or(f64::NAN, |high| {
        let low = u32::try_from(secs & 0xffff_ffff).unwrap_or_default();
        f64::from(high) * 4_294_967_296.0 + f64::from(low)
    })
}

fn date(text: &str) -> Option<i64> {
    if let Ok(secs) = text.parse::<i64>() {
        return Some(secs);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let day: Date = text.parse().ok().filter(|_| text.len() == "2026-11-20".len())?;
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp().as_second())
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
