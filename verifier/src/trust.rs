//! From a pinned digest to the policy in force: the root chain (`trust.md` section 4; TUF 1.0.34 section 5.3).
//!
//! Attack -> defence. A root made by somebody else: the chain starts at the digest that the host pins. A root signed only
//! by its own keys, or only by the ones before: version N+1 needs the thresholds of both. Skipped or repeated versions:
//! each must be exactly one more. An old policy beside a new root: the root names its policy's digest and size, and only the
//! last policy is read. Deleting newer roots: the caller's floor. An expired root: refused, and there is no switch.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::policy::{Policy, PolicyError};
use sealift_spec::root::{Root, RootError, RootFile, tuf_key_id};
use sealift_spec::statement::PredicateKind;
use sealift_spec::time::DAY;
use sealift_spec::{Digest, Timestamp, limit};

use crate::file::{self, FileError};
use crate::signature::{self, Keyring};

/// The files of a trust directory, read and not yet judged.
pub struct TrustFiles {
    roots: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a trust directory is not trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// A file cannot be read, or others may change it.
    File(FileError),
    /// There is no `1.root.json`.
    Empty {
        /// The directory.
        folder: PathBuf,
    },
    /// A root file is not well formed.
    Root {
        /// Its version by file name.
        version: u64,
        /// Why.
        source: RootError,
    },
    /// The first root is not the pinned one.
    Pinned {
        /// The pinned digest.
        expected: Digest,
        /// The digest of the first root.
        found: Digest,
    },
    /// A root file holds another version than its name says, or one is missing between two.
    Version {
        /// The version that was expected.
        expected: u64,
        /// The version found.
        found: u64,
    },
    /// A root lacks signatures.
    Threshold {
        /// The root's version.
        version: u64,
        /// The version of the root whose keys are counted.
        by: u64,
        /// How many of its keys must have signed.
        needed: u64,
        /// How many have.
        present: u64,
    },
    /// The newest root has expired.
    Expired {
        /// Its version.
        version: u64,
        /// When.
        expires: Timestamp,
    },
    /// The newest root is older than one that was seen before.
    Rollback {
        /// The oldest version that is acceptable.
        floor: u64,
        /// The newest version present.
        found: u64,
    },
    /// The policy file is not the one that the root names.
    PolicyDigest {
        /// The root's version.
        version: u64,
    },
    /// The policy is not well formed.
    Policy {
        /// The root's version.
        version: u64,
        /// Why.
        source: PolicyError,
    },
    /// A root key belongs to nobody of the policy, or two belong to one person.
    RootKeys {
        /// The root's version.
        version: u64,
    },
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the trust directory cannot be used"),
            Self::Empty { folder } => write!(f, "there is no `1.root.json` in `{}`", folder.display()),
            Self::Root { version, .. } => write!(f, "`{version}.root.json` is refused"),
            Self::Pinned { expected, found } => {
                write!(f, "`1.root.json` is not the pinned root: expected digest `{expected}`, found `{found}`")
            }
            Self::Version { expected, found } => {
                write!(f, "the root chain is broken: expected version {expected}, found {found}")
            }
            Self::Threshold { version, by, needed, present } => {
                write!(f, "root {version} needs {needed} signatures by keys of root {by}, {present} verify")
            }
            Self::Expired { version, expires } => write!(f, "root {version} expired at {expires}"),
            Self::Rollback { floor, found } => {
                write!(f, "the newest root is version {found}, but version {floor} has been in force here")
            }
            Self::PolicyDigest { version } => {
                write!(f, "`{version}.policy.json` is missing or not the file that root {version} names")
            }
            Self::Policy { version, .. } => write!(f, "`{version}.policy.json` is refused"),
            Self::RootKeys { version } => {
                write!(f, "a key of root {version} belongs to nobody of the policy, or one person holds two")
            }
        }
    }
}

impl std::error::Error for TrustError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Root { source, .. } => Some(source),
            Self::Policy { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl TrustFiles {
    /// Reads `1.root.json`, `2.root.json`, .. and their policies from a directory that only root and the effective user
    /// can change.
    ///
    /// # Errors
    /// [`TrustError::File`] or [`TrustError::Empty`].
    pub fn read(folder: &Path) -> Result<Self, TrustError> {
        file::guard(folder).map_err(TrustError::File)?;
        Self::gather(folder, |path| file::guard(path).map(drop))
    }

    /// The same from a directory that anybody may have had in their hands, such as a medium that was carried here. Only
    /// for bytes that are judged from the pinned digest and used from memory; what a host lives on is [`read`](Self::read).
    ///
    /// # Errors
    /// [`TrustError::File`] or [`TrustError::Empty`].
    pub fn receive(folder: &Path) -> Result<Self, TrustError> {
        Self::gather(folder, |_| Ok(()))
    }

    fn gather(folder: &Path, guard: impl Fn(&Path) -> Result<(), FileError>) -> Result<Self, TrustError> {
        let real = std::fs::canonicalize(folder)
            .map_err(|source| TrustError::File(FileError::Io { path: folder.to_owned(), source }))?;
        let read = |name: String, limit: usize| -> Result<Option<Vec<u8>>, TrustError> {
            let path = real.join(name);
            match file::open(&path) {
                Ok((file, metadata)) => {
                    guard(&path).map_err(TrustError::File)?;
                    file::read_all(file, metadata.len(), &path, limit as u64).map(Some).map_err(TrustError::File)
                }
                Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(TrustError::File(error)),
            }
        };
        let mut roots = Vec::new();
        for version in 1..=limit::ROOTS {
            let Some(root) = read(format!("{version}.root.json"), limit::ROOT)? else { break };
            let policy = read(format!("{version}.policy.json"), limit::POLICY)?.unwrap_or_default();
            roots.push((root, policy));
        }
        if roots.is_empty() {
            return Err(TrustError::Empty { folder: folder.to_owned() });
        }
        Ok(Self { roots })
    }

    /// Roots and policies, oldest first; an absent policy is empty.
    pub fn pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.roots
    }

    /// The same chain without the roots after a version: what there was to trust then.
    pub fn until(&self, version: u64) -> Self {
        let count = usize::try_from(version).unwrap_or(usize::MAX).min(self.roots.len());
        Self { roots: self.roots[..count].to_vec() }
    }

    /// Takes over roots and policies that never were in files, oldest first.
    pub fn from_bytes(roots: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { roots }
    }
}

