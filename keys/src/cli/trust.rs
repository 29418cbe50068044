//! `sealift-keys trust`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use sealift_spec::name::Person;
use sealift_spec::policy::{Environment, Policy, Requirement};
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::{Value, json};

use crate::external;
use crate::file;
use crate::trust::assessment::{self, Assessment};
use crate::trust::folder::{self, Claimed};
use crate::trust::problem::SourceError;

mod diff;
mod draft;
mod show;
mod update;

#[derive(Subcommand)]
pub(super) enum Trust {
    /// Compile trust.toml into N.root.json and N.policy.json, and print the digest that hosts pin
    ///
    /// The first root is version 1. Every later one follows a directory of roots, given with --previous, which is
    /// verified from the pinned digest first, and is signed by the holders of the root before and by its own.
    ///
    /// trust.toml names people and their keys, roles, and what each environment requires:
    ///
    ///   [people."ann@example.com"]
    ///   kind = "human"                        # or "service"
    ///   keys = ["ssh-ed25519 AAAA.."]         # one line of a .pub file each
    ///   root-key = "ssh-ed25519 AAAA.."       # optional: the key that signs roots
    ///
    ///   [roles]
    ///   root = { people = ["ann@example.com", "bob@example.com", "cy@example.com"], threshold = 2 }
    ///   release = { people = ["ci"] }
    ///   review = { people = ["ann@example.com", "bob@example.com", "cy@example.com"] }
    ///   credentials = { people = ["ann@example.com"] }
    ///
    ///   [environments.production]
    ///   protected = false                     # true: every run needs a permit
    ///   require = [
    ///     { statement = "release", role = "release", people = 1 },
    ///     { statement = "review", role = "review", people = 2 },
    ///   ]
    ///
    ///   [root]                                # optional
    ///   expires-in-days = 180                 # at most 400
    ///   warning-days = 30                     # hosts warn so long before
    ///
    ///   [predicates]                          # optional: which roles may sign which statement
    ///   review = ["review"]
    ///
    ///   [revoked]                             # optional
    ///   keys = ["SHA256:.."]                  # and contents, releases, units: SHA-256 digests
    ///
    ///   [validity."SHA256:.."]                # optional: when a key may be used
    ///   not-before = "2027-01-01T00:00:00Z"
    ///   not-after = "2027-07-01T00:00:00Z"
    #[command(verbatim_doc_comment)]
    Draft(draft::Draft),
    /// Add a signature to a root, as a holder of it or of the one before
    Sign(Sign),
    /// Say in words what the newest root and policy change against the ones before
    Diff(diff::Diff),
    /// Show in words what a trust directory says
    Show(show::Show),
    /// Copy newer roots and policies into a host's trust directory, after verifying all of them
    Update(update::Update),
}

#[derive(Args)]
#[command(group = ArgGroup::new("how").required(true))]
pub(super) struct Sign {
    /// The root to sign, DIR/N.root.json, with its policy and the root and policy before it beside it
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// The private key of a holder of this root or of the one before, or a NAME.pub whose private half the ssh-agent holds
    #[arg(long, value_name = "KEY", group = "how")]
    key: Option<PathBuf>,
    /// Do not sign: write the exact bytes that a signer elsewhere (a KMS, another machine) is to sign with Ed25519
    #[arg(long, value_name = "FILE", group = "how")]
    request: Option<PathBuf>,
    /// Add a signature that was made elsewhere: 64 raw bytes, or their base64
    #[arg(long, value_name = "FILE", group = "how", requires = "public_key")]
    attach: Option<PathBuf>,
    /// The public key of the attached signature, in OpenSSH's format
    #[arg(long, value_name = "PUB", requires = "attach")]
    public_key: Option<PathBuf>,
}

pub(super) fn run(command: &Trust, process: &mut Process<'_>) -> Result<Exit, Failure> {
    match command {
        Trust::Draft(arguments) => draft::run(arguments, process),
        Trust::Sign(arguments) => sign(arguments, process),
        Trust::Diff(arguments) => diff::run(arguments, process),
        Trust::Show(arguments) => show::run(arguments, process),
        Trust::Update(arguments) => update::run(arguments, process),
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(Exit::No, error) }
    }
}

