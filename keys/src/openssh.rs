//! Signing keys in files, as OpenSSH writes them (`PROTOCOL.key` of OpenSSH; `trust.md` section 1).
//!
//! Attack -> defence. A key file that others can read or swap, a link, a FIFO: `sealift_verifier::file` opens it and
//! refuses these. A file whose public half is not that of its secret half: refused. Keys that cannot sign for us (FIDO,
//! other algorithms): refused before a passphrase is asked for. Keys that an agent holds are
//! the business of [`crate::agent`].

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sealift_spec::key::KeyError;
use sealift_spec::name::Person;
use sealift_spec::secret::Secret;
use sealift_verifier::file::{FileError, open, open_private, read_all};
use sealift_verifier::report::{Exit, Failure};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{Algorithm, Cipher, Kdf, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use crate::file;
use crate::signer::{RandomError, Signer};

/// The largest key file that is read.
const LIMIT: u64 = 16 * 1024;
/// The rounds of bcrypt-pbkdf that OpenSSH has used since 9.4.
const ROUNDS: u32 = 24;
const HEADER: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// Asks for the passphrase of a key file.
pub type Ask<'a> = dyn FnMut(&Path) -> io::Result<Secret> + 'a;

/// Why a file gives no signing key.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read, or is not private.
    File(FileError),
    /// It is a public key.
    Public {
        /// The file.
        path: PathBuf,
    },
    /// It is no private key in OpenSSH's format.
    Format {
        /// The file.
        path: PathBuf,
    },
    /// It is in OpenSSH's format but damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It is a key that only a FIDO token can use.
    SecurityKey {
        /// The file.
        path: PathBuf,
    },
    /// It is a key of another algorithm.
    Algorithm {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted and there is no passphrase.
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is encrypted with another passphrase.
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The public key in it is not the one of its secret key.
    Mismatch {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the private key cannot be used"),
            Self::Public { path } => write!(f, "`{}` is a public key; the private key signs", path.display()),
            Self::Format { path } => write!(f, "`{}` is no private key in OpenSSH's format", path.display()),
            Self::Damaged { path, .. } => write!(f, "the private key in `{}` is damaged", path.display()),
            Self::SecurityKey { path } => write!(f, "`{}`: {}", path.display(), KeyError::SecurityKey),
            Self::Algorithm { path } => write!(f, "`{}`: {}", path.display(), KeyError::Algorithm),
            Self::Passphrase { path, .. } => write!(f, "`{}` needs a passphrase", path.display()),
            Self::WrongPassphrase { path } => write!(f, "this is not the passphrase of `{}`", path.display()),
            Self::Mismatch { path } => {
                write!(f, "the public key in `{}` does not belong to its private key", path.display())
            }
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Damaged { source, .. } => Some(&**source),
            Self::Passphrase { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl ReadError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Public { path } => {
                let private = path.with_extension("");
                let named = path.extension().is_some_and(|extension| extension == "pub");
                Some(match named {
                    true => format!("give the private half: {}", private.display()),
                    false => "give the file that `ssh-keygen` or `sealift-keys generate` wrote beside it".to_owned(),
                })
            }
            Self::Format { .. } | Self::SecurityKey { .. } | Self::Algorithm { .. } => {
                Some("make one with `sealift-keys generate` or `ssh-keygen -t ed25519`".to_owned())
            }
            Self::Passphrase { .. } => Some("run this on a terminal, or use a key without a passphrase".to_owned()),
            Self::Mismatch { .. } => Some("do not use this key; make a new one and find out who changed it".to_owned()),
            Self::Damaged { .. } | Self::WrongPassphrase { .. } => None,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let unknown = matches!(error, ReadError::File(FileError::Io { .. }) | ReadError::Passphrase { .. });
        let hint = error.hint();
        Self { hint, ..Self::new(if unknown { Exit::Unknown } else { Exit::No }, error) }
    }
}

/// Reads the signing key in a file; `ask` is called only if it is encrypted.
///
/// # Errors
/// [`ReadError`].
pub fn read(path: &Path, ask: &mut Ask<'_>) -> Result<Signer, ReadError> {
    let path_of = || path.to_owned();
    if path.extension().is_some_and(|extension| extension == "pub") {
        return Err(ReadError::Public { path: path_of() });
    }
    let (file, metadata) = match open_private(path) {
        Ok(opened) => opened,
        // A public key may be readable by all: what is wrong then is not the mode.
        Err(FileError::Readable { .. }) if is_public(path) => return Err(ReadError::Public { path: path_of() }),
        Err(error) => return Err(ReadError::File(error)),
    };
    let bytes = Zeroizing::new(read_all(file, metadata.len(), path, LIMIT).map_err(ReadError::File)?);
    parse(&bytes, path, ask)
}

fn is_public(path: &Path) -> bool {
    let bytes = open(path).and_then(|(file, metadata)| read_all(file, metadata.len(), path, LIMIT));
    bytes.is_ok_and(|bytes| looks_public(&bytes))
}

fn looks_public(bytes: &[u8]) -> bool {
    let kind = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    [b"ssh-".as_slice(), b"sk-", b"ecdsa-"].iter().any(|prefix| kind.starts_with(prefix))
}

fn parse(bytes: &[u8], path: &Path, ask: &mut Ask<'_>) -> Result<Signer, ReadError> {
    let path_of = || path.to_owned();
    if looks_public(bytes) {
        return Err(ReadError::Public { path: path_of() });
    }
    if !bytes.starts_with(HEADER.as_bytes()) {
        return Err(ReadError::Format { path: path_of() });
    }
    let damaged = |error: ssh_key::Error| match error {
        ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => {
            ReadError::Algorithm { path: path.to_owned() }
        }
        error => ReadError::Damaged { path: path.to_owned(), source: error.into() },
    };
    let mut key = PrivateKey::from_openssh(bytes).map_err(damaged)?;
    match key.algorithm() {
        Algorithm::Ed25519 => {}
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
            return Err(ReadError::SecurityKey { path: path_of() });
        }
        _ => return Err(ReadError::Algorithm { path: path_of() }),
    }
    let outer = key.public_key().key_data().ed25519().copied();
    if key.is_encrypted() {
        let passphrase = ask(path).map_err(|source| ReadError::Passphrase { path: path_of(), source })?;
        key = key.decrypt(passphrase.expose()).map_err(|error| match error {
            ssh_key::Error::Crypto => ReadError::WrongPassphrase { path: path.to_owned() },
            error => damaged(error),
        })?;
    }
    let pair = key.key_data().ed25519().ok_or_else(|| ReadError::Algorithm { path: path_of() })?;
    let signer = Signer::from_seed(pair.private.as_ref());
    let derived = Ed25519PublicKey(*signer.public_key().as_bytes());
    if pair.public != derived || outer != Some(derived) {
        return Err(ReadError::Mismatch { path: path_of() });
    }
    Ok(signer)
}

/// Why a key pair was not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// A file exists or cannot be written.
    File(file::WriteError),
    /// There is no randomness for the salt.
    Random(RandomError),
    /// The secret key is not here.
    Elsewhere,
    /// The key cannot be encoded: our bug.
    Encode(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the key pair was not written"),
            Self::Random(_) => f.write_str("the key cannot be encrypted"),
            Self::Elsewhere => f.write_str("the secret key is elsewhere"),
            Self::Encode(_) => f.write_str("the key cannot be encoded: please report this"),
        }
    }
}

