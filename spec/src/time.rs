//! Points in time: `YYYY-MM-DDTHH:MM:SSZ`, whole seconds, UTC, years 1970 to 9999, no leap second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Seconds in a day.
pub const DAY: u64 = 86_400;
const YEAR_10000: u64 = 253_402_300_800;

impl Timestamp {
    /// The time `seconds` after the epoch, if it lies before the year 10000.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds < YEAR_10000).then_some(Self(seconds))
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// This time and `seconds` more, held at the end of the year 9999.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(YEAR_10000 - 1))
    }
}

/// The text is not of the form `YYYY-MM-DDTHH:MM:SSZ`, or names no existing second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time is written YYYY-MM-DDTHH:MM:SSZ, in UTC, from 1970 to 9999")
    }
}

impl std::error::Error for TimestampError {}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before(year: u64) -> u64 {
    let leaps = |y: u64| y / 4 - y / 100 + y / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let bytes = text.as_bytes();
        let pattern = b"dddd-dd-ddTdd:dd:ddZ";
        let fits = bytes.len() == pattern.len()
            && bytes.iter().zip(pattern).all(|(b, p)| if *p == b'd' { b.is_ascii_digit() } else { b == p });
        if !fits {
            return Err(TimestampError);
        }
        let number = |from: usize, to: usize| bytes[from..to].iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        let exists = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !exists {
            return Err(TimestampError);
        }
        let days = days_before(year) + (1..month).map(|m| days_in(year, m)).sum::<u64>() + day - 1;
        Ok(Self(days * DAY + hour * 3600 + minute * 60 + second))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, seconds) = (self.0 / DAY, self.0 % DAY);
        // 146,097 days are 400 years: a lower bound for the year, then at most a few steps.
        let mut year = 1970 + days * 400 / 146_097;
        while year > 1970 && days_before(year) > days {
            year -= 1;
        }
        while days_before(year + 1) <= days {
            year += 1;
        }
        days -= days_before(year);
        let mut month = 1;
        while days >= days_in(year, month) {
            days -= days_in(year, month);
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_are_read_and_written() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-20T10:50:43Z", 1_795_171_843),
            ("9999-12-31T23:59:59Z", YEAR_10000 - 1),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().seconds(), seconds, "{text}");
            assert_eq!(Timestamp(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_round_trips() {
        for day in 0..YEAR_10000 / DAY {
            let time = Timestamp(day * DAY + 7);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "2026-11-20T10:50:43+00:00",
            "2026-11-20 10:50:43Z",
            "2026-11-20T10:50:60Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "2026-11-20T10:50:43.0Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }
}
