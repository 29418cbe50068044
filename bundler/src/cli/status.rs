//! `sealift-bundler status`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::Digest;
use sealift_spec::envelope::Envelope;
use sealift_spec::name::{Name, Person};
use sealift_spec::policy::Policy;
use sealift_spec::statement::PredicateKind;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::requirement::{self, Signatures};
use sealift_verifier::signature;
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::{Value, json};

use crate::review::Reviews;
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
    if let Some(warning) = trust.as_ref().and_then(Trust::warning) {
        process.warn(warning);
    }
    let reviews = Reviews::read(&project.reviews, drafts.iter().map(|draft| &draft.unit.id))?;
    process.say(format_args!("{} · {} · {}", project.name, project.flavour, super::migrations(drafts.len())));
    for draft in &drafts {
        let unit = &draft.unit;
        let digest = unit.digest();
        let found: Vec<_> = reviews.of(unit).collect();
        let down = if unit.down.is_some() { "" } else { ", no down" };
        process.say(format_args!("{} · {} ({}{down})", unit.id, unit.name, mode_words(unit.up.mode)));
        let mut data = json!({
            "id": unit.id, "name": unit.name, "digest": digest, "mode": unit.up.mode, "down": unit.down.is_some(),
            "author": unit.author, "warnings": draft.warnings.len(),
        });
        process.say(format_args!("    unit {}", digest.short()));
        match &trust {
            None => {
                let claimed: BTreeSet<_> = found.iter().flat_map(|found| keys(found.envelope)).collect();
                if claimed.is_empty() {
                    process.say("    no reviews");
                } else {
                    process.say(format_args!("    reviews, not verified: {}", list(&claimed)));
                }
                data["unverifiedReviews"] = json!(claimed);
                let stale: Vec<_> = reviews.stale(unit).flat_map(|(was, it)| keys_of(was, keys(it))).collect();
                tell_stale(&stale, "not verified: ", &mut data, process);
            }
            Some(trust) => {
                let signers = trust.signers(PredicateKind::Review);
                let verified = |envelope: &Envelope| {
                    let found = signature::verify_envelope(envelope, &signers);
                    found.people.into_keys().collect::<Vec<Person>>()
                };
                let mut people: BTreeMap<Person, Option<Digest>> = BTreeMap::new();
                // A review of the unit itself says more than one of a list.
                for found in found.iter().rev() {
                    people.extend(verified(found.envelope).into_iter().map(|person| (person, found.list)));
                }
                let name = |(person, list): (&Person, &Option<Digest>)| match list {
                    Some(list) => format!("{person} (list {})", list.short()),
                    None => person.to_string(),
                };
                let names: Vec<_> = people.iter().map(name).collect();
                process.say(format_args!(
                    "    reviewed by {}",
                    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
                ));
                let stale: Vec<_> = reviews.stale(unit).flat_map(|(was, it)| keys_of(was, verified(it))).collect();
                tell_stale(&stale, "", &mut data, process);
                let people: Vec<Person> = people.into_keys().collect();
                let lacking = lacking(trust.policy(), draft, &people);
                for (environment, words) in &lacking {
                    process.say(format_args!("    {environment} lacks: {words}"));
                }
                data["reviewers"] = json!(people);
                data["lacking"] = json!(lacking);
            }
        }
        process.data("migration", &data);
    }
    super::warn(&drafts, process);
    Ok(Exit::Done)
}

fn keys(envelope: &Envelope) -> impl Iterator<Item = String> {
    envelope.signatures().iter().map(|signature| signature.key_id.to_string())
}

fn keys_of(unit: Digest, who: impl IntoIterator<Item = impl ToString>) -> Vec<(Digest, String)> {
    who.into_iter().map(|who| (unit, who.to_string())).collect()
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Who reviewed a migration as it was once: those reviews count no more.
fn tell_stale(stale: &[(Digest, String)], doubt: &str, data: &mut Value, process: &mut Process<'_>) {
    for (unit, who) in stale {
        process.say(format_args!("    stale, {doubt}{who} reviewed unit {}", unit.short()));
    }
    data["stale"] = stale.iter().map(|(unit, who)| json!({ "by": who, "digest": unit })).collect();
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
