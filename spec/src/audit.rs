//! The audit log of a host: JSON Lines, hash-chained, an intent before and an outcome after (`audit.md`).
//!
//! Each side holds the other's head: a record names the history head it saw, and histories name the run that the log
//! tells of. Editing one without the other shows.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::history::Under;
use crate::json::{self, JsonError};
use crate::name::{Label, Name, UnitId};
use crate::{Digest, Timestamp};

/// The largest record, in bytes: an intent names up to 100,000 units by up to 128 characters.
pub const RECORD: usize = 16 * 1024 * 1024;

/// The digest that the first record names as the one before it.
pub fn genesis() -> Digest {
    Digest::of(b"urn:sealift:audit:v1")
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// Everything planned was done.
    Done,
    /// A step failed and was rolled back, or was not begun; what went before it stays.
    Stopped,
    /// A step is unsettled or a unit part-applied.
    Interrupted,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Note {
    /// Written and synced before the first change.
    Intent {
        /// What is about to be done.
        action: Action,
        /// To which database.
        database: Label,
        /// In which environment.
        environment: Name,
        /// The newest history event seen.
        head: Digest,
        /// Of which project.
        project: Name,
        /// Under which release.
        under: Under,
        /// To which units, in order.
        units: Vec<UnitId>,
    },
    /// Written when the run is over.
    Outcome {
        /// Which units were done.
        done: Vec<UnitId>,
        /// Why it ended early.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The newest history event now.
        head: Digest,
        /// How it ended.
        result: Result,
    },
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When, by the clock of the host.
    pub at: Timestamp,
    /// On which host.
    pub host: Label,
    /// What it says.
    pub note: Note,
    /// As which user of that host.
    pub operator: Label,
    /// The digest of the line before, or [`genesis`].
    pub previous: Digest,
    /// The run it belongs to.
    pub run: Label,
    /// 1, 2, 3, ..
    pub seq: u64,
}

/// What is wrong with a log, and where.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditError {
    /// A line is no record.
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        source: JsonError,
    },
    /// A line does not follow the one before it.
    Broken {
        /// Its number, from 1.
        line: u64,
    },
    /// The log does not end with a line feed: the last write was cut off.
    Torn {
        /// The number of the torn line, from 1.
        line: u64,
    },
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, .. } => write!(f, "line {line} of the audit log is no record"),
            Self::Broken { line } => write!(f, "line {line} of the audit log does not follow the line before it"),
            Self::Torn { line } => write!(f, "line {line} of the audit log was cut off while it was written"),
        }
    }
}

impl std::error::Error for AuditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Line { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Record {
    /// The line, without its line feed.
    pub fn write(&self) -> Vec<u8> {
        json::write(self)
    }
}

/// The end of a verified log: where the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The sequence number of the last record, 0 for an empty log.
    pub seq: u64,
    /// Its digest, or [`genesis`].
    pub digest: Digest,
    /// Its time, if there is one.
    pub at: Option<Timestamp>,
}

impl Default for Head {
    /// The end of an empty log.
    fn default() -> Self {
        Self { seq: 0, digest: genesis(), at: None }
    }
}

/// Reads a whole log and checks its chain.
///
/// # Errors
/// [`AuditError`] naming the first line that is wrong.
pub fn read(log: &[u8]) -> std::result::Result<(Vec<Record>, Head), AuditError> {
    read_after(Head::default(), log)
}

/// Reads what follows a verified part of a log, and checks that it does follow.
///
/// # Errors
/// [`AuditError`] naming the first line that is wrong.
pub fn read_after(mut head: Head, log: &[u8]) -> std::result::Result<(Vec<Record>, Head), AuditError> {
    let mut records = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let number = head.seq + 1;
        let text = line.strip_suffix(b"\n").ok_or(AuditError::Torn { line: number })?;
        let record: Record = json::read(text, RECORD).map_err(|source| AuditError::Line { line: number, source })?;
        if record.seq != number || record.previous != head.digest {
            return Err(AuditError::Broken { line: number });
        }
        head = Head { seq: number, digest: Digest::of(text), at: Some(record.at) };
        records.push(record);
    }
    Ok((records, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut previous = genesis();
        for seq in 1..=3 {
            let note = Note::Outcome { done: vec![], error: None, head: genesis(), result: Result::Done };
            let (host, operator, run) = ("h".parse().unwrap(), "o".parse().unwrap(), "r".parse().unwrap());
            let at = Timestamp::from_seconds(1_800_000_000 + seq).unwrap();
            let line = Record { at, host, note, operator, previous, run, seq }.write();
            previous = Digest::of(&line);
            bytes.extend([line, b"\n".to_vec()].concat());
        }
        bytes
    }

    #[test]
    fn a_log_is_read_and_its_chain_holds() {
        let (records, head) = read(&log()).unwrap();
        assert_eq!((records.len(), head.seq), (3, 3));
        assert_eq!(read(b"").unwrap().1.digest, genesis());
    }

    #[test]
    fn edits_and_torn_lines_are_named() {
        let text = String::from_utf8(log()).unwrap();
        let edited = text.replacen("\"operator\":\"o\"", "\"operator\":\"p\"", 1);
        assert!(matches!(read(edited.as_bytes()), Err(AuditError::Broken { line: 2 })));
        let removed: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
        assert!(matches!(read(removed.as_bytes()), Err(AuditError::Broken { line: 1 })));
        assert!(matches!(read(text.trim_end().as_bytes()), Err(AuditError::Torn { line: 3 })));
    }

    #[test]
    fn a_log_can_be_read_on_from_where_it_was_left() {
        let log = log();
        let first = log.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (_, head) = read(&log[..first]).unwrap();
        assert_eq!(read_after(head, &log[first..]).unwrap().1, read(&log).unwrap().1);
        assert!(matches!(read_after(head, &log), Err(AuditError::Broken { line: 2 })));
    }
}
