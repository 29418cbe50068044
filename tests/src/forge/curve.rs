//! Keys and signatures at the edges of Ed25519, which careless verifiers accept.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sealift_spec::key::PublicKey;
use sha2::{Digest as _, Sha512};

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The same signature with the group order added to `S`.
pub fn malleate(mut signature: [u8; 64]) -> [u8; 64] {
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0, "S + L fits 32 bytes");
    signature
}

/// The neutral element: whatever is said, a signature of `R` neutral and `S` zero fits.
pub fn neutral() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    PublicKey::from_bytes(bytes)
}

/// The signature that fits [`neutral`].
pub fn neutral_signature() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    bytes
}

/// The neutral element with `y = p + 1`: another spelling of the same point.
pub fn neutral_other_spelling() -> PublicKey {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xee, 0x7f);
    PublicKey::from_bytes(bytes)
}

/// Bytes that are no point.
pub fn no_point() -> PublicKey {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    PublicKey::from_bytes(bytes)
}

/// The point of order two, `y = -1`.
fn order_two() -> EdwardsPoint {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xec, 0x7f);
    CompressedEdwardsY(bytes).decompress().expect("a point")
}

fn secret(holder: &str) -> Scalar {
    super::key(holder).to_scalar()
}

/// The point of order two as a key.
pub fn order_two_key() -> PublicKey {
    PublicKey::from_bytes(order_two().compress().to_bytes())
}

/// Somebody's public key with the point of order two added.
pub fn mixed(holder: &str) -> PublicKey {
    let point = EdwardsPoint::mul_base(&secret(holder)) + order_two();
    PublicKey::from_bytes(point.compress().to_bytes())
}

/// A signature whose `R` is the neutral element, as whoever holds the key can make it.
pub fn sign_with_neutral(holder: &str, message: &[u8]) -> [u8; 64] {
    let public = super::public(holder);
    let challenge = challenge(neutral().as_bytes(), &public, message);
    join(neutral().as_bytes(), challenge * secret(holder))
}

fn challenge(commitment: &[u8; 32], public: &PublicKey, message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(commitment).chain_update(public.as_bytes()).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn join(commitment: &[u8; 32], response: Scalar) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(commitment);
    signature[32..].copy_from_slice(response.as_bytes());
    signature
}

/// A signature that even a strict verifier finds good under [`mixed`].
pub fn sign_mixed(holder: &str, message: &[u8]) -> [u8; 64] {
    let public = mixed(holder);
    for nonce in 1u64.. {
        let r = Scalar::from(nonce);
        let commitment = EdwardsPoint::mul_base(&r).compress().to_bytes();
        let challenge = challenge(&commitment, &public, message);
        // An even challenge takes the point of order two away.
        if challenge.as_bytes()[0] & 1 == 0 {
            return join(&commitment, r + challenge * secret(holder));
        }
    }
    unreachable!("half of all nonces will do")
}
