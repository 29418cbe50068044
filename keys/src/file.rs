//! Files this crate makes: whole or not at all, and never over an existing one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sealift_verifier::file;
use sealift_verifier::report::{Exit, Failure};

/// Why a file was not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The name is taken.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists { path } => write!(f, "`{}` exists and is not overwritten", path.display()),
            Self::Io { path, .. } => write!(f, "cannot write `{}`", path.display()),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Exists { .. } => None,
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Exists { .. } => Self::new(Exit::No, error).hint("choose another name"),
            WriteError::Io { .. } => Self::new(Exit::Unknown, error),
        }
    }
}

/// A path of which nothing was found, so that a friendly answer can come before any work. [`create`] asks again.
///
/// # Errors
/// [`WriteError::Exists`].
pub fn free(path: &Path) -> Result<&Path, WriteError> {
    // A link to nowhere is a name that is taken too.
    match path.symlink_metadata() {
        Ok(_) => Err(WriteError::Exists { path: path.to_owned() }),
        Err(_) => Ok(path),
    }
}

/// Writes a new file.
///
/// # Errors
/// [`WriteError`].
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    file::write(path, bytes, mode, false).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.to_owned() },
        _ => WriteError::Io { path: path.to_owned(), source },
    })
}

/// Writes two new files, or neither.
///
/// # Errors
/// [`WriteError`].
pub fn create_both(first: (&Path, &[u8], u32), second: (&Path, &[u8], u32)) -> Result<(), WriteError> {
    free(second.0)?;
    create(first.0, first.1, first.2)?;
    create(second.0, second.1, second.2).inspect_err(|_| {
        // Ours, since it was created a moment ago.
        let _ = std::fs::remove_file(first.0);
    })
}
