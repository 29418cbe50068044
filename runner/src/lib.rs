//! From a verified bundle to a changed database: the only async crate, and the only SQL we write.
//!
//! A run goes through fixed stations (`audit.md` section 3): a verified bundle is given; connect; check the server; take the
//! lock; read the history; judge the units that would run; plan; write down the intent; execute; write down the outcome.
//! [`run`] drives them over an [`engine`]; [`plan`] decides what would happen and is pure; [`execute`] makes it happen and
//! needs the lock. There is no SQL parser here: what runs are byte ranges that were reviewed ([`work`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod engine;
pub mod environment;
pub mod execute;
pub mod host;
pub mod operator;
pub mod permit;
pub mod plan;
pub mod record;
pub mod run;
pub mod runtime;
pub mod state;
pub mod work;
