//! DSSE v1.0.2 envelopes around in-toto statements, one to a line (`bundle.md` section 3).
//!
//! Attack -> defence. Another payload type: refused before anything else is believed. Alternative base64, alternative
//! JSON, repeated signatures: an envelope is accepted only in canonical form, at most one signature a key ID, at most
//! 16. The payload is decoded once; those bytes are what is verified and what is read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::key::KeyId;
use crate::{Digest, limit};

/// The payload type of every envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The raw bytes of an Ed25519 signature.
pub type SignatureBytes = [u8; 64];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    keyid: KeyId,
    sig: String,
}

/// A signature and the key it claims to be by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key ID it claims; a hint.
    pub key_id: KeyId,
    /// The signature over the PAE.
    pub bytes: SignatureBytes,
}

/// An envelope: a statement's bytes and the signatures over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// Why an envelope is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The text is not canonical JSON of an envelope.
    Json(JsonError),
    /// The payload type is not ours.
    PayloadType,
    /// The payload or a signature is not canonical base64, or a signature has not 64 bytes.
    Base64,
    /// The statement is larger than [`limit::STATEMENT`].
    StatementTooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// There are more signatures than [`limit::SIGNATURES`].
    TooManySignatures,
    /// Two signatures claim the same key.
    RepeatedKey {
        /// The key ID.
        key_id: KeyId,
    },
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(_) => f.write_str("the envelope is not well formed"),
            Self::PayloadType => write!(f, "the payload type is not `{PAYLOAD_TYPE}`"),
            Self::Base64 => f.write_str("the payload or a signature is not canonical base64 of the right length"),
            Self::StatementTooLarge { size } => {
                write!(f, "the statement has {size} bytes, at most {} are signed", limit::STATEMENT)
            }
            Self::TooManySignatures => write!(f, "the envelope has more than {} signatures", limit::SIGNATURES),
            Self::RepeatedKey { key_id } => write!(f, "the envelope has two signatures by `{key_id}`"),
        }
    }
}

impl std::error::Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

/// The pre-authentication encoding: the bytes that are signed (DSSE protocol, "Signature Definition").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads a signature in canonical base64.
pub fn signature_from_base64(text: &str) -> Option<SignatureBytes> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

impl Envelope {
    /// An unsigned envelope around a statement.
    ///
    /// # Errors
    /// [`EnvelopeError::StatementTooLarge`].
    pub fn new(payload: Vec<u8>) -> Result<Self, EnvelopeError> {
        if payload.len() > limit::STATEMENT {
            return Err(EnvelopeError::StatementTooLarge { size: payload.len() });
        }
        Ok(Self { payload, signatures: Vec::new() })
    }

    /// Reads one envelope, without its line feed.
    ///
    /// # Errors
    /// [`EnvelopeError`] for anything but a canonical envelope within the limits.
    pub fn read(line: &[u8]) -> Result<Self, EnvelopeError> {
        let wire: Wire = json::read(line, limit::ENVELOPE).map_err(EnvelopeError::Json)?;
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType);
        }
        let mut envelope = Self::new(STANDARD.decode(wire.payload).map_err(|_| EnvelopeError::Base64)?)?;
        for WireSignature { keyid, sig } in wire.signatures {
            let bytes = signature_from_base64(&sig).ok_or(EnvelopeError::Base64)?;
            envelope.attach(Signature { key_id: keyid, bytes })?;
        }
        Ok(envelope)
    }

    /// Writes the envelope in canonical form, without a line feed.
    pub fn write(&self) -> Vec<u8> {
        let signatures = self.signatures.iter();
        json::write(&Wire {
            payload: STANDARD.encode(&self.payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: signatures
                .map(|signature| WireSignature { keyid: signature.key_id, sig: STANDARD.encode(signature.bytes) })
                .collect(),
        })
    }

    /// Adds a signature; whether it is a good one is not looked at.
    ///
    /// # Errors
    /// [`EnvelopeError::RepeatedKey`] or [`EnvelopeError::TooManySignatures`].
    pub fn attach(&mut self, signature: Signature) -> Result<(), EnvelopeError> {
        if self.signatures.iter().any(|present| present.key_id == signature.key_id) {
            return Err(EnvelopeError::RepeatedKey { key_id: signature.key_id });
        }
        if self.signatures.len() == limit::SIGNATURES {
            return Err(EnvelopeError::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// The statement's bytes. Trusted by nobody until the signatures have been verified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The bytes that a signer signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(PAYLOAD_TYPE, &self.payload)
    }

    /// The digest of the statement; of a release envelope this is the release digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_of_the_dsse_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    fn signed() -> Envelope {
        let mut envelope = Envelope::new(b"{}".to_vec()).unwrap();
        let key_id = crate::key::PublicKey::from_bytes([7; 32]).id();
        envelope.attach(Signature { key_id, bytes: [9; 64] }).unwrap();
        envelope
    }

    #[test]
    fn what_is_written_is_read() {
        let envelope = signed();
        assert_eq!(Envelope::read(&envelope.write()).unwrap(), envelope);
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = String::from_utf8(signed().write()).unwrap();
        let mut twice = signed();
        assert!(matches!(twice.attach(signed().signatures[0].clone()), Err(EnvelopeError::RepeatedKey { .. })));
        assert!(matches!(Envelope::read(text.replace("in-toto", "other").as_bytes()), Err(EnvelopeError::PayloadType)));
        // Spare bits of the last character set, padding dropped.
        assert!(matches!(Envelope::read(text.replace("\"e30=\"", "\"e31=\"").as_bytes()), Err(EnvelopeError::Base64)));
        assert!(matches!(Envelope::read(text.replace("\"e30=\"", "\"e30\"").as_bytes()), Err(EnvelopeError::Base64)));
        assert!(matches!(Envelope::read(text.replace(":[", ": [").as_bytes()), Err(EnvelopeError::Json(_))));
    }
}
