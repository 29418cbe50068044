//! Whether the clock can be believed (`trust.md`, on time): validity is judged at *now*, so a clock that runs behind
//! would accept what has expired. Deliberately no defence against a clock that runs ahead: it only refuses more.

use std::fmt;

use sealift_spec::Timestamp;

/// A clock before this time is wrong: this version did not exist yet. Moved with each release; a constant, so that
/// building twice gives the same program.
const BUILT: &str = "2026-11-01T00:00:00Z";

/// How far the clock may lie behind the newest record, in seconds: clocks of two hosts differ.
const TOLERANCE: u64 = 300;

/// The clock cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockError {
    /// It stands before the time of this version.
    Built {
        /// What it says.
        now: Timestamp,
    },
    /// It lies behind a record that was already written.
    Behind {
        /// What it says.
        now: Timestamp,
        /// The time of the record.
        newest: Timestamp,
        /// Where the record stands.
        record: &'static str,
    },
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Built { now } => write!(f, "the clock says {now}, but this program was made after {BUILT}"),
            Self::Behind { now, newest, record } => {
                write!(f, "the clock says {now}, but the newest record of the {record} is of {newest}")
            }
        }
    }
}

impl std::error::Error for ClockError {}

/// The time, if this program existed by then.
///
/// # Errors
/// [`ClockError::Built`].
pub fn judge(now: Timestamp) -> Result<Timestamp, ClockError> {
    match BUILT.parse() {
        Ok(built) if now >= built => Ok(now),
        _ => Err(ClockError::Built { now }),
    }
}

/// The time, if it is not more than five minutes behind the newest time of a record.
///
/// # Errors
/// [`ClockError::Behind`].
pub fn follow(now: Timestamp, newest: Option<Timestamp>, record: &'static str) -> Result<Timestamp, ClockError> {
    match newest {
        Some(newest) if now.plus(TOLERANCE) < newest => Err(ClockError::Behind { now, newest, record }),
        _ => Ok(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_or_far_behind_a_record_is_not_believed() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-12-01T12:00:00Z");
        assert_eq!(judge(now), Ok(now));
        assert_eq!(judge(at(BUILT)), Ok(at(BUILT)));
        assert!(judge(at("2026-10-31T23:59:59Z")).is_err());
        assert_eq!(follow(now, None, "history"), Ok(now));
        assert_eq!(follow(now, Some(at("2026-12-01T12:05:00Z")), "history"), Ok(now));
        let error = follow(now, Some(at("2026-12-01T12:05:01Z")), "audit log").unwrap_err();
        assert!(error.to_string().ends_with("the audit log is of 2026-12-01T12:05:01Z"));
    }
}
