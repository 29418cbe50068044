//! `sealift-bundler status`.

use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::Digest;
use sealift_spec::name::{Name, Person};
use sealift_spec::policy::Policy;
use sealift_spec::statement::PredicateKind;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::requirement::{self, Signatures};
use sealift_verifier::signature;
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::json;

use crate::review;
use crate::unit::{Draft, mode_words};

#[derive(Args)]
pub(super) struct Status {
    /// The trust folder: with it reviews are verified, and what each environment lacks is shown
    #[arg(long, value_name = "DIR", requires = "root_sha256")]
    trust: Option<PathBuf>,
    /// The digest of the first root
    #[arg(long, value_name = "HEX", requires = "trust")]
    root_sha256: Option<Digest>,
}

pub(super) fn run(arguments: &Status, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let (project, drafts) = super::load(folder, process)?;
    let trust = match (&arguments.trust, arguments.root_sha256) {
        (Some(folder), Some(pinned)) => Some(Trust::verify(&TrustFiles::read(folder)?, pinned, 0, (process.clock)())?),
        _ => None,
    };
    process.say(format_args!("{} · {} · {} migrations", project.name, project.flavour, drafts.len()));
    for draft in &drafts {
        let unit = &draft.unit;
        let digest = unit.digest();
        let envelopes = review::read(&project.reviews, &unit.id, digest)?;
        let down = if unit.down.is_some() { "" } else { ", no down" };
        process.say(format_args!("{} · {} ({}{down})", unit.id, unit.name, mode_words(unit.up.mode)));
        let mut data = json!({
            "id": unit.id, "name": unit.name, "digest": digest, "mode": unit.up.mode, "down": unit.down.is_some(),
            "author": unit.author, "warnings": draft.warnings.len(),
        });
        match &trust {
            None => {
                let keys: Vec<_> = envelopes.keys().map(ToString::to_string).collect();
                if keys.is_empty() {
                    process.say("    no reviews");
                } else {
                    process.say(format_args!("    reviews, not verified: {}", keys.join(", ")));
                }
                data["unverifiedReviews"] = json!(keys);
            }
            Some(trust) => {
                let policy = trust.policy();
                let signers = trust.signers(PredicateKind::Review);
                let people: Vec<Person> = envelopes
                    .values()
                    .flat_map(|envelope| signature::verify_envelope(envelope, &signers).people.into_keys())
                    .collect();
                let names: Vec<_> = people.iter().map(ToString::to_string).collect();
                process.say(format_args!(
                    "    reviewed by {}",
                    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
                ));
                let lacking = lacking(policy, draft, &people);
                for (environment, words) in &lacking {
                    process.say(format_args!("    {environment} lacks: {words}"));
                }
                data["reviewers"] = json!(names);
                data["lacking"] = json!(lacking);
            }
        }
        process.data("migration", &data);
    }
    super::warn(&drafts, process);
    Ok(Exit::Done)
}

/// What each environment still lacks in reviews of a unit.
fn lacking(policy: &Policy, draft: &Draft, people: &[Person]) -> Vec<(Name, String)> {
    let counted = people.iter().filter(|person| **person != draft.unit.author).collect();
    let signatures: Signatures<'_> = [(PredicateKind::Review, counted)].into();
    let short = |(name, rules): (&Name, &sealift_spec::policy::Environment)| {
        let reviews = rules.require.iter().filter(|r| r.statement == PredicateKind::Review);
        let shortfall = requirement::satisfy(policy, reviews, &signatures).err()?;
        Some((name.clone(), shortfall.to_string()))
    };
    policy.environments.iter().filter_map(short).collect()
}
