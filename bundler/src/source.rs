//! A directory of migrations, read as its tool would read it.
//!
//! One file per format below this one. Raw bytes are kept; nothing is skipped in silence: what is not a migration is named,
//! what could be one and is not understood is an error.

use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::name::{Label, Name, UnitId};
use sealift_spec::text::Snippet;

pub mod native;

/// One SQL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name in its directory.
    pub name: Label,
    /// Its bytes.
    pub sql: Vec<u8>,
}

/// One migration as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its version.
    pub id: UnitId,
    /// What it does, from its file name.
    pub name: Label,
    /// The change.
    pub up: SourceFile,
    /// The way back, if there is one.
    pub down: Option<SourceFile>,
}

/// All migrations of a directory, in their tool's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationSet {
    /// The format they were read as.
    pub format: Name,
    /// The migrations.
    pub migrations: Vec<Migration>,
    /// Files that are no migrations in this format, by name.
    pub ignored: Vec<String>,
}

/// Why a directory is not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// The directory or a file cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A migration is a symbolic link: what it leads to can change without anybody seeing it here.
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file's name is none of the format.
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two files have the same version.
    Duplicate {
        /// The version.
        version: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A down script has no up script.
    Orphan {
        /// The file.
        path: PathBuf,
    },
}

/// A path on one line. Whoever named a file may have put anything into the name.
struct Shown<'a>(&'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Snippet(&self.0.to_string_lossy()).fmt(f)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read `{}`", Shown(path)),
            Self::Link { path } => write!(f, "`{}` is a link", Shown(path)),
            Self::Name { path, reason } => write!(f, "`{}` is not named like a migration: {reason}", Shown(path)),
            Self::Duplicate { version, first, second } => {
                write!(f, "version {version} appears twice: `{}` and `{}`", Shown(first), Shown(second))
            }
            Self::Orphan { path } => write!(f, "`{}` reverts a migration that is not there", Shown(path)),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl SourceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => return None,
            Self::Name { .. } => {
                "migrations are named <version>_<name>.up.sql and <version>_<name>.down.sql, or <version>_<name>.sql; rename the file or move it elsewhere".to_owned()
            }
            Self::Link { .. } => "put the file itself there: what a link leads to is not read".to_owned(),
            Self::Duplicate { .. } => "give one of them the next version".to_owned(),
            Self::Orphan { path } => format!("add the up script beside it, or remove `{}`", Shown(path)),
        })
    }
}

/// Reads a directory.
///
/// # Errors
/// [`SourceError`].
pub fn read(folder: &Path) -> Result<MigrationSet, SourceError> {
    native::read(folder)
}