/// A chain of roots, each signed as it must be, from the pinned one on. Nothing is said about expiry and policy: who
/// prepares the next root needs that much, and nothing that is signed can be judged with it.
#[derive(Debug, Clone)]
pub struct Chain {
    newest: RootFile,
}

impl Chain {
    /// Walks the chain from the pinned root to the newest one (`trust.md` section 4, steps 1 to 4).
    ///
    /// # Errors
    /// [`TrustError`] at the first step that fails.
    pub fn verify(files: &TrustFiles, pinned: Digest) -> Result<Self, TrustError> {
        let mut trusted: Option<RootFile> = None;
        for (index, (bytes, _)) in files.roots.iter().enumerate() {
            let version = index as u64 + 1;
            let next = RootFile::read(bytes).map_err(|source| TrustError::Root { version, source })?;
            if next.root().version != version {
                return Err(TrustError::Version { expected: version, found: next.root().version });
            }
            match &trusted {
                None if next.digest() != pinned => {
                    return Err(TrustError::Pinned { expected: pinned, found: next.digest() });
                }
                None => {}
                Some(trusted) => signed_by(&next, trusted.root())?,
            }
            signed_by(&next, next.root())?;
            trusted = Some(next);
        }
        let newest = trusted.ok_or_else(|| TrustError::Empty { folder: PathBuf::new() })?;
        Ok(Self { newest })
    }

    /// The newest root.
    pub fn newest(&self) -> &RootFile {
        &self.newest
    }
}

/// A verified root and the policy it vouches for.
#[derive(Debug, Clone)]
pub struct Trust {
    root: Root,
    policy: Policy,
    now: Timestamp,
}

/// The newest root is about to expire, which nobody can undo but the security team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiresSoon {
    version: u64,
    expires: Timestamp,
    days: u64,
}

impl fmt::Display for ExpiresSoon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, expires, days } = self;
        let left = match days {
            0 => "within a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        write!(f, "root {version} expires {left}, at {expires}, and then nothing runs here: the next root is due")
    }
}

impl Trust {
    /// Walks the chain from the pinned root to the newest one and reads its policy.
    ///
    /// # Errors
    /// [`TrustError`] at the first step that fails, in the order of `trust.md` section 4.
    pub fn verify(files: &TrustFiles, pinned: Digest, floor: u64, now: Timestamp) -> Result<Self, TrustError> {
        let root = Chain::verify(files, pinned)?.newest.root().clone();
        let version = root.version;
        if version < floor {
            return Err(TrustError::Rollback { floor, found: version });
        }
        if now >= root.expires {
            return Err(TrustError::Expired { version, expires: root.expires });
        }
        let bytes = &files.roots[files.roots.len() - 1].1;
        if bytes.len() as u64 != root.policy.size || Digest::of(bytes) != root.policy.sha256 {
            return Err(TrustError::PolicyDigest { version });
        }
        let policy = Policy::read(bytes).map_err(|source| TrustError::Policy { version, source })?;
        let mut holders = BTreeSet::new();
        let each_has_one = root.keys.iter().all(|key| policy.holder(key).is_some_and(|person| holders.insert(person)));
        if !each_has_one {
            return Err(TrustError::RootKeys { version });
        }
        Ok(Self { root, policy, now })
    }

    /// The version of the newest root.
    pub fn root_version(&self) -> u64 {
        self.root.version
    }

    /// When the newest root expires.
    pub fn expires(&self) -> Timestamp {
        self.root.expires
    }

    /// The newest root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The keys that may sign a statement of a kind at the time of this judgement, with whose they are.
    pub fn signers(&self, statement: PredicateKind) -> Keyring {
        Keyring::new(self.policy.signers(statement, self.now))
    }

    /// Whether the newest root expires so soon that somebody should be told.
    pub fn expires_soon(&self) -> bool {
        self.now.plus(u64::from(self.policy.warning_days) * DAY) >= self.root.expires
    }

    /// What to tell them.
    pub fn warning(&self) -> Option<ExpiresSoon> {
        let Root { version, expires, .. } = self.root;
        let days = expires.seconds().saturating_sub(self.now.seconds()) / DAY;
        self.expires_soon().then_some(ExpiresSoon { version, expires, days })
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Counts the distinct keys of `by` whose signatures on `file` verify.
fn signed_by(file: &RootFile, by: &Root) -> Result<(), TrustError> {
    let present: BTreeSet<_> = file
        .signatures()
        .iter()
        .filter_map(|signature| {
            let named = by.keys.iter().filter(|key| tuf_key_id(key) == signature.key_id);
            signature::verify(file.signed_bytes(), &signature.bytes, named)
        })
        .collect();
    let (needed, present) = (by.threshold, present.len() as u64);
    if present < needed {
        return Err(TrustError::Threshold { version: file.root().version, by: by.version, needed, present });
    }
    Ok(())
}
