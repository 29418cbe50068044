//! Secret keys and trust: signing keys, trust roots, host identities, sealed credentials.
//!
//! Files are read and written where a function's name says so; nothing here prints, reads the clock or the
//! environment; only [`passphrase`] asks a person, and only [`cli`] calls it. Whether something signed is acceptable is for `sealift_verifier` to say.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod cli;
pub mod credentials;
pub mod external;
pub mod file;
pub mod identity;
pub mod openssh;
pub mod passphrase;
pub mod permit;
mod place;
pub mod signer;
pub mod trust;
