//! `sealift-keys permit`.

use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::manifest::Direction;
use sealift_spec::name::{Name, Person};
use sealift_spec::statement::PredicateKind;
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::bundle::VerifiedBundle;
use sealift_verifier::file::{self as files, SealedFile};
use sealift_verifier::permit::{self as permits, SignedPermit};
use sealift_verifier::release::{self, Expected};
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::json;

use crate::permit::{self, CheckedPlan, PlanError};

/// The largest bundle file: a payload and its attestations.
const BUNDLE: u64 = limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096;

#[derive(Args)]
pub(super) struct Permit {
    /// The bundle that would run, NAME.sealift
    bundle: PathBuf,
    /// What `sealift-runner plan --json` (or `revert --dry-run --json`) printed on the host
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The folder with 1.root.json, 1.policy.json and their successors
    #[arg(long, value_name = "DIR")]
    trust: PathBuf,
    /// The digest of the first root, as `sealift-keys trust draft` printed it
    #[arg(long, value_name = "HEX")]
    root_sha256: Digest,
    /// The project of the database
    #[arg(long)]
    project: Name,
    /// The environment of the database
    #[arg(long)]
    environment: Name,
    /// How long the permit is valid, such as 30m or 2h; at most 24h. A further signature does not change it
    #[arg(long, value_name = "TIME", value_parser = permit::seconds, default_value = "2h")]
    valid_for: u64,
    /// The private key to sign with, or its .pub file where an ssh-agent holds it
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// The permit; one that exists and is for the same plan gets one more signature
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let (exit, hint) = match &error {
            PlanError::Lines | PlanError::Count { .. } => {
                (Exit::Unknown, Some("give what `sealift-runner plan --json` printed, unchanged"))
            }
            PlanError::Random(_) => (Exit::Unknown, None),
            PlanError::Other { .. } => (Exit::No, Some("make the plan with the bundle that is to run, on that host")),
            PlanError::Step { .. } => {
                (Exit::No, Some("the host asks for something that the bundle does not hold: look at that host"))
            }
            _ => (Exit::No, None),
        };
        Self { hint: hint.map(str::to_owned), ..Self::new(exit, error) }
    }
}

pub(super) fn run(arguments: &Permit, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let now = (process.clock)();
    let trust = TrustFiles::read(&arguments.trust)?;
    let trust = Trust::verify(&trust, arguments.root_sha256, 0, now)?;
    let bundle = open(arguments, &trust, now)?;
    let refused = |failure: Failure| failure.context(format!("`{}` is not permitted", arguments.plan.display()));
    let (file, metadata) = files::open(&arguments.plan)?;
    let listing = files::read_all(file, metadata.len(), &arguments.plan, permit::LISTING)?;
    let plan = permit::find(&listing).map_err(|error| refused(error.into()))?;
    let plan = permit::check(plan, &bundle, &trust).map_err(|error| refused(error.into()))?;
    let existing = existing(&arguments.out, &plan, &bundle, &trust, now)?;
    show(&plan, &bundle, process);
    if !arguments.yes && !agreed(process)? {
        return Err(Failure::new(Exit::No, "nothing was signed"));
    }
    let signer = super::signer(&arguments.key, process)?;
    let key = signer.public_key();
    let by = trust.policy().signers(PredicateKind::Permit, now).get(&key).map(|person| (*person).clone());
    let Some(by) = by else {
        return Err(Failure::new(
            Exit::No,
            format!("`{}` is no key that may sign permits under this policy", key.id()),
        )
        .hint("see who may with `sealift-keys trust show`"));
    };
    let replaces = existing.is_some();
    let mut envelope = match existing {
        Some(permit) => permit.envelope().clone(),
        None => plan.permit(trust.root_version(), now, arguments.valid_for)?,
    };
    signer.sign_envelope(&mut envelope)?;
    let line = [envelope.write(), b"\n".to_vec()].concat();
    files::write(&arguments.out, &line, 0o644, replaces).map_err(|error| {
        Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", arguments.out.display()))
    })?;
    let signed = permits::read(&line, &trust, &bundle, now)?;
    tell(&arguments.out, &by, signed, &trust, &bundle, process);
    Ok(Exit::Done)
}

