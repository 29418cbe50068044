//! Public keys: Ed25519, written as OpenSSH writes them, named by their OpenSSH fingerprint.
//!
//! This module knows shapes only; whether a key is weak is for the verifier to say.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// An Ed25519 public key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// The name of a key: the OpenSSH fingerprint `SHA256:` and 43 characters of base64. A hint, never evidence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Why a text is no key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is a private key.
    Private,
    /// It is a FIDO security key, which cannot sign DSSE.
    SecurityKey,
    /// It is a certificate.
    Certificate,
    /// It is a key of another algorithm.
    Algorithm,
    /// It is not of the form `ssh-ed25519 BASE64 [COMMENT]`.
    Form,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "this is a private key; a public key is wanted",
            Self::SecurityKey => "a FIDO security key (`sk-`) signs only inside SSH's own format, not DSSE envelopes",
            Self::Certificate => "this is an SSH certificate; the plain public key is wanted",
            Self::Algorithm => "only Ed25519 keys (`ssh-ed25519`) are used",
            Self::Form => "a public key is written `ssh-ed25519 BASE64 [COMMENT]`",
        })
    }
}

impl std::error::Error for KeyError {}

const BLOB_PREFIX: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

impl PublicKey {
    /// The key of 32 raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SSH wire form: two length-prefixed strings (RFC 8709 section 4).
    pub fn to_blob(&self) -> Vec<u8> {
        [BLOB_PREFIX, &self.0].concat()
    }

    /// The OpenSSH fingerprint.
    pub fn id(&self) -> KeyId {
        KeyId(*Digest::of(&self.to_blob()).as_bytes())
    }

    /// The raw bytes in lower-case hexadecimal digits, as TUF writes them.
    pub fn to_hex(&self) -> String {
        crate::digest::encode_hex(&self.0)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        crate::digest::decode_hex(text).map(Self)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads one line of an OpenSSH public key file or `authorized_keys`, without options.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        if text.contains(['\n', '\r']) {
            return Err(KeyError::Form);
        }
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some("ssh-ed25519") => {}
            Some(kind) if kind.contains("-cert-") => return Err(KeyError::Certificate),
            Some(kind) if kind.starts_with("sk-") => return Err(KeyError::SecurityKey),
            Some("ssh-rsa" | "ssh-dss") => return Err(KeyError::Algorithm),
            Some(kind) if kind.starts_with("ecdsa-") => return Err(KeyError::Algorithm),
            _ => return Err(KeyError::Form),
        }
        let blob = words.next().and_then(|word| STANDARD.decode(word).ok()).ok_or(KeyError::Form)?;
        let bytes = blob.strip_prefix(BLOB_PREFIX).ok_or(KeyError::Form)?;
        Ok(Self(bytes.try_into().map_err(|_| KeyError::Form)?))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh-ed25519 {}", STANDARD.encode(self.to_blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix("SHA256:").and_then(|text| STANDARD_NO_PAD.decode(text).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(KeyError::Form)
    }
}

impl KeyId {
    /// The first eight hexadecimal digits, for file names.
    pub fn short(&self) -> String {
        crate::digest::encode_hex(&self.0[..4])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! as_text {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(PublicKey);
as_text!(KeyId);

#[cfg(test)]
mod tests {
    use super::*;

    // The key and fingerprint of RFC 8032 test 1, the fingerprint as `ssh-keygen -lf` prints it.
    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

    #[test]
    fn openssh_lines_are_read_and_written() {
        let key: PublicKey = format!("{LINE} a comment\n").parse().unwrap();
        assert_eq!(key.to_string(), LINE);
        assert_eq!(key.to_hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let id = key.id().to_string();
        assert_eq!(id.parse(), Ok(key.id()));
    }

    #[test]
    fn other_keys_are_refused_with_the_reason() {
        for (text, error) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----", KeyError::Private),
            ("sk-ssh-ed25519@openssh.com AAAA", KeyError::SecurityKey),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", KeyError::Certificate),
            ("ssh-rsa AAAA", KeyError::Algorithm),
            ("ecdsa-sha2-nistp256 AAAA", KeyError::Algorithm),
            ("ssh-ed25519", KeyError::Form),
            (&LINE[..LINE.len() - 1], KeyError::Form),
            ("no-pty ssh-ed25519 AAAA", KeyError::Form),
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(error), "{text}");
        }
    }
}
