//! The command line of `sealift-verifier`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sealift_spec::Digest;
use sealift_spec::name::Name;

use crate::bundle::OpenError;
use crate::file::FileError;
use crate::permit::PermitError;
use crate::release::VerifyError;
use crate::report::{Exit, Failure, Process};
use crate::trust::TrustError;

mod audit;
mod inspect;
mod verify;

/// Judges signed migration bundles.
///
/// Exit status: 0 accepted, 1 rejected, 2 could not tell (usage, unreadable files).
#[derive(Parser)]
#[command(name = "sealift-verifier", version, max_term_width = 100)]
struct Cli {
    /// Print data as JSON Lines, `{"data":..,"type":..}` each
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a bundle as a host of this project and environment would, without touching a database
    Verify(Verify),
    /// Show what an unverified bundle claims of itself; nothing of it has been checked
    Inspect(Inspect),
    /// Judge audit logs of hosts: their chain, their checkpoints and, with a history, what the database tells. Tells bad
    /// signature, rewritten, truncated and unverifiable apart
    Audit(Audit),
}

#[derive(Args)]
struct Verify {
    /// The bundle, NAME.sealift
    bundle: PathBuf,
    /// The folder with 1.root.json, 1.policy.json and their successors
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The digest of the first root, as `sealift-keys trust draft` printed it
    #[arg(long, value_name = "HEX")]
    root_sha256: Digest,
    /// The project that the host serves
    #[arg(long)]
    project: Name,
    /// The environment that the host is
    #[arg(long)]
    environment: Name,
    /// What `sealift-runner history --json` printed: applied migrations with the same digest need no reviews any more
    #[arg(long, value_name = "FILE")]
    applied: Option<PathBuf>,
}

#[derive(Args)]
struct Audit {
    /// The audit log of a host, with its checkpoint LOG.checkpoint beside it; one for each host that changed the database
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must go on from there
    #[arg(long, value_name = "CHECKPOINT", requires = "trust")]
    since: Option<PathBuf>,
    /// What `sealift-runner history --json` printed: every run must have its intent and outcome, every release its signatures
    #[arg(long, value_name = "FILE", requires = "trust")]
    history: Option<PathBuf>,
    /// The folder with 1.root.json, 1.policy.json and their successors
    #[arg(long, value_name = "DIR", requires = "root_sha256")]
    trust: Option<PathBuf>,
    /// The digest of the first root, as `sealift-keys trust draft` printed it
    #[arg(long, value_name = "HEX", requires = "trust")]
    root_sha256: Option<Digest>,
}

#[derive(Args)]
struct Inspect {
    /// The bundle, NAME.sealift
    bundle: PathBuf,
}

/// Runs one command and returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, process: &mut Process<'_>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, process),
    };
    process.json = cli.json;
    let result = match &cli.command {
        Command::Verify(arguments) => verify::run(arguments, process),
        Command::Inspect(arguments) => inspect::run(arguments, process),
        Command::Audit(arguments) => audit::run(arguments, process),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => process.fail(&failure),
    }
}

/// Shows clap's help (stdout, 0) or usage error (stderr, 2).
pub fn usage(error: &clap::Error, process: &mut Process<'_>) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        let _ = write!(process.err, "{text}");
        Exit::Unknown
    } else {
        let _ = write!(process.out, "{text}");
        Exit::Done
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        let exit = match error {
            FileError::Io { .. } => Exit::Unknown,
            _ => Exit::No,
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        let hint = match &error {
            TrustError::File(error) => error.hint(),
            TrustError::Pinned { .. } => {
                Some("compare the digest with the one `sealift-keys trust draft` printed for the first root".to_owned())
            }
            TrustError::Threshold { .. } => Some("let more holders run `sealift-keys trust sign`".to_owned()),
            TrustError::Expired { .. } => Some("the security team drafts and signs the next root".to_owned()),
            TrustError::PolicyDigest { version } => Some(format!(
                "copy `{version}.policy.json` from where `{version}.root.json` was signed: the two belong together"
            )),
            TrustError::Rollback { .. } => Some("bring the newer root files back to this host".to_owned()),
            _ => None,
        };
        let exit = match &error {
            TrustError::File(FileError::Io { .. }) | TrustError::Empty { .. } => Exit::Unknown,
            _ => Exit::No,
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(Exit::No, error) }
    }
}

impl From<PermitError> for Failure {
    fn from(error: PermitError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(Exit::No, error) }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(Exit::No, error)
    }
}