fn sign(arguments: &Sign, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Sign { root: path, key, request, attach, public_key } = arguments;
    // Whatever is wrong with the root is said before anybody types a passphrase.
    let unsigned = folder::read_root(path)?;
    let signer = match (key, request, attach, public_key) {
        (Some(key), ..) => super::signer(key, process)?,
        (_, Some(out), ..) => {
            let bytes = unsigned.root.signed_bytes();
            file::create(out, bytes, 0o644)?;
            let (version, digest) = (unsigned.root.root().version, unsigned.root.digest());
            process.say(format_args!(
                "wrote {}: {} bytes of root {version}, to be signed with Ed25519",
                out.display(),
                bytes.len()
            ));
            process.say(format_args!("  sha256 {digest}"));
            let data = json!({ "path": out, "bytes": bytes.len(), "sha256": digest, "version": version });
            process.data("signing-request", &data);
            return Ok(Exit::Done);
        }
        (_, _, Some(signature), Some(public_key)) => external::signer(public_key, signature)?,
        _ => return Err(Failure::new(Exit::Unknown, "neither --key nor --attach with --public-key is given")),
    };
    let (claimed, key_id) = folder::sign(path, &signer, (process.clock)())?;
    let (root, digest) = (claimed.root.root(), claimed.root.digest());
    let holder = claimed.policy.holder(&signer.public_key());
    let before = claimed.before.as_ref().and_then(|before| before.policy.holder(&signer.public_key()));
    let by = holder.or(before).map_or_else(|| key_id.to_string(), ToString::to_string);
    let tallies = Tally::all(&claimed);
    match &*tallies {
        [own] => process.say(format_args!("root {} signed by {by}: {own}", root.version)),
        all => {
            process.say(format_args!("root {} signed by {by}", root.version));
            for tally in all {
                process.say(format_args!("  by holders of root {}: {tally}", tally.judge));
            }
        }
    }
    process.say(format_args!("  digest {digest}"));
    let own = &tallies[tallies.len() - 1];
    process.data(
        "trust-signature",
        &json!({
            "version": root.version, "rootSha256": digest, "key": key_id, "by": by, "signed": own.signed,
            "threshold": own.threshold, "missing": own.missing(), "thresholds": tallies.iter().map(Tally::value).collect::<Vec<_>>(),
        }),
    );
    Ok(Exit::Done)
}

/// How far the signatures of a root by the keys of one root have come.
struct Tally {
    /// The root whose keys are counted.
    judge: u64,
    signed: Vec<String>,
    open: Vec<String>,
    threshold: u64,
}

impl Tally {
    /// By the holders of the root before, if there is one, and last by its own.
    fn all(claimed: &Claimed) -> Vec<Self> {
        let before = claimed.before.as_ref().zip(claimed.holders_before());
        let before = before.map(|(before, holders)| Self::count(before, holders));
        before.into_iter().chain([Self::count(claimed, claimed.holders())]).collect()
    }

    fn count(judge: &Claimed, holders: Vec<folder::RootHolder>) -> Self {
        let (signed, open): (Vec<_>, Vec<_>) = holders.into_iter().partition(|holder| holder.signed);
        let names = |holders: Vec<folder::RootHolder>| {
            let name = |holder: folder::RootHolder| {
                holder.person.as_ref().map_or_else(|| holder.key.id().to_string(), Person::to_string)
            };
            holders.into_iter().map(name).collect()
        };
        let judge = judge.root.root();
        Self { judge: judge.version, signed: names(signed), open: names(open), threshold: judge.threshold }
    }

    fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.signed.len() as u64)
    }

    fn value(&self) -> Value {
        json!({
            "root": self.judge, "signed": self.signed, "open": self.open, "threshold": self.threshold,
            "missing": self.missing(),
        })
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (signed, threshold) = (self.signed.len(), self.threshold);
        write!(f, "{signed} of {threshold} signatures")?;
        match self.missing() {
            0 => f.write_str(", none missing"),
            missing => write!(f, ", {missing} missing, of {}", self.open.join(", ")),
        }
    }
}

fn heading(name: &str, environment: &Environment) -> String {
    let protected = if environment.protected { "protected: every run needs a permit" } else { "not protected" };
    format!("environment {name} ({protected})")
}

/// The requirements of an environment, each with the people who could meet it.
fn requirements(policy: &Policy, environment: &Environment) -> Vec<String> {
    let line = |requirement: &Requirement| {
        let Requirement { people, role, statement } = requirement;
        let eligible = join(assessment::eligible(policy, requirement));
        format!("{statement}: {people} of role `{role}` ({eligible})")
    };
    let age = environment
        .max_age_days
        .map(|days| format!("releases that became valid more than {days} days ago are refused"));
    let floor = environment.min_sequence.map(|sequence| format!("releases before sequence {sequence} are refused"));
    environment.require.iter().map(line).chain(age).chain(floor).collect()
}

fn facts(assessment: &Assessment) -> Vec<String> {
    let Assessment { smallest, example, indispensable, .. } = assessment;
    let mut lines = vec![format!("smallest set: {smallest} people, such as {}", join(example))];
    if !indispensable.is_empty() {
        lines.push(format!("impossible without: {}", join(indispensable)));
    }
    lines
}

fn join<'p>(people: impl IntoIterator<Item = &'p Person>) -> String {
    let names: Vec<&str> = people.into_iter().map(Person::as_str).collect();
    names.join(", ")
}

fn environment_json(name: &str, environment: &Environment, assessment: Option<&Assessment>) -> Value {
    json!({
        "name": name, "protected": environment.protected, "require": environment.require,
        "maxAgeDays": environment.max_age_days, "minSequence": environment.min_sequence,
        "smallestSet": assessment.map(|a| a.smallest), "example": assessment.map(|a| &a.example),
        "impossibleWithout": assessment.map(|a| &a.indispensable),
    })
}
