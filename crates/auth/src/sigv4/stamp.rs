//! The date of a signature, in the one form in which it is signed.

use innkeep_types::UnixMillis;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// A date to the second: what `x-amz-date` and the string to sign hold, and the instant that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    text: String,
    unix_secs: i64,
}

impl Stamp {
    /// Reads the ISO-8601 basic format, `20150830T123600Z`, and nothing else.
    pub(super) fn parse_basic(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits = text.as_bytes().get(from..to)?;
            digits.iter().try_fold(0_i16, |n, d| d.is_ascii_digit().then(|| n * 10 + i16::from(d - b'0')))
        };
        let pair = |from: usize| i8::try_from(number(from, from + 2)?).ok();
        let marks = (text.len(), text.as_bytes().get(8), text.as_bytes().get(15));
        if marks != (16, Some(&b'T'), Some(&b'Z')) {
            return None;
        }
        let date = DateTime::new(number(0, 4)?, pair(4)?, pair(6)?, pair(9)?, pair(11)?, pair(13)?, 0).ok()?;
        let unix_secs = TimeZone::UTC.to_timestamp(date).ok()?.as_second();
        Some(Self { text: text.to_owned(), unix_secs })
    }

    /// Reads the `Date` header: as a rule `Sun, 30 Aug 2015 12:36:00 GMT`, but some clients write the basic format there too.
    pub(super) fn parse_date_header(text: &str) -> Option<Self> {
        Self::parse_basic(text).or_else(|| {
            let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Self::from_unix_secs(at.as_second())
        })
    }

    /// Returns the stamp of a moment of years 0 to 9999.
    pub(super) fn from_unix_secs(unix_secs: i64) -> Option<Self> {
        let date = TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(unix_secs).ok()?);
        let (y, mo, d) = (u16::try_from(date.year()).ok()?, date.month(), date.day());
        let text = format!("{y:04}{mo:02}{d:02}T{:02}{:02}{:02}Z", date.hour(), date.minute(), date.second());
        Some(Self { text, unix_secs })
    }

    /// Returns how a moment is shown in messages; nothing, if it has no stamp.
    pub(super) fn show(unix_secs: i64) -> String {
        Self::from_unix_secs(unix_secs).map(|at| at.text).unwrap_or_default()
    }

    /// Returns `20150830T123600Z`.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns `20150830`.
    pub(super) fn day(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }

    /// Returns how far this is ahead of `now`, seconds.
    pub(super) fn secs_after(&self, now: UnixMillis) -> i64 {
        self.unix_secs.saturating_sub(now.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_440_938_160;

    #[test]
    fn the_same_moment_in_every_form_is_one_stamp() {
        let stamp = Stamp::from_unix_secs(AT).unwrap();
        assert_eq!((stamp.as_str(), stamp.day()), ("20150830T123600Z", "20150830"));
        assert_eq!(Stamp::parse_basic("20150830T123600Z").as_ref(), Some(&stamp));
        for date in ["Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000", "20150830T123600Z"] {
            assert_eq!(Stamp::parse_date_header(date).as_ref(), Some(&stamp), "{date}");
        }
    }

    #[test]
    fn anything_but_a_date_is_refused() {
        let bad = [
            "",
            "20150830",
            "20150830T123600",
            "20150830t123600Z",
            "20151330T123600Z",
            "20150230T123600Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "+0150830T123600Z",
            "2015083\u{e9}T12360Z",
            "20150830T123600ZZ",
            "2015-08-30T12:36:00Z",
        ];
        for text in bad {
            assert_eq!(Stamp::parse_basic(text), None, "{text}");
        }
        assert_eq!(Stamp::parse_date_header("Someday"), None);
        assert_eq!(Stamp::from_unix_secs(i64::MAX), None);
    }
}
