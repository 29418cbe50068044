//! Keys that sign (`trust.md` section 1; DSSE v1.0.2; TUF 1.0.34 section 4.2).
//!
//! A signer is a secret key in memory, one that an agent holds, or a single signature that was made elsewhere (a KMS, a
//! machine without a network); who uses it cannot tell.
//!
//! Attack -> defence. A signature that reveals the secret key because the public half was swapped: the public half is
//! always derived from the seed. A faulty computation, a lying agent: every signature is verified, by the one function that
//! verifies, before it leaves. A signer holds no judgement: whether a key may sign something is the policy's business.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use sealift_spec::Digest;
use sealift_spec::envelope::{Envelope, EnvelopeError, Signature, SignatureBytes};
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::root::{RootError, RootFile, RootSignature, tuf_key_id};
use sealift_verifier::report::{Exit, Failure};
use sealift_verifier::signature;
use zeroize::Zeroizing;

use crate::agent::{AgentError, AgentKey};

/// A key that signs: a secret Ed25519 key, wiped when dropped, or one that an agent holds.
///
/// ```compile_fail
/// let signer = sealift_keys::signer::Signer::generate().unwrap();
/// println!("{signer:?}");
/// ```
pub struct Signer {
    key: Key,
}

enum Key {
    Local(SigningKey),
    Agent(AgentKey),
    Elsewhere { public: PublicKey, made: SignatureBytes },
}

/// Why something was not signed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignError {
    /// The key has signed already.
    Already {
        /// The key.
        key_id: KeyId,
    },
    /// The envelope has as many signatures as it may have.
    Envelope(EnvelopeError),
    /// The key is none of the root's keys.
    NotRootKey {
        /// The key.
        key_id: KeyId,
        /// The root's version.
        version: u64,
    },
    /// The root has as many signatures as it may have.
    Root(RootError),
    /// The agent that holds the key did not sign.
    Agent {
        /// The key.
        key_id: KeyId,
        /// Why.
        source: AgentError,
    },
    /// The signature that was made elsewhere is not one of these bytes by this key.
    Foreign {
        /// The key.
        key_id: KeyId,
    },
    /// The signature that came out does not verify. Either the machine miscalculates or this is our bug.
    Faulty {
        /// The key.
        key_id: KeyId,
    },
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already { key_id } => write!(f, "`{key_id}` has signed it already"),
            Self::Envelope(_) => f.write_str("the envelope takes no more signatures"),
            Self::NotRootKey { key_id, version: 1 } => write!(f, "`{key_id}` is no key of root 1"),
            Self::NotRootKey { key_id, version } => {
                write!(f, "`{key_id}` is no key of root {version}, nor of the one before it")
            }
            Self::Root(_) => f.write_str("the root takes no more signatures"),
            Self::Agent { key_id, .. } => write!(f, "there is no signature by `{key_id}`"),
            Self::Foreign { key_id } => write!(f, "the signature given is not by `{key_id}` over these bytes"),
            Self::Faulty { key_id } => {
                write!(
                    f,
                    "the signature by `{key_id}` does not verify: please report this, unless the machine or the agent is \
                     faulty"
                )
            }
        }
    }
}

impl std::error::Error for SignError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Envelope(error) => Some(error),
            Self::Root(error) => Some(error),
            Self::Agent { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        let (exit, hint) = match &error {
            SignError::Faulty { .. } => (Exit::Unknown, None),
            SignError::Agent { source, .. } => (source.exit(), source.hint()),
            SignError::Foreign { .. } => (
                Exit::No,
                Some(
                    "sign the bytes of the request as they are (Ed25519, no hash before it), and ask anew if the file was \
                     made again"
                        .to_owned(),
                ),
            ),
            _ => (Exit::No, None),
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

/// The kernel has no random bytes to give.
#[derive(Debug)]
pub struct RandomError(pub(crate) getrandom::Error);

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel gives no random bytes")
    }
}

impl std::error::Error for RandomError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<RandomError> for Failure {
    fn from(error: RandomError) -> Self {
        Self::new(Exit::Unknown, error)
    }
}

