//! Trust directories as a security team handles them: written by `trust draft`, signed by holders one after the other,
//! shown (`trust.md` sections 2 and 7).
//!
//! What is read here is what files claim: whether a host would accept them is for `sealift_verifier::trust` to say. Attack
//! -> defence. A holder who signs a root whose policy they do not see: a root is only signed, and only shown, beside the
//! policy it names. A signature that was already bad: found before another one is added, not on a host.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::name::Person;
use sealift_spec::policy::{Policy, PolicyError};
use sealift_spec::root::{RootError, RootFile, tuf_key_id};
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::file::FileError;
use sealift_verifier::report::{Exit, Failure};
use sealift_verifier::signature;

use crate::file::{self, WriteError};
use crate::signer::{SignError, Signer};
use crate::trust::Draft;

/// A root and its policy as two files claim them.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The root.
    pub root: RootFile,
    /// The policy it names by digest.
    pub policy: Policy,
    /// The root before it, whose holders sign it too.
    pub before: Option<Box<Claimed>>,
}

/// A holder of a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHolder {
    /// The key.
    pub key: PublicKey,
    /// Whose it is, if the policy says.
    pub person: Option<Person>,
    /// Whether its signature is there and verifies.
    pub signed: bool,
}

/// Why a trust directory is not read, written or signed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// A file cannot be read.
    File(FileError),
    /// A file exists, or cannot be written.
    Write(WriteError),
    /// The directory cannot be made or listed.
    Folder {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory holds roots already.
    Occupied {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        name: String,
    },
    /// There is no root in the directory.
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not called `N.root.json`, or N is not the version in it.
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The root is not well formed.
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootError,
    },
    /// The policy beside the root is not the one it names.
    PolicyDigest {
        /// The policy file.
        path: PathBuf,
        /// The digest that the root names.
        expected: Digest,
        /// The digest of the file.
        found: Digest,
    },
    /// The policy is not well formed.
    Policy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PolicyError,
    },
    /// The root before it does not lie beside it.
    Alone {
        /// The root.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// A signature that is there does not verify.
    BadSignature {
        /// The file.
        path: PathBuf,
        /// The TUF key ID it claims.
        key_id: Digest,
    },
    /// The root has expired.
    Expired {
        /// Its version.
        version: u64,
        /// When.
        expires: Timestamp,
    },
    /// The key cannot sign it.
    Sign(SignError),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the trust directory cannot be read"),
            Self::Write(_) => f.write_str("the trust directory was not changed"),
            Self::Folder { path, .. } => write!(f, "`{}` cannot be used as trust directory", path.display()),
            Self::Occupied { path, name } => write!(f, "`{}` holds `{name}` already", path.display()),
            Self::Empty { path } => write!(f, "there is no `1.root.json` in `{}`", path.display()),
            Self::Name { path } => write!(f, "`{}` is not named after the root version in it", path.display()),
            Self::Root { path, .. } => write!(f, "`{}` is refused", path.display()),
            Self::PolicyDigest { path, expected, found } => {
                let path = path.display();
                write!(
                    f,
                    "`{path}` is not the policy that the root names: expected digest `{expected}`, found `{found}`"
                )
            }
            Self::Policy { path, .. } => write!(f, "`{}` is refused", path.display()),
            Self::Alone { path, version } => {
                write!(f, "root {} does not lie beside `{}`", version - 1, path.display())
            }
            Self::BadSignature { path, key_id } => {
                write!(f, "a signature in `{}` does not verify: the one by TUF key `{key_id}`", path.display())
            }
            Self::Expired { version, expires } => write!(f, "root {version} expired at {expires}"),
            Self::Sign(_) => f.write_str("the root was not signed"),
        }
    }
}

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Write(error) => Some(error),
            Self::Folder { source, .. } => Some(source),
            Self::Root { source, .. } => Some(source),
            Self::Policy { source, .. } => Some(source),
            Self::Sign(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let unknown = matches!(
            error,
            FolderError::File(FileError::Io { .. })
                | FolderError::Write(WriteError::Io { .. })
                | FolderError::Folder { .. }
                | FolderError::Empty { .. }
                | FolderError::Sign(SignError::Faulty { .. })
        );
        let hint = match &error {
            FolderError::File(error) => error.hint(),
            FolderError::Occupied { .. } | FolderError::Write(WriteError::Exists { .. }) => {
                Some("draft into a new directory".to_owned())
            }
            FolderError::Name { .. } => Some("give it as DIR/1.root.json".to_owned()),
            FolderError::Alone { .. } => {
                Some("keep the directory together: the holders of the root before sign this one too".to_owned())
            }
            FolderError::PolicyDigest { .. } => Some("get both files anew from where the root was drafted".to_owned()),
            FolderError::BadSignature { .. } => Some("get the file anew from where the root was drafted".to_owned()),
            FolderError::Expired { .. } => Some("draft a new one".to_owned()),
            FolderError::Sign(SignError::NotRootKey { .. }) => {
                Some("`sealift-keys trust show` lists the root keys".to_owned())
            }
            _ => None,
        };
        Self { hint, ..Self::new(if unknown { Exit::Unknown } else { Exit::No }, error) }
    }
}

