//! Opening sealed credentials in order to seal them anew (`credentials.md` sections 2 and 7).
//!
//! Attack -> defence. A file that somebody else made, to have a password or an endpoint signed by the one who reseals:
//! nothing is decrypted but what verified, and secrets that differ from what was signed are not sealed again. A passphrase
//! or a plugin: refused, as on hosts. Deliberately not here: connections, which only the runner makes.

use std::error::Error;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use age::DecryptError;
use age::x25519::Identity as Key;
use sealift_spec::credentials::{RECIPIENT_KIND, Secrets, SecretsError, foreign_identity, recipient_kinds};
use sealift_spec::endpoint::ConnectionUrl;
use sealift_spec::name::{Label, Name};
use sealift_spec::text::Plain;
use sealift_spec::{Digest, limit};
use sealift_verifier::credentials::VerifiedCredentials;
use sealift_verifier::file::{self, FileError};
use sealift_verifier::report::{Exit, Failure};
use zeroize::Zeroizing;

/// The largest identity file, in bytes.
const LIMIT: u64 = 64 * 1024;

/// X25519 identities. Wiped when dropped, by age.
pub struct Identity(Vec<Key>);

/// Why credentials are not opened. Never holds any part of a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The identity file cannot be read, or others may read it.
    File(FileError),
    /// A line of the identity file is no X25519 identity.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it is.
        kind: &'static str,
    },
    /// There is no identity in the file.
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The credentials are sealed to a recipient of another kind than X25519.
    Recipient {
        /// The kind, as the age file says.
        kind: String,
    },
    /// The credentials are not sealed to this identity.
    NotForUs {
        /// The recipients they are sealed to, as signed.
        sealed_to: Vec<Label>,
    },
    /// The age file is damaged: who signed it sealed a broken file.
    Damaged,
    /// What was decrypted is not a document of the format.
    Secrets(SecretsError),
    /// The secret part of a database is not the one that was signed.
    Differs {
        /// The database.
        database: Name,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the age identity cannot be used"),
            Self::Line { path, line, kind } => {
                write!(f, "`{}`, line {line}: this is {kind}; only X25519 identities are accepted", path.display())
            }
            Self::Empty { path } => write!(f, "`{}` holds no age identity", path.display()),
            Self::Recipient { kind } => {
                write!(
                    f,
                    "the credentials are sealed to a recipient of kind `{}`; only X25519 is accepted",
                    Plain(kind)
                )
            }
            Self::NotForUs { sealed_to } => {
                let names: Vec<_> = sealed_to.iter().map(|label| format!("`{label}`")).collect();
                write!(f, "the credentials are sealed to {}, not to this identity", names.join(", "))
            }
            Self::Damaged => f.write_str("the age file in the credentials is damaged"),
            Self::Secrets(_) => f.write_str("the credentials were decrypted and are refused"),
            Self::Differs { database } => {
                write!(f, "the secret part of database `{database}` is not the one that was signed")
            }
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Secrets(source) => Some(source),
            _ => None,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let hint = match &error {
            OpenError::File(source) => source.hint(),
            OpenError::NotForUs { .. } => {
                Some("give the identity of one of them, or seal anew with `credentials seal`".to_owned())
            }
            OpenError::Line { .. } | OpenError::Empty { .. } => None,
            _ => Some("seal anew with `credentials seal`, and ask who signed this file".to_owned()),
        };
        let exit = if matches!(error, OpenError::File(FileError::Io { .. })) { Exit::Unknown } else { Exit::No };
        Self { hint, ..Self::new(exit, error) }
    }
}

/// Reads an identity file that only its owner may read.
///
/// # Errors
/// [`OpenError`].
pub fn read_identity(path: &Path) -> Result<Identity, OpenError> {
    let (file, metadata) = file::open_private(path).map_err(OpenError::File)?;
    let bytes = file::read_all(file, metadata.len(), path, LIMIT).map(Zeroizing::new).map_err(OpenError::File)?;
    let mut keys = Vec::new();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let refused = |kind| OpenError::Line { path: path.to_owned(), line: index + 1, kind };
        let text = std::str::from_utf8(bytes).map_err(|_| refused("no text"))?.trim_end_matches('\r');
        if !text.is_empty() && !text.starts_with('#') {
            keys.push(text.parse().map_err(|_| refused(foreign_identity(text).unwrap_or("nothing known")))?);
        }
    }
    if keys.is_empty() { Err(OpenError::Empty { path: path.to_owned() }) } else { Ok(Identity(keys)) }
}

/// Decrypts verified credentials in memory, and holds every database against what was signed of it.
///
/// # Errors
/// [`OpenError`].
pub fn open(credentials: &VerifiedCredentials, identity: &Identity) -> Result<Secrets, OpenError> {
    let (signed, ciphertext) = (credentials.statement(), credentials.ciphertext());
    if let Some(kind) = recipient_kinds(ciphertext).into_iter().find(|kind| kind != RECIPIENT_KIND) {
        return Err(OpenError::Recipient { kind });
    }
    let failed = |error: DecryptError| match error {
        DecryptError::NoMatchingKeys => OpenError::NotForUs { sealed_to: signed.recipients.clone() },
        _ => OpenError::Damaged,
    };
    let decryptor = age::Decryptor::new_buffered(ciphertext).map_err(failed)?;
    let reader = decryptor.decrypt(identity.0.iter().map(|key| key as &dyn age::Identity)).map_err(failed)?;
    // Room for everything up front: a growing buffer would leave copies behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(ciphertext.len() + 64));
    reader.take(limit::CREDENTIALS as u64 + 1).read_to_end(&mut plaintext).map_err(|_| OpenError::Damaged)?;
    if plaintext.len() > limit::CREDENTIALS {
        return Err(OpenError::Damaged);
    }
    let secrets = Secrets::read(&plaintext).map_err(OpenError::Secrets)?;
    for described in &signed.databases {
        let agrees = secrets.databases.get(&described.name).is_some_and(|secret| {
            let endpoint = ConnectionUrl::parse(secret.url.expose()).map(|url| url.endpoint.to_string());
            endpoint.is_ok_and(|endpoint| endpoint == described.endpoint.as_str())
                && secret.ca.as_ref().map(|ca| Digest::of(ca.as_bytes())) == described.ca
        });
        if !agrees {
            return Err(OpenError::Differs { database: described.name.clone() });
        }
    }
    let unsigned = |name: &&Name| !signed.databases.iter().any(|described| described.name == **name);
    match secrets.databases.keys().find(unsigned) {
        Some(database) => Err(OpenError::Differs { database: database.clone() }),
        None => Ok(secrets),
    }
}
