//! The record key of this host, which signs checkpoints of its audit log (`audit.md` section 5): the only secret signing
//! key on a host. It signs nothing else: what it is given is a [`Checkpoint`], never bytes.
//!
//! Attack -> defence. A key file that others can read, or a link: `sealift_verifier::file` refuses it. A signing library on
//! hosts, with agents, other algorithms and passphrases: not linked. This reader knows one kind of file, an OpenSSH Ed25519
//! key without a passphrase (a host has nobody who could type one), and recomputes its public half. Deliberately not here:
//! whether the key holds the role `record`, which the policy says and an auditor asks.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use sealift_spec::checkpoint::{Checkpoint, NoteSignature, SignedCheckpoint};
use sealift_spec::key::PublicKey;
use sealift_verifier::file::{self, FileError};
use sealift_verifier::report::{Exit, Failure};
use zeroize::Zeroizing;

/// The largest key file, in bytes.
const LIMIT: usize = 4096;
const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Why a record key cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordKeyError {
    /// It cannot be read, or others can read or change it.
    File(FileError),
    /// It is encrypted.
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// It is no OpenSSH Ed25519 private key, or a damaged one.
    Form {
        /// The file.
        path: PathBuf,
    },
    /// Its public half is not that of its private half.
    Mismatch {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for RecordKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the record key cannot be used"),
            Self::Encrypted { path } => {
                write!(f, "the record key in `{}` has a passphrase, which no host can type", path.display())
            }
            Self::Form { path } => write!(f, "`{}` holds no Ed25519 private key as OpenSSH writes it", path.display()),
            Self::Mismatch { path } => {
                write!(f, "the public key in `{}` does not belong to its private key", path.display())
            }
        }
    }
}

impl std::error::Error for RecordKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            _ => None,
        }
    }
}

