//! `sealift-verifier verify`.

use std::collections::BTreeMap;
use std::path::Path;

use sealift_spec::history::{Event, History};
use sealift_spec::name::UnitId;
use sealift_spec::{Digest, json, limit};
use serde_json::json;

use super::Verify;
use crate::bundle::VerifiedBundle;
use crate::file::{self, SealedFile};
use crate::release::{self, Expected};
use crate::report::{Exit, Failure, Process};
use crate::trust::{Trust, TrustFiles};

/// The largest bundle file: a payload and its attestations.
const BUNDLE: u64 = limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096;
/// The largest history listing.
const LISTING: u64 = 1024 * 1024 * 1024;

pub(super) fn run(arguments: &Verify, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let now = (process.clock)();
    let rejected = |failure: Failure| failure.context(format!("{} rejected", arguments.bundle.display()));
    let file = SealedFile::read(&arguments.bundle, BUNDLE)?;
    let trust = TrustFiles::read(&arguments.trust)?;
    let trust = Trust::verify(&trust, arguments.root_sha256, 0, now)?;
    let expected = Expected { project: arguments.project.clone(), environment: arguments.environment.clone(), now };
    let release = release::verify(file, &trust, &expected).map_err(|error| rejected(error.into()))?;
    let bundle = release.open(&trust).map_err(|error| rejected(error.into()))?;
    let applied = match &arguments.applied {
        Some(path) => read_applied(path)?,
        None => BTreeMap::new(),
    };
    let units = judge(&bundle, &trust, &applied).map_err(rejected)?;
    let (statement, digest) = (bundle.release().statement(), bundle.release().digest());
    let name = arguments.bundle.display();
    process.say(format_args!(
        "{name} accepted for environment `{}` of project `{}`",
        expected.environment, expected.project
    ));
    process.say(format_args!("  release   {} (sequence {}, digest {digest})", statement.name, statement.sequence));
    process.say(format_args!("  valid     {} to {}", statement.not_before, statement.not_after));
    let signers: Vec<_> = bundle.release().signers().iter().map(ToString::to_string).collect();
    process.say(format_args!("  signed by {}", signers.join(", ")));
    process.say(format_args!("  root      version {}, expires {}", trust.root_version(), trust.expires()));
    let count = bundle.manifest().units().len();
    process.say(format_args!(
        "  contains  {count} migrations, {} reviewed for this environment, {} applied",
        units.reviewed, units.applied
    ));
    process.data(
        "accepted",
        &json!({
            "digest": digest, "project": expected.project, "environment": expected.environment, "name": statement.name,
            "sequence": statement.sequence, "notBefore": statement.not_before, "notAfter": statement.not_after,
            "signers": signers, "root": trust.root_version(), "units": count, "reviewed": units.reviewed,
            "applied": units.applied, "contentDigest": statement.content.sha256,
        }),
    );
    Ok(Exit::Done)
}

struct Judged {
    reviewed: usize,
    applied: usize,
}

/// Every unit of the bundle is either applied with the same up script, or reviewed.
fn judge(bundle: &VerifiedBundle, trust: &Trust, applied: &BTreeMap<UnitId, Digest>) -> Result<Judged, Failure> {
    let mut judged = Judged { reviewed: 0, applied: 0 };
    for unit in bundle.manifest().units() {
        match applied.get(&unit.id) {
            Some(up) if *up == unit.up.sha256 => judged.applied += 1,
            Some(_) => {
                let text = format!("migration `{}` differs from the one that was applied", unit.id);
                return Err(Failure::new(Exit::No, text)
                    .hint("restore the file as it was applied, and put the change into a new migration"));
            }
            None => {
                bundle.judge(&unit.id, trust).map_err(|error| {
                    Failure::new(Exit::No, error)
                        .hint("let more people run `sealift-bundler review`, then pack and sign again")
                })?;
                judged.reviewed += 1;
            }
        }
    }
    Ok(judged)
}

/// Reads `sealift-runner history --json`: lines of type `event` whose data is the event.
fn read_applied(path: &Path) -> Result<BTreeMap<UnitId, Digest>, Failure> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Line {
        data: Event,
        r#type: String,
    }
    let failed = |line: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure {
            exit: Exit::Unknown,
            error,
            hint: Some("give it what `sealift-runner history --json` printed".to_owned()),
        }
        .context(format!("line {line} of `{}` is no history event", path.display()))
    };
    let (file, metadata) = file::open(path)?;
    let text = file::read_all(file, metadata.len(), path, LISTING)?;
    let mut history = History::default();
    for (index, line) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let Line { data, r#type } =
            json::read(line, 2 * sealift_spec::history::EVENT).map_err(|error| failed(index + 1, error.into()))?;
        if r#type != "event" {
            return Err(failed(index + 1, format!("its type is `{}`", sealift_spec::text::Plain(&r#type)).into()));
        }
        history.append(data).map_err(|error| failed(index + 1, error.into()))?;
    }
    Ok(history.applied().iter().map(|applied| (applied.unit.id.clone(), applied.unit.up)).collect())
}
