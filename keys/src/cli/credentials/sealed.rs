//! `sealift-keys credentials recipients`, `reseal` and `check`: what is done with a file that is sealed already.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::container::{Container, ContainerKind};
use sealift_spec::credentials::{RECIPIENT_KIND, recipient_kinds};
use sealift_spec::name::Name;
use sealift_spec::statement::{self, Statement};
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::credentials::{self as verified, VerifiedCredentials};
use sealift_verifier::file::SealedFile;
use sealift_verifier::release::{Expected, VerifyError};
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::json;

use super::{describe, described, tell};
use crate::credentials::{self, Renewal, open};
use crate::file;

/// The largest file of sealed credentials.
const SEALED: u64 = (limit::CREDENTIALS + limit::ENVELOPE + 4096) as u64;

#[derive(Args)]
pub(in crate::cli) struct Recipients {
    /// The sealed credentials
    #[arg(value_name = "FILE.sealed")]
    sealed: PathBuf,
    /// The folder with the trust roots; without it, what is shown is only claimed
    #[arg(long, value_name = "DIR", requires = "root_sha256")]
    trust: Option<PathBuf>,
    /// The digest of the first root
    #[arg(long, value_name = "HEX", requires = "trust")]
    root_sha256: Option<Digest>,
    /// The hosts that ought to have it, all of them: age1..
    #[arg(long, value_name = "R", num_args = 1..)]
    expect: Vec<String>,
}

#[derive(Args)]
pub(in crate::cli) struct Reseal {
    /// The sealed credentials
    #[arg(value_name = "FILE.sealed")]
    sealed: PathBuf,
    /// The folder with the trust roots: nothing is decrypted before its signature is verified
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The digest of the first root
    #[arg(long, value_name = "HEX")]
    root_sha256: Digest,
    /// An age identity that they are sealed to: a file that nobody else may read
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// The hosts that may open the new file, all of them: age1..
    #[arg(long = "recipient", value_name = "R", required = true, num_args = 1..)]
    recipients: Vec<String>,
    /// The key of somebody who holds the role `credentials`: a private key file, or a NAME.pub that the ssh-agent knows
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The file to write; an existing one is refused
    #[arg(long, value_name = "FILE.sealed")]
    out: PathBuf,
    /// The new serial [default: one more than before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    serial: Option<u64>,
    /// Until when the new file is valid, YYYY-MM-DDTHH:MM:SSZ [default: as before]
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
}

#[derive(Args)]
pub(in crate::cli) struct Check {
    /// The sealed credentials
    #[arg(value_name = "FILE.sealed")]
    sealed: PathBuf,
    /// The folder with the trust roots
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The digest of the first root
    #[arg(long, value_name = "HEX")]
    root_sha256: Digest,
    /// The project that the host serves
    #[arg(long)]
    project: Name,
    /// The environment that the host is
    #[arg(long)]
    environment: Name,
}

/// What a file claims of itself, and how many recipients its age header has.
struct Claimed {
    statement: statement::Credentials,
    stanzas: usize,
}

fn claimed(path: &Path) -> Result<Claimed, Failure> {
    let rejected = |error: VerifyError| Failure::from(error).context(format!("{} rejected", path.display()));
    let file = SealedFile::read(path, SEALED)?;
    let container =
        Container::read(file.bytes(), ContainerKind::Credentials).map_err(|e| rejected(VerifyError::Container(e)))?;
    let statement = Statement::<statement::Credentials>::read(container.main.payload())
        .map_err(|error| rejected(VerifyError::Statement(error)))?
        .predicate;
    let stanzas = count(&file.bytes()[container.payload]);
    Ok(Claimed { statement, stanzas })
}

fn count(ciphertext: &[u8]) -> usize {
    recipient_kinds(ciphertext).iter().filter(|kind| *kind == RECIPIENT_KIND).count()
}

fn verify(
    path: &Path,
    trust: &Path,
    root: Digest,
    (project, environment): (Name, Name),
    now: Timestamp,
) -> Result<VerifiedCredentials, Failure> {
    let trust = Trust::verify(&TrustFiles::read(trust)?, root, 0, now)?;
    let file = SealedFile::read(path, SEALED)?;
    verified::verify(file, &trust, &Expected { project, environment, now }).map_err(|error| {
        let hint = error.credentials_hint().map(str::to_owned);
        Failure { hint, ..Failure::from(error) }.context(format!("{} rejected", path.display()))
    })
}

/// For whom a file says it is: verifying compares it with the rest of the signed part, which is the same.
fn purpose(statement: &statement::Credentials) -> (Name, Name) {
    (statement.project.clone(), statement.environment.clone())
}

