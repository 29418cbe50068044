//! Is this acceptable? Judges signed bundles, trust roots and sealed credentials against the keys a team trusts.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod bundle;
pub mod cli;
pub mod credentials;
pub mod file;
pub mod listing;
pub mod permit;
pub mod release;
pub mod report;
pub mod requirement;
pub mod signature;
pub mod trust;
