//! What a run does to a database: one word each, in permits, plans and audit logs alike.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a run sets out to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Apply pending units.
    Apply,
    /// Revert applied units.
    Revert,
    /// Give a clone or a restored copy an id of its own.
    Rebind,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply => "apply",
            Self::Revert => "revert",
            Self::Rebind => "rebind",
        })
    }
}
