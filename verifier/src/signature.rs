//! The one place where signatures are verified (`trust.md` section 4).
//!
//! Attack -> defence. Malleable signatures, small-order keys: `verify_strict`, and weak or mixed-order keys are no keys at
//! all ([`StrongKey`]). Borrowed key IDs: a signature is tried under the key that its ID names and under no other, so the
//! ID cannot be changed unnoticed, and a file of many signatures costs one verification each. One key under two IDs, one
//! person with two keys: what is counted are distinct 32-byte keys and distinct people, never signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sealift_spec::envelope::{Envelope, SignatureBytes};
use sealift_spec::key::{KeyId, PublicKey};
use sealift_spec::name::Person;

/// A public key that is a canonical point of prime order, neither weak nor mixed.
#[derive(Debug, Clone)]
pub struct StrongKey(VerifyingKey);

/// Why a public key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyWeakness {
    /// The bytes are no point of the curve.
    NotAPoint,
    /// The point is of small order: any message would verify.
    SmallOrder,
    /// The point has a component of small order, or is not written canonically.
    MixedOrder,
}

impl fmt::Display for KeyWeakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPoint => "the key is no point of the curve",
            Self::SmallOrder => "the key is a point of small order, under which anything verifies",
            Self::MixedOrder => "the key is not a canonical point of prime order",
        })
    }
}

impl std::error::Error for KeyWeakness {}

/// Accepts a public key, or says why not.
///
/// # Errors
/// [`KeyWeakness`].
pub fn check_key(key: &PublicKey) -> Result<StrongKey, KeyWeakness> {
    let point = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| KeyWeakness::NotAPoint)?;
    if point.is_weak() {
        return Err(KeyWeakness::SmallOrder);
    }
    let edwards = point.to_edwards();
    if !edwards.is_torsion_free() || edwards.compress().as_bytes() != key.as_bytes() {
        return Err(KeyWeakness::MixedOrder);
    }
    Ok(StrongKey(point))
}

/// Proof that a key signed some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedBy(PublicKey);

impl SignedBy {
    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.0
    }
}

/// Finds the key of `candidates` that made a signature over `message`, if one did.
pub fn verify<'k>(
    message: &[u8],
    signature: &SignatureBytes,
    candidates: impl IntoIterator<Item = &'k PublicKey>,
) -> Option<SignedBy> {
    let signature = Signature::from_bytes(signature);
    candidates
        .into_iter()
        .find(|key| check_key(key).is_ok_and(|strong| strong.0.verify_strict(message, &signature).is_ok()))
        .map(|key| SignedBy(*key))
}

/// Who signed an envelope, among those who may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// The people, each once, with the key they used.
    pub people: BTreeMap<Person, KeyId>,
    /// The key IDs of signatures that are not by the candidate key they name.
    pub unexplained: BTreeSet<KeyId>,
}

/// Keys that may sign one kind of statement, each found strong, by the IDs under which signatures name them.
#[derive(Debug, Clone, Default)]
pub struct Keyring(BTreeMap<KeyId, (StrongKey, Person)>);

impl Keyring {
    /// Takes in keys with whose they are. A key that is not strong is left out: nothing verifies under it.
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k PublicKey, &'k Person)>) -> Self {
        let strong = |(key, person): (&PublicKey, &Person)| Some((key.id(), (check_key(key).ok()?, person.clone())));
        Self(keys.into_iter().filter_map(strong).collect())
    }
}

/// Verifies every signature of an envelope against the keys that may sign such a statement.
pub fn verify_envelope(envelope: &Envelope, keyring: &Keyring) -> Signers {
    let message = envelope.signed_bytes();
    let mut found = Signers::default();
    for signature in envelope.signatures() {
        let named = keyring.0.get(&signature.key_id);
        let signed =
            named.filter(|(key, _)| key.0.verify_strict(&message, &Signature::from_bytes(&signature.bytes)).is_ok());
        match signed {
            Some((_, person)) => {
                found.people.insert(person.clone(), signature.key_id);
            }
            None => {
                found.unexplained.insert(signature.key_id);
            }
        }
    }
    found
}
