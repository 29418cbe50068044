//! What this host has seen: the newest root by pinned root, the newest credentials and the id by database (`trust.md`
//! section 8).
//!
//! Attack -> defence. Deleting newer root files brings revoked keys back; old credentials, validly signed once, aim the host
//! at an old server: neither goes below what is written here. Another database behind a known name is refused until it is
//! bound anew. Floors only ever rise: an update reads, raises and
//! replaces the file under a lock on the file itself, which is for its owner alone. Deliberately no defence against who can
//! delete the file; the history in the database holds a root floor of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sealift_spec::Digest;
use sealift_spec::json::{self, JsonError};
use sealift_spec::name::{Label, Name};
use sealift_verifier::file::{self, FileError};
use serde::{Deserialize, Serialize};

/// The `schema` of the file.
const SCHEMA: &str = "urn:sealift:state:v1";

/// The largest state file, in bytes.
const LIMIT: usize = 1024 * 1024;

/// Something by project, environment and database.
type Databases<T> = BTreeMap<Name, BTreeMap<Name, BTreeMap<Name, T>>>;

/// The serial of the newest credentials.
type Serials = Databases<u64>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    credentials: Serials,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    databases: Databases<Label>,
    roots: BTreeMap<Digest, u64>,
    schema: String,
}

/// What was seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    credentials: Serials,
    databases: Databases<Label>,
    roots: BTreeMap<Digest, u64>,
}

/// Which credentials, and which serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial {
    /// The project.
    pub project: Name,
    /// The environment.
    pub environment: Name,
    /// The database's name in the credentials.
    pub database: Name,
    /// The serial.
    pub serial: u64,
}

/// Why the state file cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// It cannot be read, or somebody else could have written it.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// It is not a state file.
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JsonError,
    },
    /// It is of another version.
    Schema {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "state file `{}` cannot be used", path.display()),
            Self::Format { path, .. } => write!(f, "`{}` is not a state file", path.display()),
            Self::Schema { path } => write!(f, "the schema of state file `{}` is not `{SCHEMA}`", path.display()),
            Self::Write { path, .. } => write!(f, "state file `{}` cannot be written", path.display()),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Format { source, .. } => Some(source),
            Self::Schema { .. } => None,
            Self::Write { source, .. } => Some(source),
        }
    }
}

impl State {
    /// Reads the file; where there is none, nothing has been seen.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        Ok(open(path)?.map(|(state, _)| state).unwrap_or_default())
    }

    /// The newest root seen under a pinned root, 0 if none.
    pub fn root(&self, pinned: Digest) -> u64 {
        self.roots.get(&pinned).copied().unwrap_or_default()
    }

    /// The newest serial of credentials seen for a database, 0 if none.
    pub fn serial(&self, project: &Name, environment: &Name, database: &Name) -> u64 {
        let environments = self.credentials.get(project);
        let databases = environments.and_then(|environments| environments.get(environment));
        databases.and_then(|databases| databases.get(database)).copied().unwrap_or_default()
    }

    /// The id that a database had when it was last used from here.
    pub fn database(&self, project: &Name, environment: &Name, database: &Name) -> Option<&Label> {
        self.databases.get(project)?.get(environment)?.get(database)
    }

    /// Raises the file to what has been seen now, and returns what it says then.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raise(path: &Path, pinned: Digest, root: u64, serial: Option<&Serial>) -> Result<Self, StateError> {
        Self::update(path, |state| {
            let seen = state.roots.entry(pinned).or_default();
            *seen = root.max(*seen);
            if let Some(Serial { project, environment, database, serial }) = serial {
                let seen = entry(&mut state.credentials, project, environment).entry(database.clone()).or_default();
                *seen = (*serial).max(*seen);
            }
        })
    }

    /// Remembers the id of a database. Whether it may be another one than before is the caller's business.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn bind(
        path: &Path,
        project: &Name,
        environment: &Name,
        database: &Name,
        id: &Label,
    ) -> Result<Self, StateError> {
        Self::update(path, |state| {
            entry(&mut state.databases, project, environment).insert(database.clone(), id.clone());
        })
    }

    fn update(path: &Path, change: impl Fn(&mut Self)) -> Result<Self, StateError> {
        let write_error = |source| StateError::Write { path: path.to_owned(), source };
        loop {
            let Some((state, locked)) = open(path)? else {
                match file::write(path, &Self::default().write(), 0o600, false) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(write_error(error)),
                    // Made by us or by a runner that was faster: either way it is there now.
                    _ => continue,
                }
            };
            let mut raised = state.clone();
            change(&mut raised);
            if raised != state {
                file::write(path, &raised.write(), 0o600, true).map_err(write_error)?;
            }
            drop(locked);
            return Ok(raised);
        }
    }

    fn write(&self) -> Vec<u8> {
        let Self { credentials, databases, roots } = self.clone();
        json::write(&Wire { credentials, databases, roots, schema: SCHEMA.to_owned() })
    }
}

