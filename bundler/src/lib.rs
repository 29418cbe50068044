//! From a directory of SQL migrations to a signed bundle, and local development on the way there.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod dev;
pub mod directive;
pub mod pack;
pub mod project;
pub mod review;
pub mod source;
pub mod split;
pub mod unit;
