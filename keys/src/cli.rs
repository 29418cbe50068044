//! The command line of `sealift-keys`.

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};
use sealift_verifier::cli::usage;
use sealift_verifier::report::{Exit, Failure, Process};

use crate::agent::{self, AgentError, AgentKey};
use crate::signer::Signer;
use crate::{openssh, passphrase};

mod credentials;
mod generate;
mod identity;
mod permit;
mod trust;

/// Makes signing keys, host identities, trust roots, sealed credentials and permits.
///
/// Exit status: 0 done, 1 refused, 2 could not tell (usage, unreadable or unwritable files, no terminal to ask on).
#[derive(Parser)]
#[command(name = "sealift-keys", version, max_term_width = 100)]
struct Cli {
    /// Print data as JSON Lines, `{"data":..,"type":..}` each
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a signing key: an Ed25519 key pair in OpenSSH's format
    Generate(generate::Generate),
    /// Make an age identity, to which a host's credentials are sealed
    Identity(identity::Identity),
    /// Draft, sign and show trust roots
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Seal database credentials to hosts
    #[command(subcommand)]
    Credentials(credentials::Credentials),
    /// Permit one run on a protected database: shows what a host plans to do, and signs exactly that
    Permit(permit::Permit),
}

/// Runs one command and returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, process: &mut Process<'_>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, process),
    };
    process.json = cli.json;
    let result = match &cli.command {
        Command::Generate(arguments) => generate::run(arguments, process),
        Command::Identity(arguments) => identity::run(arguments, process),
        Command::Trust(command) => trust::run(command, process),
        Command::Credentials(command) => credentials::run(command, process),
        Command::Permit(arguments) => permit::run(arguments, process),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => process.fail(&failure),
    }
}

/// The signing key that `--key` names, for every program: a private key file, whose passphrase is asked for on a terminal,
/// or a file `NAME.pub` whose private half the ssh-agent behind `SSH_AUTH_SOCK` holds.
///
/// # Errors
/// A [`Failure`] that says why there is none.
pub fn signer(key: &Path, process: &Process<'_>) -> Result<Signer, Failure> {
    if key.extension().is_some_and(|extension| extension == "pub") {
        let public = agent::read_public(key)?;
        let socket = (process.variable)("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
        let socket = socket.ok_or(AgentError::NoSocket)?;
        return Ok(Signer::from_agent(AgentKey::find(public, Path::new(&socket))?));
    }
    let terminal = process.terminal;
    Ok(openssh::read(key, &mut |path| passphrase::ask(path, terminal))?)
}