impl Signer {
    /// Makes a new key that exists in memory only.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate() -> Result<Self, RandomError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(RandomError)?;
        Ok(Self::from_seed(&seed))
    }

    /// Takes a seed (RFC 8032 section 5.1.5) and derives everything else from it.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: Key::Local(SigningKey::from_bytes(seed)) }
    }

    /// Takes a key that an agent holds.
    pub fn from_agent(key: AgentKey) -> Self {
        Self { key: Key::Agent(key) }
    }

    /// Takes a signature that was made elsewhere; it is the only one this signer can give.
    pub fn from_signature(public: PublicKey, made: SignatureBytes) -> Self {
        Self { key: Key::Elsewhere { public, made } }
    }

    /// The seed, if it is here.
    pub(crate) fn seed(&self) -> Option<&[u8; 32]> {
        match &self.key {
            Key::Local(key) => Some(key.as_bytes()),
            Key::Agent(_) | Key::Elsewhere { .. } => None,
        }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        match &self.key {
            Key::Local(key) => PublicKey::from_bytes(key.verifying_key().to_bytes()),
            Key::Agent(key) => key.public_key(),
            Key::Elsewhere { public, .. } => *public,
        }
    }

    /// Adds this key's signature to an envelope and returns the key ID it goes by.
    ///
    /// # Errors
    /// [`SignError::Already`], [`SignError::Envelope`], [`SignError::Agent`], [`SignError::Foreign`] or
    /// [`SignError::Faulty`].
    pub fn sign_envelope(&self, envelope: &mut Envelope) -> Result<KeyId, SignError> {
        let key_id = self.public_key().id();
        if envelope.signatures().iter().any(|present| present.key_id == key_id) {
            return Err(SignError::Already { key_id });
        }
        let bytes = self.sign(&envelope.signed_bytes())?;
        envelope.attach(Signature { key_id, bytes }).map_err(SignError::Envelope)?;
        Ok(key_id)
    }

    /// Adds this key's signature to a root and returns the TUF key ID it goes by.
    ///
    /// # Errors
    /// [`SignError::NotRootKey`], [`SignError::Already`], [`SignError::Root`], [`SignError::Agent`],
    /// [`SignError::Foreign`] or [`SignError::Faulty`].
    pub fn sign_root(&self, root: &mut RootFile) -> Result<Digest, SignError> {
        self.sign_next_root(root, &[])
    }

    /// The same for a root that follows another, whose keys sign it too.
    ///
    /// # Errors
    /// As [`sign_root`](Self::sign_root).
    pub fn sign_next_root(&self, root: &mut RootFile, before: &[PublicKey]) -> Result<Digest, SignError> {
        let (public, version) = (self.public_key(), root.root().version);
        if !root.root().keys.contains(&public) && !before.contains(&public) {
            return Err(SignError::NotRootKey { key_id: public.id(), version });
        }
        let key_id = tuf_key_id(&public);
        if root.signatures().iter().any(|present| present.key_id == key_id) {
            return Err(SignError::Already { key_id: public.id() });
        }
        let bytes = self.sign(root.signed_bytes())?;
        root.attach(RootSignature { key_id, bytes }).map_err(SignError::Root)?;
        Ok(key_id)
    }

    fn sign(&self, message: &[u8]) -> Result<SignatureBytes, SignError> {
        let public = self.public_key();
        let bytes = match &self.key {
            Key::Local(key) => key.sign(message).to_bytes(),
            Key::Agent(key) => key.sign(message).map_err(|source| SignError::Agent { key_id: public.id(), source })?,
            Key::Elsewhere { made, .. } => *made,
        };
        match signature::verify(message, &bytes, [&public]) {
            Some(_) => Ok(bytes),
            None if matches!(self.key, Key::Elsewhere { .. }) => Err(SignError::Foreign { key_id: public.id() }),
            None => Err(SignError::Faulty { key_id: public.id() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_spec::Timestamp;
    use sealift_spec::root::Root;
    use sealift_spec::statement::Content;

    // RFC 8032 section 7.1, test 1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    fn rfc_signer() -> Signer {
        Signer::from_seed(SEED.parse::<Digest>().unwrap().as_bytes())
    }

    #[test]
    fn the_signature_is_the_one_of_rfc_8032() {
        let signer = rfc_signer();
        assert_eq!(signer.public_key().to_hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = signer.sign(b"").unwrap();
        let digits: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digits,
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
    }

    #[test]
    fn an_envelope_takes_one_signature_a_key() {
        let mut envelope = Envelope::new(b"{}".to_vec()).unwrap();
        let signers = [Signer::generate().unwrap(), Signer::generate().unwrap()];
        for signer in &signers {
            assert_eq!(signer.sign_envelope(&mut envelope).unwrap(), signer.public_key().id());
        }
        assert!(matches!(signers[0].sign_envelope(&mut envelope), Err(SignError::Already { .. })));
        assert_eq!(envelope.signatures().len(), 2);
        let message = envelope.signed_bytes();
        for (signer, made) in signers.iter().zip(envelope.signatures()) {
            assert!(signature::verify(&message, &made.bytes, [&signer.public_key()]).is_some());
        }
    }

    #[test]
    fn a_root_takes_signatures_by_its_own_keys_once() {
        let signers = [Signer::generate().unwrap(), Signer::generate().unwrap()];
        let mut file = RootFile::new(Root {
            version: 1,
            expires: Timestamp::from_seconds(2_000_000_000).unwrap(),
            keys: signers.iter().map(Signer::public_key).collect(),
            threshold: 2,
            policy: Content { sha256: Digest::of(b""), size: 0 },
        })
        .unwrap();
        let digest = file.digest();
        assert!(matches!(rfc_signer().sign_root(&mut file), Err(SignError::NotRootKey { version: 1, .. })));
        for signer in &signers {
            signer.sign_root(&mut file).unwrap();
        }
        assert!(matches!(signers[1].sign_root(&mut file), Err(SignError::Already { .. })));
        assert_eq!((file.signatures().len(), file.digest()), (2, digest));
        assert_eq!(RootFile::read(&file.write()).unwrap(), file);
    }
}