impl Error for WriteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Elsewhere => None,
            Self::Encode(error) => Some(&**error),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::File(file::WriteError::Exists { .. }) => Self::new(Exit::No, error).hint("choose another name"),
            _ => Self::new(Exit::Unknown, error),
        }
    }
}

/// The file beside a private key that holds its public half: `FILE.pub`.
pub fn public_path(private: &Path) -> PathBuf {
    let mut path = private.as_os_str().to_owned();
    path.push(".pub");
    PathBuf::from(path)
}

/// Writes a key as OpenSSH does: the private half into `path` (mode 0600), encrypted if there is a passphrase, and the
/// public half into `path.pub` (mode 0644), both with the holder as comment. Both or neither are written, and neither
/// overwrites anything.
///
/// # Errors
/// [`WriteError`].
pub fn write(signer: &Signer, holder: &Person, passphrase: Option<&Secret>, path: &Path) -> Result<(), WriteError> {
    let public_path = public_path(path);
    for path in [path, &public_path] {
        file::free(path).map_err(WriteError::File)?;
    }
    let private = encode(signer, holder, passphrase)?;
    let public = format!("{} {holder}\n", signer.public_key());
    let files = ((path, private.as_bytes(), 0o600), (public_path.as_path(), public.as_bytes(), 0o644));
    file::create_both(files.0, files.1).map_err(WriteError::File)
}

fn encode(signer: &Signer, holder: &Person, passphrase: Option<&Secret>) -> Result<Zeroizing<String>, WriteError> {
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(*signer.public_key().as_bytes()),
        private: Ed25519PrivateKey::from_bytes(signer.seed().ok_or(WriteError::Elsewhere)?),
    };
    let encode = |error: ssh_key::Error| WriteError::Encode(error.into());
    let mut key = PrivateKey::new(KeypairData::Ed25519(pair), holder.as_str()).map_err(encode)?;
    if let Some(passphrase) = passphrase {
        let mut random = [0; 20];
        getrandom::fill(&mut random).map_err(|error| WriteError::Random(RandomError(error)))?;
        let (salt, check) = random.split_at(16);
        let check = u32::from_be_bytes([check[0], check[1], check[2], check[3]]);
        let kdf = Kdf::Bcrypt { salt: salt.to_vec(), rounds: ROUNDS };
        key = key.encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase.expose()).map_err(encode)?;
    }
    key.to_openssh(LineEnding::LF).map_err(encode)
}
