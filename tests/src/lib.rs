//! The harness of the cross-crate tests: real servers, the real programs, and transcripts of what they say.
//!
//! Nothing here is mocked. [`server`] hands out fresh databases on the servers that `tests/servers` started, and in
//! temporary SQLite files; [`command`] runs the programs that cargo built; [`transcript`] compares what they printed with
//! the text under `tests/transcripts`. Set-up that cannot work panics with what to do: a test that cannot run has failed.

pub mod command;
pub mod forge;
pub mod server;
pub mod story;
pub mod transcript;
pub mod vector;