impl From<RecordKeyError> for Failure {
    fn from(error: RecordKeyError) -> Self {
        let (exit, hint) = match &error {
            RecordKeyError::File(source @ FileError::Io { .. }) => (Exit::Unknown, source.hint()),
            RecordKeyError::File(source) => (Exit::No, source.hint()),
            RecordKeyError::Encrypted { .. } | RecordKeyError::Form { .. } => {
                (Exit::No, Some("make one with `sealift-keys generate --no-passphrase`".to_owned()))
            }
            RecordKeyError::Mismatch { .. } => {
                (Exit::No, Some("do not use this key; make a new one and find out who changed it".to_owned()))
            }
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

/// A secret key that signs checkpoints.
pub struct RecordKey(SigningKey);

impl RecordKey {
    /// Reads the key in a file that nobody else can read.
    ///
    /// # Errors
    /// [`RecordKeyError`].
    pub fn read(path: &Path) -> Result<Self, RecordKeyError> {
        let (file, metadata) = file::open_private(path).map_err(RecordKeyError::File)?;
        let bytes = file::read_all(file, metadata.len(), path, LIMIT as u64).map_err(RecordKeyError::File)?;
        parse(&Zeroizing::new(bytes), path)
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a checkpoint in the name of its origin.
    pub fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let bytes = self.0.sign(&checkpoint.write()).to_bytes().to_vec();
        let (name, key_id) = (checkpoint.origin.clone(), checkpoint.origin.key_id(&self.public_key()));
        SignedCheckpoint { checkpoint, signatures: vec![NoteSignature { name, key_id, bytes }] }
    }
}

/// One half of a key pair.
type Half = [u8; 32];

/// What is left of an SSH structure.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn is(&mut self, expected: &[u8]) -> Option<()> {
        (self.take(expected.len())? == expected).then_some(())
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<RecordKey, RecordKeyError> {
    let form = || RecordKeyError::Form { path: path.to_owned() };
    let blob = unarmored(bytes).ok_or_else(form)?;
    let mut rest = Rest(&blob);
    rest.is(MAGIC).ok_or_else(form)?;
    let (cipher, derivation) = (rest.string().ok_or_else(form)?, rest.string().ok_or_else(form)?);
    if cipher != b"none" || derivation != b"none" {
        return Err(RecordKeyError::Encrypted { path: path.to_owned() });
    }
    let (seed, claims) = halves(rest).ok_or_else(form)?;
    let key = SigningKey::from_bytes(&seed);
    if claims.iter().any(|claim| *claim != key.verifying_key().to_bytes()) {
        return Err(RecordKeyError::Mismatch { path: path.to_owned() });
    }
    Ok(RecordKey(key))
}

fn unarmored(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = bytes.strip_prefix(BEGIN)?.trim_ascii_end().strip_suffix(END)?;
    let mut joined = Zeroizing::new(Vec::with_capacity(LIMIT));
    joined.extend(text.iter().filter(|byte| **byte != b'\n'));
    STANDARD.decode(&*joined).ok().map(Zeroizing::new)
}

/// The secret half of the one key in an unencrypted file, and its public half as the file states it, three times.
fn halves(mut rest: Rest<'_>) -> Option<(Zeroizing<Half>, [Half; 3])> {
    const KIND: &[u8] = b"ssh-ed25519";
    if !rest.string()?.is_empty() || rest.number()? != 1 {
        return None;
    }
    let (mut public, mut private) = (Rest(rest.string()?), Rest(rest.string()?));
    if !rest.0.is_empty() || public.string()? != KIND {
        return None;
    }
    let outer = public.string()?.try_into().ok()?;
    let twice = private.number()? == private.number()?;
    if !twice || !public.0.is_empty() || private.string()? != KIND {
        return None;
    }
    let inner = private.string()?.try_into().ok()?;
    let (seed, last) = private.string()?.split_first_chunk::<32>()?;
    let _comment = private.string()?;
    let padded = private.0.len() < 8 && private.0.iter().zip(1u8..).all(|(byte, count)| *byte == count);
    padded.then_some((Zeroizing::new(*seed), [outer, inner, last.try_into().ok()?]))
}

#[cfg(test)]
mod tests {
    use sealift_spec::checkpoint::{Origin, Tree};

    use super::*;

    /// A key file and its public half, as OpenSSH writes them.
    fn generated() -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut command = std::process::Command::new("ssh-keygen");
        let made = command.args(["-q", "-t", "ed25519", "-N", "", "-C", "a test", "-f"]).arg(&path).status();
        assert!(made.expect("ssh-keygen runs (Debian package `openssh-client`)").success());
        let text = |path| std::fs::read_to_string(path).unwrap();
        (text(path.clone()), text(path.with_extension("pub")))
    }

    fn read(text: &str) -> Result<RecordKey, RecordKeyError> {
        parse(text.as_bytes(), Path::new("k"))
    }

    /// The file with its decoded bytes edited.
    fn edited(file: &str, edit: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = unarmored(file.as_bytes()).unwrap().to_vec();
        edit(&mut bytes);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}\n{}\n", text(BEGIN), STANDARD.encode(bytes), text(END))
    }

    #[test]
    fn a_key_of_openssh_is_read_and_signs_checkpoints() {
        let (file, public) = generated();
        let key = read(&file).unwrap();
        assert_eq!(key.public_key(), public.parse().unwrap());
        let origin: Origin = "sealift/audit/orders/production/db1".parse().unwrap();
        let tree = Tree::of(b"a\n");
        let signed = key.sign(Checkpoint { origin, size: tree.size(), root: tree.root() });
        let bytes = signed.signatures[0].bytes.clone().try_into().unwrap();
        let by = sealift_verifier::signature::verify(&signed.checkpoint.write(), &bytes, [&key.public_key()]);
        assert!(by.is_some());
        assert_eq!(SignedCheckpoint::read(&signed.write()), Ok(signed));
    }

    #[test]
    fn other_files_are_no_record_keys() {
        let (file, public) = generated();
        let edited = |edit: &dyn Fn(&mut Vec<u8>)| edited(&file, edit);
        let form = |text: &str| matches!(read(text), Err(RecordKeyError::Form { .. }));
        assert!(read(&edited(&|_| ())).is_ok());
        for text in ["", &public, &file.replace("OPENSSH", "RSA"), &file[..200], &file.replacen("b3Bl", "b3Bm", 1)] {
            assert!(form(text), "{text}");
        }
        assert!(form(&edited(&|bytes| bytes.truncate(bytes.len() - 1))), "without the last byte");
        assert!(form(&edited(&|bytes| bytes.push(0))), "with one byte more");
        let at = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap();
        let kind = edited(&|bytes| {
            let place = at(bytes, b"ssh-ed25519");
            bytes[place + 4..place + 11].copy_from_slice(b"ed25518");
        });
        assert!(form(&kind), "another algorithm");
        let locked = edited(&|bytes| {
            let place = at(bytes, b"none");
            bytes[place..place + 4].copy_from_slice(b"aes8");
        });
        assert!(matches!(read(&locked), Err(RecordKeyError::Encrypted { .. })));
        let public: PublicKey = public.parse().unwrap();
        let swapped = edited(&|bytes| {
            let place = at(bytes, public.as_bytes());
            bytes[place] ^= 1;
        });
        assert!(matches!(read(&swapped), Err(RecordKeyError::Mismatch { .. })));
    }
}
