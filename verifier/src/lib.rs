//! Is this acceptable? Judges signed bundles, trust roots and sealed credentials against the keys a team trusts.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod report;
