//! What `sealift-runner history --json` prints: the events of a history, and the envelopes that lie beside them.
//!
//! Reading checks the chain and that each event can follow; who signed the envelopes is asked elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use sealift_spec::history::{EVENT, Event, History, HistoryError};
use sealift_spec::json::{self, JsonError};
use sealift_spec::{Digest, limit};
use serde::{Deserialize, Serialize};

/// The largest listing, in bytes.
pub const LISTING: u64 = 1024 * 1024 * 1024;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
enum Line {
    Event(Event),
    Evidence(Evidence),
}

/// A stored envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The envelope, as text.
    pub body: String,
    /// The digest it is stored by: SHA-256 of its statement.
    pub sha256: Digest,
}

/// A history whose chain holds, and the envelopes stored with it.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The history.
    pub history: History,
    /// The envelopes of releases and permits, by the digest they are stored by. Nothing of them has been checked.
    pub evidence: BTreeMap<Digest, String>,
}

/// Why a text is no listing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListingError {
    /// A line is neither an event nor an envelope.
    Line {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: JsonError,
    },
    /// The chain of the history does not hold.
    History {
        /// The number of the line, from 1.
        line: usize,
        /// Why.
        source: HistoryError,
    },
}

impl fmt::Display for ListingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, .. } => write!(f, "line {line} is no history event"),
            Self::History { line, .. } => write!(f, "line {line} does not continue the history"),
        }
    }
}

impl std::error::Error for ListingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Line { source, .. } => Some(source),
            Self::History { source, .. } => Some(source),
        }
    }
}

impl Listing {
    /// Reads a listing.
    ///
    /// # Errors
    /// [`ListingError`] naming the first line that is wrong.
    pub fn read(text: &[u8]) -> Result<Self, ListingError> {
        let mut listing = Self::default();
        for (index, bytes) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let line = index + 1;
            match json::read(bytes, 2 * limit::ENVELOPE.max(EVENT)) {
                Ok(Line::Event(event)) => {
                    listing.history.append(event).map_err(|source| ListingError::History { line, source })?;
                }
                Ok(Line::Evidence(Evidence { body, sha256 })) => {
                    listing.evidence.insert(sha256, body);
                }
                Err(source) => return Err(ListingError::Line { line, source }),
            }
        }
        Ok(listing)
    }
}
