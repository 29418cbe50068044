//! `sealift-verifier verify`.

use std::collections::BTreeMap;
use std::path::Path;

use sealift_spec::name::UnitId;
use sealift_spec::text::Count;
use sealift_spec::{Digest, limit};
use serde_json::json;

use super::Verify;
use crate::bundle::VerifiedBundle;
use crate::file::{self, SealedFile};
use crate::listing::{LISTING, Listing};
use crate::release::{self, Expected};
use crate::report::{Exit, Failure, Process};
use crate::trust::{Trust, TrustFiles};

/// The largest bundle file: a payload and its attestations.
const BUNDLE: u64 = limit::PAYLOAD + limit::ATTESTATIONS as u64 + 4096;

pub(super) fn run(arguments: &Verify, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let now = (process.clock)();
    let rejected = |failure: Failure| failure.context(format!("{} rejected", arguments.bundle.display()));
    let file = SealedFile::read(&arguments.bundle, BUNDLE)?;
    let trust = TrustFiles::read(&arguments.trust)?;
    let trust = Trust::verify(&trust, arguments.root_sha256, 0, now)?;
    if let Some(warning) = trust.warning() {
        process.warn(warning);
    }
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
        "  contains  {}, {} reviewed for this environment, {} applied",
        Count(count as u64, "migration"),
        units.reviewed,
        units.applied
    ));
    process.data(
        "accepted",
        &json!({
            "digest": digest, "project": expected.project, "environment": expected.environment, "name": statement.name,
            "sequence": statement.sequence, "notBefore": statement.not_before, "notAfter": statement.not_after,
            "signers": signers, "root": trust.root_version(), "rootExpires": trust.expires(), "units": count, "reviewed": units.reviewed,
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

/// Reads `sealift-runner history --json`.
fn read_applied(path: &Path) -> Result<BTreeMap<UnitId, Digest>, Failure> {
    let (file, metadata) = file::open(path)?;
    let text = file::read_all(file, metadata.len(), path, LISTING)?;
    let listing = Listing::read(&text).map_err(|error| {
        Failure::new(Exit::Unknown, error)
            .hint("give it what `sealift-runner history --json` printed")
            .context(format!("`{}` is no history", path.display()))
    })?;
    Ok(listing.history.applied().iter().map(|applied| (applied.unit.id.clone(), applied.unit.up)).collect())
}
