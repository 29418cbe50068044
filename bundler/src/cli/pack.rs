//! `sealift-bundler pack`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use sealift_spec::container::{Container, ContainerKind};
use sealift_spec::manifest::Source;
use sealift_spec::name::{Label, Name, UnitId};
use sealift_spec::statement::{Release, Statement};
use sealift_spec::time::DAY;
use sealift_spec::{Digest, Timestamp, limit};
use sealift_verifier::file::{self, SealedFile};
use sealift_verifier::release::VerifyError;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::json;

use crate::pack::{self, Terms};
use crate::review::Reviews;

/// How long a release is valid where nothing else is said.
const VALIDITY_DAYS: u64 = 90;

#[derive(Args)]
#[command(group = ArgGroup::new("order").required(true))]
pub(super) struct Pack {
    /// The release's place in the order of releases: 1, 2, 3, ..
    #[arg(long, value_name = "N", group = "order", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    sequence: Option<u64>,
    /// The bundle of the release before; the sequence is one more than what it claims
    #[arg(long, value_name = "BUNDLE", group = "order")]
    after: Option<PathBuf>,
    /// Where it may run; may be given several times
    #[arg(long, required = true, value_name = "NAME")]
    environment: Vec<Name>,
    /// The file to write, NAME.sealift
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Sign it at once with this private key, or with a NAME.pub whose private half the ssh-agent holds
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What people call it; `release-N` where nothing is given
    #[arg(long)]
    name: Option<Label>,
    /// Not valid before this time (YYYY-MM-DDTHH:MM:SSZ); the start of today, UTC, where nothing is given
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// Not valid from this time on; 90 days later where nothing is given
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
    /// The oldest root version it may be judged under
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_root: u64,
    /// The migration to be reached, with everything before it; may be given several times; the newest where none is given
    #[arg(long, value_name = "ID")]
    target: Vec<UnitId>,
    /// A migration that may run although later ones have; may be given several times
    #[arg(long, value_name = "ID")]
    out_of_order: Vec<UnitId>,
    /// The commit the migrations come from, for the record
    #[arg(long, value_name = "COMMIT")]
    commit: Option<Label>,
    /// The repository the migrations come from, for the record
    #[arg(long, value_name = "URL")]
    repository: Option<Label>,
    /// A trust directory that the hosts have too, verified to warn of a root that is about to expire
    #[arg(long, value_name = "DIR", requires = "root_sha256")]
    trust: Option<PathBuf>,
    /// The digest of the first root, as `sealift-keys trust draft` printed it
    #[arg(long, value_name = "HEX", requires = "trust")]
    root_sha256: Option<Digest>,
}