/// Writes the roots and policies that a draft follows, and the draft, into a directory, which is made if it does not
/// exist. All are written or none.
///
/// # Errors
/// [`FolderError::Occupied`] when there are roots or policies already; [`FolderError::Folder`]; [`FolderError::Write`].
pub fn write(folder: &Path, earlier: &[(Vec<u8>, Vec<u8>)], draft: &Draft) -> Result<(), FolderError> {
    let failed = |source| FolderError::Folder { path: folder.to_owned(), source };
    let made = match DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(error)),
    };
    let mut written = Vec::new();
    let result = (|| {
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".root.json") || name.ends_with(".policy.json") {
                return Err(FolderError::Occupied { path: folder.to_owned(), name });
            }
        }
        for (index, (root, policy)) in earlier.iter().enumerate() {
            for (path, bytes) in names(folder, index as u64 + 1).into_iter().zip([policy, root]) {
                file::create(&path, bytes, 0o644).map_err(FolderError::Write)?;
                written.push(path);
            }
        }
        add(folder, draft)
    })();
    if result.is_err() {
        // Ours, since they were created a moment ago.
        for path in &written {
            let _ = std::fs::remove_file(path);
        }
        if made {
            let _ = std::fs::remove_dir(folder);
        }
    }
    result
}

/// Writes a draft beside the roots that it follows. Both files are written or none.
///
/// # Errors
/// [`FolderError::Write`], also when the next version is there already.
pub fn add(folder: &Path, draft: &Draft) -> Result<(), FolderError> {
    let [policy, root] = names(folder, draft.root.root().version);
    // The root last: without it the policy means nothing.
    file::create_both((&policy, draft.policy_bytes(), 0o644), (&root, &draft.root.write(), 0o644))
        .map_err(FolderError::Write)
}

/// The names of a policy and its root, in the order in which they are written.
pub(crate) fn names(folder: &Path, version: u64) -> [PathBuf; 2] {
    ["policy", "root"].map(|kind| folder.join(format!("{version}.{kind}.json")))
}

/// Reads the newest root of a directory and its policy.
///
/// # Errors
/// [`FolderError`].
pub fn read(folder: &Path) -> Result<Claimed, FolderError> {
    let newest = (1..=limit::ROOTS)
        .map(|version| folder.join(format!("{version}.root.json")))
        .take_while(|path| path.symlink_metadata().is_ok())
        .last();
    read_root(&newest.ok_or_else(|| FolderError::Empty { path: folder.to_owned() })?)
}

/// Reads `N.root.json` and `N.policy.json` beside it, and the pair before, if N is not 1.
///
/// # Errors
/// [`FolderError`].
pub fn read_root(path: &Path) -> Result<Claimed, FolderError> {
    let claimed = read_pair(path)?;
    let version = claimed.root.root().version;
    if version == 1 {
        return Ok(claimed);
    }
    let before = path.with_file_name(format!("{}.root.json", version - 1));
    if before.symlink_metadata().is_err() {
        return Err(FolderError::Alone { path: path.to_owned(), version });
    }
    Ok(Claimed { before: Some(Box::new(read_pair(&before)?)), ..claimed })
}