fn entry<'d, T>(databases: &'d mut Databases<T>, project: &Name, environment: &Name) -> &'d mut BTreeMap<Name, T> {
    databases.entry(project.clone()).or_default().entry(environment.clone()).or_default()
}

/// Opens, locks and reads the file that stands at `path` once the lock is held; `None` where there is none.
fn open(path: &Path) -> Result<Option<(State, File)>, StateError> {
    let file_error = |source| StateError::File { path: path.to_owned(), source };
    let io_error = |source| file_error(FileError::Io { path: path.to_owned(), source });
    loop {
        let (file, metadata) = match file::open_private(path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(file_error)?,
        };
        file::guard(path).map_err(file_error)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| io_error(error.into()))?;
        // Whoever held the lock before may have replaced the file.
        match std::fs::symlink_metadata(path) {
            Ok(now) if (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()) => {}
            _ => continue,
        }
        let reader = file.try_clone().map_err(io_error)?;
        let bytes = file::read_all(reader, metadata.len(), path, LIMIT as u64).map_err(file_error)?;
        let Wire { credentials, databases, roots, schema } =
            json::read(&bytes, LIMIT).map_err(|source| StateError::Format { path: path.to_owned(), source })?;
        if schema != SCHEMA {
            return Err(StateError::Schema { path: path.to_owned() });
        }
        return Ok(Some((State { credentials, databases, roots }, file)));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn serial(database: &str, serial: u64) -> Serial {
        let [project, environment, database] = ["orders", "production", database].map(|name| name.parse().unwrap());
        Serial { project, environment, database, serial }
    }

    #[test]
    fn what_was_seen_only_rises() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (pinned, other) = (Digest::of(b"root"), Digest::of(b"other"));
        assert_eq!(State::read(&path).unwrap(), State::default());
        State::raise(&path, pinned, 3, Some(&serial("main", 7))).unwrap();
        State::raise(&path, pinned, 2, Some(&serial("main", 6))).unwrap();
        State::raise(&path, other, 1, Some(&serial("reports", 1))).unwrap();
        let state = State::read(&path).unwrap();
        assert_eq!((state.root(pinned), state.root(other), state.root(Digest::of(b""))), (3, 1, 0));
        let seen = |database| {
            let of = serial(database, 0);
            state.serial(&of.project, &of.environment, &of.database)
        };
        assert_eq!((seen("main"), seen("reports"), seen("x")), (7, 1, 0));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn ids_of_databases_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let [project, environment, main] = ["orders", "production", "main"].map(|name| name.parse::<Name>().unwrap());
        State::raise(&path, Digest::of(b"root"), 1, None).unwrap();
        assert!(!String::from_utf8(fs::read(&path).unwrap()).unwrap().contains("databases"));
        for id in ["00", "01"] {
            State::bind(&path, &project, &environment, &main, &id.parse().unwrap()).unwrap();
            let state = State::read(&path).unwrap();
            assert_eq!(state.database(&project, &environment, &main).map(Label::as_str), Some(id));
            assert_eq!(state.database(&project, &main, &main), None);
            assert_eq!(state.root(Digest::of(b"root")), 1);
        }
    }

    #[test]
    fn runners_that_finish_together_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        // Threads share the temporary name, which holds the process id; under the lock that does not matter.
        State::raise(&path, Digest::of(b"root"), 1, None).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                let name = format!("db{number}");
                scope.spawn(move || State::raise(path, Digest::of(b"root"), 1, Some(&serial(&name, 1))).unwrap());
            }
        });
        let state = State::read(&path).unwrap();
        assert_eq!(state.credentials["orders"]["production"].len(), 8);
    }

    #[test]
    fn a_state_file_that_others_may_touch_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        State::raise(&path, Digest::of(b"root"), 1, None).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(State::read(&path), Err(StateError::File { source: FileError::Readable { .. }, .. })));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(State::read(&path), Err(StateError::File { source: FileError::Writable { .. }, .. })));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        fs::write(&path, b"{}").unwrap();
        assert!(matches!(State::read(&path), Err(StateError::Format { .. })));
    }
}