pub(super) fn run(arguments: &Pack, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    if let Some(name) = arguments.environment.iter().find(|name| name.is_reserved_environment()) {
        let text = format!("environment name `{name}` is reserved for keys that exist in memory only");
        return Err(Failure::new(Exit::Unknown, text).hint("use `sealift-bundler dev` for local databases"));
    }
    let (project, drafts) = super::load(folder, process)?;
    let sequence = match (arguments.sequence, &arguments.after) {
        (Some(sequence), _) => sequence,
        (None, Some(previous)) => claimed_sequence(previous)? + 1,
        (None, None) => return Err(Failure::new(Exit::Unknown, "neither --sequence nor --after is given")),
    };
    if let (Some(trust), Some(pinned)) = (&arguments.trust, arguments.root_sha256) {
        // By the clock, not by SOURCE_DATE_EPOCH: hosts judge by theirs.
        let trust = Trust::verify(&TrustFiles::read(trust)?, pinned, 0, (process.clock)())?;
        if let Some(warning) = trust.warning() {
            process.warn(warning);
        }
    }
    let now = now(process)?;
    // Whole days, so that packing the same commit twice on one day gives the same bytes, and hosts whose clocks differ agree.
    let not_before = arguments.not_before.unwrap_or(today(now));
    let not_after = arguments.not_after.unwrap_or(not_before.plus(VALIDITY_DAYS * DAY));
    let reviews = Reviews::read(&project.reviews, drafts.iter().map(|draft| &draft.unit.id))?;
    for draft in drafts.iter().filter(|draft| reviews.of(&draft.unit).next().is_none()) {
        process.warn(format_args!(
            "migration `{}` has no review; hosts will refuse it where reviews are required",
            draft.unit.id
        ));
    }
    super::warn(&drafts, process);
    if drafts.is_empty() {
        process
            .warn(format_args!("there is no migration in `{}`: the bundle does nothing", project.migrations.display()));
    }
    if arguments.out.extension().is_none_or(|extension| extension != "sealift") {
        process.warn(format_args!("`{}` does not end in `.sealift`, as bundles do", arguments.out.display()));
    }
    let label = |text: String| text.parse::<Label>().map_err(|error| Failure::new(Exit::Unknown, error));
    let terms = Terms {
        sequence,
        name: arguments.name.clone().map_or_else(|| label(format!("release-{sequence}")), Ok)?,
        environments: arguments.environment.clone(),
        not_before,
        not_after,
        min_root: arguments.min_root,
        target: arguments.target.clone(),
        out_of_order: arguments.out_of_order.clone(),
        source: Source {
            commit: arguments.commit.clone(),
            format: "native".parse().map_err(|error| Failure::new(Exit::Unknown, error))?,
            repository: arguments.repository.clone(),
            tool: label(format!("sealift-bundler {}", env!("CARGO_PKG_VERSION")))?,
        },
    };
    let mut packed = pack::pack(&project, &drafts, terms, &reviews)?;
    if let Some(key) = &arguments.key {
        let signer = super::signer(key, process)?;
        signer.sign_envelope(&mut packed.envelope)?;
    }
    let bytes = packed.write();
    file::write(&arguments.out, &bytes, 0o644, arguments.force).map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failure = Failure::new(if taken { Exit::No } else { Exit::Unknown }, error)
            .context(format!("cannot write `{}`", arguments.out.display()));
        if taken { failure.hint("choose another name, or replace it with --force") } else { failure }
    })?;
    let digest = packed.envelope.digest();
    process.say(format_args!(
        "packed {} into {} ({} bytes)",
        super::migrations(drafts.len()),
        arguments.out.display(),
        bytes.len()
    ));
    process.say(format_args!("  sequence       {sequence}"));
    process.say(format_args!("  release digest {digest}"));
    process.say(format_args!("  content digest {}", packed.content.sha256));
    process.say(format_args!("  reviews        {}", packed.evidence.len()));
    process.data(
        "packed",
        &json!({
            "path": arguments.out, "bytes": bytes.len(), "migrations": drafts.len(), "sequence": sequence, "digest": digest,
            "contentDigest": packed.content.sha256, "reviews": packed.evidence.len(), "signed": arguments.key.is_some(),
        }),
    );
    if arguments.key.is_none() {
        process.note(format_args!("next: sign it with `sealift-bundler sign {} --key FILE`", arguments.out.display()));
    }
    Ok(Exit::Done)
}

/// The sequence that a bundle claims.
fn claimed_sequence(path: &Path) -> Result<u64, Failure> {
    let file = SealedFile::read(path, limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096)?;
    let container = Container::read(file.bytes(), ContainerKind::Bundle).map_err(VerifyError::Container)?;
    let release = Statement::<Release>::read(container.main.payload()).map_err(VerifyError::Statement)?;
    Ok(release.predicate.sequence)
}

/// The time that packing goes by: `SOURCE_DATE_EPOCH` where it is set (reproducible-builds.org), else the clock.
fn now(process: &Process<'_>) -> Result<Timestamp, Failure> {
    match (process.variable)("SOURCE_DATE_EPOCH") {
        None => Ok((process.clock)()),
        Some(text) => text
            .parse()
            .ok()
            .and_then(Timestamp::from_seconds)
            .ok_or_else(|| Failure::new(Exit::Unknown, "SOURCE_DATE_EPOCH is not a number of seconds since 1970")),
    }
}

fn today(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds() / DAY * DAY).unwrap_or(now)
}
