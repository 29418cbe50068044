//! `sealift-keys identity`.

use std::path::PathBuf;

use clap::Args;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::identity;

#[derive(Args)]
pub(super) struct Identity {
    /// The file for the identity; only its owner can read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Identity, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let recipient = identity::create(&arguments.out, (process.clock)())?;
    process.say(&recipient);
    process.data("identity", &json!({ "recipient": recipient, "identity": arguments.out }));
    process.note(format_args!("identity in {}; credentials are sealed to the recipient", arguments.out.display()));
    Ok(Exit::Done)
}
