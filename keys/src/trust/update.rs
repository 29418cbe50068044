//! Newer roots and policies for a host's trust directory (`trust.md` section 7; TUF 1.0.34 section 5.3).
//!
//! Attack -> defence. Metadata that was refused and stays behind to be believed later: everything offered is judged in
//! memory, from the pinned digest to the policy in force, before the first byte is written. A crash on the way: policies
//! come before their roots and versions in order, so the directory holds a chain at every moment. Taking roots away again
//! (rollback): fewer roots than are there are refused, and nothing is ever removed or written over. Two roots of one version
//! (fork): refused, whoever signed them.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sealift_spec::root::RootFile;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::file as files;
use sealift_verifier::report::{Exit, Failure};
use sealift_verifier::trust::{Chain, Trust, TrustError, TrustFiles};

use crate::file::WriteError;
use crate::trust::folder;

/// Why a trust directory is not brought up to date. It is as it was, except after [`Write`](Self::Write), when what was
/// copied before the failure stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// What is there is not trusted itself.
    Host(TrustError),
    /// What is offered is not trusted.
    Offered(TrustError),
    /// There are two roots, or two policies, of one version.
    Fork {
        /// The version.
        version: u64,
    },
    /// The directory cannot be made.
    Folder {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    Write(WriteError),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(_) => f.write_str("the trust directory to update is not trusted itself"),
            Self::Offered(_) => f.write_str("what is offered is not trusted, and nothing was copied"),
            Self::Fork { version } => {
                write!(f, "there are two different roots or policies of version {version}, and nothing was copied")
            }
            Self::Folder { path, .. } => write!(f, "cannot make `{}`", path.display()),
            Self::Write(_) => f.write_str("the trust directory is not complete yet: what was copied before is good"),
        }
    }
}

impl std::error::Error for UpdateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Host(error) | Self::Offered(error) => Some(error),
            Self::Folder { source, .. } => Some(source),
            Self::Write(error) => Some(error),
            Self::Fork { .. } => None,
        }
    }
}

impl From<UpdateError> for Failure {
    fn from(error: UpdateError) -> Self {
        let (what, hint) = (error.to_string(), "repeat it when the directory can be written");
        match error {
            UpdateError::Host(source) => Self::from(source).context(what),
            UpdateError::Offered(source @ TrustError::Rollback { .. }) => {
                Self { hint: Some("ask for the newest roots".to_owned()), ..Self::from(source).context(what) }
            }
            UpdateError::Offered(source) => Self::from(source).context(what),
            UpdateError::Fork { .. } => Self::new(Exit::No, error)
                .hint("tell the security team: a threshold of root holders has signed both, or a file was changed"),
            UpdateError::Folder { .. } => Self::new(Exit::Unknown, error),
            UpdateError::Write(_) => Self::new(Exit::Unknown, error).hint(hint),
        }
    }
}

/// What is to be copied: judged already, not written yet.
#[derive(Debug)]
pub struct Update {
    before: u64,
    trust: Trust,
    files: Vec<(u64, Option<Vec<u8>>, Vec<u8>)>,
}

impl Update {
    /// Judges what is offered, as a host with this pinned digest that already lives on `host` would.
    ///
    /// # Errors
    /// [`UpdateError`], except for the two about writing.
    pub fn judge(
        host: Option<&TrustFiles>,
        offered: &TrustFiles,
        pinned: Digest,
        now: Timestamp,
    ) -> Result<Self, UpdateError> {
        let there = host.map_or(&[][..], TrustFiles::pairs);
        let before = match host {
            // Its expiry is no obstacle: that is what newer roots are for.
            Some(host) => Chain::verify(host, pinned).map_err(UpdateError::Host)?.newest().root().version,
            None => 0,
        };
        let trust = Trust::verify(offered, pinned, before, now).map_err(UpdateError::Offered)?;
        let read = |bytes: &[u8], version| RootFile::read(bytes).map_err(|source| TrustError::Root { version, source });
        let mut files = Vec::new();
        for (index, (root_bytes, policy)) in offered.pairs().iter().enumerate() {
            let version = index as u64 + 1;
            let root = read(root_bytes, version).map_err(UpdateError::Offered)?;
            let named = root.root().policy;
            let is_named = |bytes: &[u8]| bytes.len() as u64 == named.size && Digest::of(bytes) == named.sha256;
            if !is_named(policy) {
                return Err(UpdateError::Offered(TrustError::PolicyDigest { version }));
            }
            match there.get(index) {
                None => files.push((version, Some(root_bytes.clone()), policy.clone())),
                Some((root_there, policy_there)) => {
                    // Signatures may have been added since; what they sign is the root.
                    let same = read(root_there, version).map_err(UpdateError::Host)?.digest() == root.digest();
                    if !same || !(policy_there.is_empty() || is_named(policy_there)) {
                        return Err(UpdateError::Fork { version });
                    }
                    if policy_there.is_empty() {
                        files.push((version, None, policy.clone()));
                    }
                }
            }
        }
        Ok(Self { before, trust, files })
    }

    /// The newest version that was there, 0 if there was none.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// The trust that the directory will hold.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Writes what is missing, versions ascending, each policy before its root, each file whole or not at all, and returns
    /// their names.
    ///
    /// # Errors
    /// [`UpdateError::Folder`] or [`UpdateError::Write`].
    pub fn perform(self, folder: &Path) -> Result<Vec<String>, UpdateError> {
        if let Err(source) = DirBuilder::new().mode(0o755).create(folder)
            && source.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(UpdateError::Folder { path: folder.to_owned(), source });
        }
        let mut written = Vec::new();
        for (version, root, policy) in self.files {
            // A policy without its root is what an earlier update left behind, and means nothing: it may be replaced.
            for (path, bytes, replace) in folder::names(folder, version)
                .into_iter()
                .zip([Some(policy), root])
                .zip([true, false])
                .filter_map(|((path, bytes), replace)| bytes.map(|bytes| (path, bytes, replace)))
            {
                files::write(&path, &bytes, 0o644, replace).map_err(|source| {
                    UpdateError::Write(match source.kind() {
                        io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.clone() },
                        _ => WriteError::Io { path: path.clone(), source },
                    })
                })?;
                written.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(written)
    }
}
