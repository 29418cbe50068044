//! `sealift-keys trust show`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use sealift_spec::policy::{Holder, Revoked, Validity};
use sealift_spec::root::tuf_key_id;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::trust::{Trust, TrustFiles};
use serde_json::json;

use super::{Tally, environment_json, facts, heading, join, requirements};
use crate::trust::assessment::{self, assess};
use crate::trust::folder::{self, Claimed};

#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The folder with 1.root.json, 1.policy.json and their successors
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Judge the root chain as a host with this pinned digest would, and refuse what it would refuse
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<Digest>,
}

pub(super) fn run(arguments: &Show, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let now = (process.clock)();
    if let Some(pinned) = arguments.root_sha256 {
        let files = TrustFiles::read(&arguments.folder)?;
        let trust = Trust::verify(&files, pinned, 0, now)
            .map_err(|error| Failure::from(error).context(format!("`{}` rejected", arguments.folder.display())))?;
        if let Some(warning) = trust.warning() {
            process.warn(warning);
        }
    }
    let claimed = folder::read(&arguments.folder)?;
    let verified = arguments.root_sha256.is_some();
    match verified {
        true => process.note("verified: a host with this root-sha256 trusts what follows"),
        false => process.warn("nothing was judged: give --root-sha256 to verify what the files claim"),
    }
    words(&claimed, now, process);
    process.data("trust", &value(&claimed, verified));
    Ok(Exit::Done)
}

fn words(claimed: &Claimed, now: Timestamp, process: &mut Process<'_>) {
    let (root, policy) = (claimed.root.root(), &claimed.policy);
    let expired = if now >= root.expires { ", EXPIRED" } else { "" };
    process.say(format_args!("root {}, valid until {}{expired}", root.version, root.expires));
    process.say(format_args!("  digest      {}", claimed.root.digest()));
    process.say(format_args!("  warns       {} days before", policy.warning_days));
    for tally in Tally::all(claimed) {
        let judge =
            if tally.judge == root.version { String::new() } else { format!(" by holders of root {}", tally.judge) };
        process.say(format_args!("  signatures  {tally}{judge}"));
        if !tally.signed.is_empty() {
            process.say(format_args!("  signed by   {}", tally.signed.join(", ")));
        }
    }
    for key_id in claimed.unexplained() {
        process.say(format_args!("  bad         a signature by TUF key {key_id} does not verify"));
    }
    process.say("people");
    for (person, member) in &policy.people {
        let kind = if member.kind == Holder::Human { "human" } else { "service" };
        let mut roles: Vec<&str> = assessment::roles_of(policy, person).into_iter().map(|role| role.as_str()).collect();
        if member.keys.iter().any(|key| root.keys.contains(key)) {
            roles.insert(0, "root");
        }
        let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
        process.say(format_args!("  {person} ({kind}): {roles}"));
        for key in &member.keys {
            let is_root = if root.keys.contains(key) { " (signs roots)" } else { "" };
            let revoked = if policy.revoked.keys.contains(&key.id()) { " (revoked)" } else { "" };
            let Validity { not_after, not_before } = policy.validity.get(&key.id()).copied().unwrap_or_default();
            let from = not_before.map_or_else(String::new, |time| format!(" (valid from {time})"));
            let until = not_after.map_or_else(String::new, |time| format!(" (valid until {time})"));
            process.say(format_args!("    {}{is_root}{revoked}{from}{until}", key.id()));
        }
    }
    process.say("roles");
    process.say(format_args!("  root: {} of {} must sign", root.threshold, root.keys.len()));
    for (role, holders) in &policy.roles {
        let signs: Vec<String> = policy
            .predicates
            .iter()
            .filter(|(_, roles)| roles.contains(role))
            .map(|(statement, _)| statement.to_string())
            .collect();
        let signs = if signs.is_empty() { "signs nothing".to_owned() } else { format!("signs {}", signs.join(", ")) };
        process.say(format_args!("  {role}: {} ({signs})", join(holders)));
    }
    for (name, environment) in &policy.environments {
        process.say(heading(name.as_str(), environment));
        let lines = requirements(policy, environment);
        let facts = match assess(policy, environment) {
            Ok(assessment) => facts(&assessment),
            Err(shortfall) => vec![format!("impossible: {shortfall}")],
        };
        for line in lines.into_iter().chain(facts) {
            process.say(format_args!("  {line}"));
        }
    }
    revoked(&policy.revoked, process);
}

fn revoked(revoked: &Revoked, process: &mut Process<'_>) {
    if revoked.is_empty() {
        return;
    }
    let Revoked { contents, keys, releases, units } = revoked;
    process.say("revoked");
    fn lines<T: std::fmt::Display>(what: &str, list: &BTreeSet<T>, process: &mut Process<'_>) {
        for one in list {
            process.say(format_args!("  {what} {one}"));
        }
    }
    lines("key", keys, process);
    lines("release", releases, process);
    lines("unit", units, process);
    lines("content", contents, process);
}

fn value(claimed: &Claimed, verified: bool) -> serde_json::Value {
    let (root, policy) = (claimed.root.root(), &claimed.policy);
    let tallies = Tally::all(claimed);
    let holders = claimed.holders().into_iter().map(|holder| {
        json!({
            "key": holder.key.id(), "tufKeyId": tuf_key_id(&holder.key), "person": holder.person,
            "signed": holder.signed,
        })
    });
    let people = policy.people.iter().map(|(person, member)| {
        let keys = member.keys.iter().map(|key| json!({ "key": key, "fingerprint": key.id() }));
        json!({
            "person": person, "kind": member.kind, "keys": keys.collect::<Vec<_>>(),
            "roles": assessment::roles_of(policy, person),
        })
    });
    let environments = policy.environments.iter().map(|(name, environment)| {
        environment_json(name.as_str(), environment, assess(policy, environment).ok().as_ref())
    });
    json!({
        "verified": verified, "version": root.version, "expires": root.expires, "rootSha256": claimed.root.digest(),
        "threshold": root.threshold, "rootKeys": holders.collect::<Vec<_>>(),
        "missing": tallies[tallies.len() - 1].missing(),
        "thresholds": tallies.iter().map(Tally::value).collect::<Vec<_>>(), "badSignatures": claimed.unexplained(),
        "people": people.collect::<Vec<_>>(), "roles": policy.roles, "predicates": policy.predicates,
        "environments": environments.collect::<Vec<_>>(), "revoked": policy.revoked,
        "validity": policy.validity, "warningDays": policy.warning_days,
    })
}