fn open(arguments: &Permit, trust: &Trust, now: Timestamp) -> Result<VerifiedBundle, Failure> {
    let rejected = |failure: Failure| failure.context(format!("{} rejected", arguments.bundle.display()));
    let file = SealedFile::read(&arguments.bundle, BUNDLE)?;
    let expected = Expected { project: arguments.project.clone(), environment: arguments.environment.clone(), now };
    let release = release::verify(file, trust, &expected).map_err(|error| rejected(error.into()))?;
    release.open(trust).map_err(|error| rejected(error.into()))
}

/// The permit that is there already: for this plan, and still in force.
fn existing(
    path: &Path,
    plan: &CheckedPlan<'_>,
    bundle: &VerifiedBundle,
    trust: &Trust,
    now: Timestamp,
) -> Result<Option<SignedPermit>, Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let taken = |failure: Failure| {
        Failure { hint: Some("choose another name for a new permit".to_owned()), ..failure }
            .context(format!("`{}` exists and takes no signature", path.display()))
    };
    let file = SealedFile::read(path, permits::LIMIT).map_err(|error| taken(error.into()))?;
    let permit = permits::read(file.bytes(), trust, bundle, now).map_err(|error| taken(error.into()))?;
    if !plan.is_that_of(permit.statement()) {
        return Err(taken(Failure::new(Exit::No, "it is for another plan")));
    }
    Ok(Some(permit))
}

/// Shows what would be permitted: to a person who is asked, and with the data.
fn show(plan: &CheckedPlan<'_>, bundle: &VerifiedBundle, process: &mut Process<'_>) {
    let (document, release) = (plan.document(), bundle.release());
    let statement = release.statement();
    process.note(format_args!(
        "{} on database {} (project `{}`, environment `{}`)",
        document.action, document.database, document.project, document.environment
    ));
    process.note(format_args!(
        "  release  {} (sequence {}, digest {})",
        statement.name, statement.sequence, document.release
    ));
    process.note(format_args!("  head     {}", document.head));
    process.note(format_args!("  plan     {}", document.digest()));
    for (number, (direction, reviewed)) in plan.steps().enumerate() {
        let unit = reviewed.unit();
        let reviewers: Vec<&str> = reviewed.reviewers().iter().map(Person::as_str).collect();
        let direction = match direction {
            Direction::Up => "apply",
            Direction::Down => "revert",
        };
        let reviewers = if reviewers.is_empty() { "nobody".to_owned() } else { reviewers.join(", ") };
        process.note(format_args!(
            "  {}. {direction} {} {} (unit {}), reviewed by {reviewers}",
            number + 1,
            unit.id,
            unit.name,
            reviewed.digest().short()
        ));
    }
    if document.steps.is_empty() {
        process.note("  no migration runs");
    }
}

fn agreed(process: &mut Process<'_>) -> Result<bool, Failure> {
    if !process.terminal {
        return Err(Failure::new(Exit::Unknown, "a permit is confirmed, and there is no terminal to ask on")
            .hint("look at the plan above, then give --yes"));
    }
    let failed = |error| Failure::new(Exit::Unknown, error).context("cannot ask on this terminal");
    let _ = write!(process.err, "permit this, once? [yes/no] ");
    let _ = process.err.flush();
    let mut line = String::new();
    if process.input.read_line(&mut line).map_err(failed)? == 0 {
        return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(line.trim() == "yes")
}

fn tell(
    path: &Path,
    by: &Person,
    signed: SignedPermit,
    trust: &Trust,
    bundle: &VerifiedBundle,
    process: &mut Process<'_>,
) {
    let statement = signed.statement().clone();
    let signers: Vec<String> = signed.signers().iter().map(ToString::to_string).collect();
    let digest = signed.envelope().digest();
    let lacks = signed.suffices(trust, bundle).err().map(|error| error.to_string());
    process.say(format_args!("{}: permit signed by {by}, until {}", path.display(), statement.not_after));
    process.say(format_args!("  signed by {}", signers.join(", ")));
    if let Some(lacks) = &lacks {
        process.warn(format_args!("not enough yet: {lacks}"));
    }
    process.data(
        "permit",
        &json!({
            "action": statement.action, "database": statement.database, "digest": digest, "file": path,
            "head": statement.head, "lacks": lacks, "notAfter": statement.not_after, "notBefore": statement.not_before,
            "plan": statement.plan, "root": statement.root, "signers": signers,
        }),
    );
}
