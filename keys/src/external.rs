//! Signatures that are made elsewhere: by a KMS, an HSM, or on a machine without a network (`bundle.md` section 9.4).
//!
//! The bytes to sign leave as a file of exactly these bytes; what comes back is 64 bytes or their base64, and says nothing
//! of the key, which is named by its public half. Nothing is believed: [`Signer`] verifies before it uses a signature.

use std::fmt;
use std::path::{Path, PathBuf};

use sealift_spec::envelope::SignatureBytes;
use sealift_verifier::file::{FileError, SealedFile};
use sealift_verifier::report::{Exit, Failure};

use crate::agent;
use crate::signer::Signer;

/// The largest file with a signature: 64 bytes in base64, and a line feed of either kind.
const LIMIT: u64 = 90;

/// Why a file gives no signature.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExternalError {
    /// It cannot be read.
    File(FileError),
    /// It is neither 64 bytes nor their base64.
    Form {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for ExternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("the signature cannot be read"),
            Self::Form { path } => write!(f, "`{}` is no Ed25519 signature", path.display()),
        }
    }
}

impl std::error::Error for ExternalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Form { .. } => None,
        }
    }
}

impl From<ExternalError> for Failure {
    fn from(error: ExternalError) -> Self {
        match &error {
            ExternalError::File(FileError::Io { .. }) => Self::new(Exit::Unknown, error),
            _ => {
                Self::new(Exit::No, error).hint("a signature is a file of 64 raw bytes, or of their base64 on one line")
            }
        }
    }
}

/// The signer of one signature: the public key from one file, the signature from another.
///
/// # Errors
/// A [`Failure`] that says which of the two is refused, and why.
pub fn signer(public_key: &Path, signature: &Path) -> Result<Signer, Failure> {
    Ok(Signer::from_signature(agent::read_public(public_key)?, read(signature)?))
}

fn read(path: &Path) -> Result<SignatureBytes, ExternalError> {
    let form = || ExternalError::Form { path: path.to_owned() };
    let file = match SealedFile::read(path, LIMIT) {
        Err(FileError::TooLarge { .. }) => return Err(form()),
        file => file.map_err(ExternalError::File)?,
    };
    parse(file.bytes()).ok_or_else(form)
}

fn parse(bytes: &[u8]) -> Option<SignatureBytes> {
    // 64 characters of base64 are 48 bytes, so that the two forms cannot be taken for each other.
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    sealift_spec::envelope::signature_from_base64(std::str::from_utf8(bytes).ok()?.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_and_base64_are_read_and_nothing_else() {
        let base64 = format!("{}==", "A".repeat(86));
        let zero = Some([0; 64]);
        assert_eq!(parse(&[0; 64]), zero);
        assert_eq!(parse(base64.as_bytes()), zero);
        assert_eq!(parse(format!("{base64}\r\n").as_bytes()), zero);
        assert_eq!(parse(&[b'A'; 64]), Some([b'A'; 64]));
        let hexadecimal = "00".repeat(64);
        let spare = format!("{}B==", "A".repeat(85));
        for other in ["", &base64[..86], &format!(" {base64}"), &hexadecimal, &spare] {
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(parse(&[0; 63]), None);
    }
}
