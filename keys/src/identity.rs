//! Host identities: the age X25519 keys that sealed credentials are encrypted to (`credentials.md` section 2;
//! age-encryption.org/v1).
//!
//! Only makes them. Reading and using one is the runner's business.

use std::path::Path;

use age::secrecy::ExposeSecret;
use sealift_spec::Timestamp;
use zeroize::Zeroizing;

use crate::file::{self, WriteError};

/// Writes a new identity, as `age-keygen` does but readable by its owner only (mode 0400), and returns its recipient.
///
/// # Errors
/// [`WriteError`]; nothing is overwritten.
pub fn create(path: &Path, now: Timestamp) -> Result<String, WriteError> {
    let path = file::free(path)?;
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let head = format!("# created: {now}\n# public key: {recipient}\n");
    let mut text = Zeroizing::new(String::with_capacity(head.len() + secret.expose_secret().len() + 1));
    for part in [&head, secret.expose_secret(), "\n"] {
        text.push_str(part);
    }
    file::create(path, text.as_bytes(), 0o400)?;
    Ok(recipient)
}
