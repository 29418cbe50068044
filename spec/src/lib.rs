//! The formats of Sealift: bytes in, values out.
//!
//! Every module here implements one chapter of the prose in `spec/*.md` and names it. Nothing in this crate opens a
//! file, reads a clock, makes a signature or verifies one; a value that parsed is well formed, never trusted.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod archive;
pub mod audit;
pub mod baseline;
pub mod checkpoint;
pub mod container;
pub mod credentials;
pub mod digest;
pub mod endpoint;
pub mod envelope;
pub mod history;
pub mod json;
pub mod key;
pub mod limit;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod policy;
pub mod root;
pub mod secret;
pub mod statement;
pub mod text;
pub mod time;

pub use digest::Digest;
pub use time::Timestamp;