fn read_pair(path: &Path) -> Result<Claimed, FolderError> {
    let version = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".root.json"));
    let version = version.ok_or_else(|| FolderError::Name { path: path.to_owned() })?;
    let root = RootFile::read(&read_file(path, limit::ROOT)?)
        .map_err(|source| FolderError::Root { path: path.to_owned(), source })?;
    if version != root.root().version.to_string() {
        return Err(FolderError::Name { path: path.to_owned() });
    }
    let policy_path = path.with_file_name(format!("{version}.policy.json"));
    let bytes = read_file(&policy_path, limit::POLICY)?;
    let (expected, found) = (root.root().policy, Digest::of(&bytes));
    if found != expected.sha256 || bytes.len() as u64 != expected.size {
        return Err(FolderError::PolicyDigest { path: policy_path, expected: expected.sha256, found });
    }
    let policy = Policy::read(&bytes).map_err(|source| FolderError::Policy { path: policy_path, source })?;
    Ok(Claimed { root, policy, before: None })
}

fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, FolderError> {
    sealift_verifier::file::open(path)
        .and_then(|(file, metadata)| sealift_verifier::file::read_all(file, metadata.len(), path, limit as u64))
        .map_err(FolderError::File)
}

impl Claimed {
    /// The holders of the root's keys, and who of them has signed.
    pub fn holders(&self) -> Vec<RootHolder> {
        self.signed_by(self)
    }

    /// The holders of the keys of the root before it, and who of them has signed this one.
    pub fn holders_before(&self) -> Option<Vec<RootHolder>> {
        self.before.as_ref().map(|before| self.signed_by(before))
    }

    fn signed_by(&self, judge: &Self) -> Vec<RootHolder> {
        let holder = |key: &PublicKey| {
            let by_key = |signature: &&sealift_spec::root::RootSignature| signature.key_id == tuf_key_id(key);
            let found = self.root.signatures().iter().find(by_key);
            let verified = found.and_then(|found| signature::verify(self.root.signed_bytes(), &found.bytes, [key]));
            RootHolder { key: *key, person: judge.policy.holder(key).cloned(), signed: verified.is_some() }
        };
        let mut holders: Vec<RootHolder> = judge.root.root().keys.iter().map(holder).collect();
        holders.sort_by(|a, b| a.person.cmp(&b.person));
        holders
    }

    /// The signatures that no key of the root or of the one before it explains.
    pub fn unexplained(&self) -> BTreeSet<Digest> {
        let holders = self.holders().into_iter().chain(self.holders_before().into_iter().flatten());
        let good: BTreeSet<Digest> =
            holders.filter(|holder| holder.signed).map(|holder| tuf_key_id(&holder.key)).collect();
        self.root.signatures().iter().map(|made| made.key_id).filter(|key_id| !good.contains(key_id)).collect()
    }
}

/// Adds one signature to `N.root.json`, by a holder of it or of the root before, and returns the file as it is now and the
/// key that signed.
///
/// # Errors
/// [`FolderError`]; the file is then as it was.
pub fn sign(path: &Path, signer: &Signer, now: Timestamp) -> Result<(Claimed, KeyId), FolderError> {
    let mut claimed = read_root(path)?;
    let root = claimed.root.root();
    if now >= root.expires {
        return Err(FolderError::Expired { version: root.version, expires: root.expires });
    }
    if let Some(key_id) = claimed.unexplained().into_iter().next() {
        return Err(FolderError::BadSignature { path: path.to_owned(), key_id });
    }
    let before = claimed.before.as_ref().map(|before| before.root.root().keys.clone()).unwrap_or_default();
    signer.sign_next_root(&mut claimed.root, &before).map_err(FolderError::Sign)?;
    sealift_verifier::file::write(path, &claimed.root.write(), 0o644, true)
        .map_err(|source| FolderError::Write(WriteError::Io { path: path.to_owned(), source }))?;
    Ok((claimed, signer.public_key().id()))
}