/// Warns when the age file has more or fewer recipients than were signed.
fn warn_of_stanzas(statement: &statement::Credentials, stanzas: usize, process: &mut Process<'_>) -> bool {
    let named = statement.recipients.len();
    if stanzas != named {
        process.warn(format_args!("{named} recipients are named, and the age file is encrypted to {stanzas}"));
    }
    stanzas != named
}

pub(super) fn recipients(arguments: &Recipients, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Recipients { sealed, trust, root_sha256, expect } = arguments;
    let expected: BTreeSet<_> = match expect.as_slice() {
        [] => BTreeSet::new(),
        given => credentials::recipients(given)?.names().cloned().collect(),
    };
    let Claimed { statement, stanzas } = claimed(sealed)?;
    let is_verified = match (trust, root_sha256) {
        (Some(trust), Some(root)) => {
            let _: VerifiedCredentials = verify(sealed, trust, *root, purpose(&statement), (process.clock)())?;
            true
        }
        _ => {
            process.note("not verified: this is what the file claims; verify it with --trust and --root-sha256");
            false
        }
    };
    let has: BTreeSet<_> = statement.recipients.iter().cloned().collect();
    for recipient in &has {
        process.say(recipient);
    }
    let (mut stale, mut missing) = (Vec::new(), Vec::new());
    if !expected.is_empty() {
        stale = has.difference(&expected).collect();
        missing = expected.difference(&has).collect();
    }
    for recipient in &stale {
        process.warn(format_args!("stale recipient {recipient}: it can open these credentials and is not expected to"));
    }
    for recipient in &missing {
        process.warn(format_args!("{recipient} is expected and cannot open these credentials"));
    }
    if !stale.is_empty() {
        process.note("seal them without it, and change the passwords: what it has read, it knows");
    }
    let differs = warn_of_stanzas(&statement, stanzas, process);
    process.data(
        "recipients",
        &json!({
            "file": sealed, "serial": statement.serial, "verified": is_verified, "recipients": has, "stale": stale,
            "missing": missing, "stanzas": stanzas,
        }),
    );
    Ok(if stale.is_empty() && missing.is_empty() && !differs { Exit::Done } else { Exit::No })
}

pub(super) fn reseal(arguments: &Reseal, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Reseal { sealed, trust, root_sha256, identity, recipients, key, out, serial, not_after } = arguments;
    file::free(out)?;
    let now = (process.clock)();
    let refused = |failure: Failure| failure.context(format!("`{}` was not sealed anew", sealed.display()));
    let verified = verify(sealed, trust, *root_sha256, purpose(&claimed(sealed)?.statement), now)?;
    if let Some(not_after) = not_after.filter(|not_after| *not_after <= now) {
        return Err(refused(credentials::SealError::Expired { not_after }.into()));
    }
    let recipients = credentials::recipients(recipients)?;
    let before: BTreeSet<_> = verified.statement().recipients.iter().cloned().collect();
    let after: BTreeSet<_> = recipients.names().cloned().collect();
    let identity = open::read_identity(identity)?;
    let signer = crate::cli::signer(key, process)?;
    let renewal = Renewal { serial: *serial, not_after: *not_after };
    let sealed = credentials::reseal(&verified, &identity, renewal, recipients, &signer)
        .map_err(|error| refused(error.into()))?;
    file::create(out, &sealed.file, 0o644)?;
    for gone in before.difference(&after) {
        process.warn(format_args!("{gone} is out, and may have read the passwords before: change them"));
    }
    tell(out, &sealed.statement, signer.public_key().id(), process);
    Ok(Exit::Done)
}

pub(super) fn check(arguments: &Check, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Check { sealed, trust, root_sha256, project, environment } = arguments;
    let purpose = (project.clone(), environment.clone());
    let verified = verify(sealed, trust, *root_sha256, purpose, (process.clock)())?;
    let statement = verified.statement();
    process.say(format_args!(
        "{} accepted: credentials {} of project `{project}` for environment `{environment}`",
        sealed.display(),
        statement.serial
    ));
    process.say(format_args!("  valid      until {}", statement.not_after));
    describe(statement, process);
    let signers: Vec<_> = verified.signers().iter().map(ToString::to_string).collect();
    process.say(format_args!("  signed by  {}", signers.join(", ")));
    let differs = warn_of_stanzas(statement, count(verified.ciphertext()), process);
    process.data("credentials", &described(statement, json!({ "file": sealed, "signers": signers })));
    Ok(if differs { Exit::No } else { Exit::Done })
}
