//! `sealift-keys trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealift_spec::name::Person;
use sealift_spec::policy::{Environment, Policy, Requirement};
use sealift_spec::text::Plain;
use sealift_verifier::file as files;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::{Value, json};

use crate::trust::assessment::{self, Assessment};
use crate::trust::folder::{self, Claimed};
use crate::trust::problem::SourceError;
use crate::trust::source::{self, Compiled};

mod show;

#[derive(Subcommand)]
pub(super) enum Trust {
    /// Compile trust.toml into 1.root.json and 1.policy.json, and print the digest that hosts pin
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
    ///
    ///   [predicates]                          # optional: which roles may sign which statement
    ///   review = ["review"]
    ///
    ///   [revoked]                             # optional
    ///   keys = ["SHA256:.."]                  # and contents, releases, units: SHA-256 digests
    #[command(verbatim_doc_comment)]
    Draft(Draft),
    /// Add a signature to a root, as one of its holders
    Sign(Sign),
    /// Show in words what a trust directory says
    Show(show::Show),
}

#[derive(Args)]
pub(super) struct Draft {
    /// The description of people, roles and environments
    #[arg(value_name = "TRUST.toml")]
    source: PathBuf,
    /// The folder for the two files; made if it does not exist, refused if it holds roots already
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Sign {
    /// The root to sign, DIR/1.root.json, with its policy beside it
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// The private key of a root holder
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
}

pub(super) fn run(command: &Trust, process: &mut Process<'_>) -> Result<Exit, Failure> {
    match command {
        Trust::Draft(arguments) => draft(arguments, process),
        Trust::Sign(arguments) => sign(arguments, process),
        Trust::Show(arguments) => show::run(arguments, process),
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(Exit::No, error) }
    }
}

fn draft(arguments: &Draft, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Draft { source: path, out } = arguments;
    let (file, metadata) = files::open(path)?;
    let bytes = files::read_all(file, metadata.len(), path, source::LIMIT)?;
    let name = Plain(&path.to_string_lossy()).to_string();
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(Exit::No, format!("`{name}` is not UTF-8 text")))?;
    let Compiled { draft, environments, warnings } = source::compile(&text, (process.clock)())
        .map_err(|error| Failure::from(error).context(format!("`{name}` makes no trust root")))?;
    folder::write(out, &draft)?;
    let (root, digest) = (draft.root.root(), draft.root.digest());
    for warning in &warnings {
        process.warn(warning);
    }
    for (environment, assessment) in &environments {
        let rules = &draft.policy().environments[environment];
        process.note(heading(environment.as_str(), rules));
        for line in requirements(draft.policy(), rules).into_iter().chain(facts(assessment)) {
            process.note(format_args!("  {line}"));
        }
    }
    process.note(format_args!(
        "root {}, valid until {}, takes {} of {} signatures: `sealift-keys trust sign {} --key KEY`",
        root.version,
        root.expires,
        root.threshold,
        root.keys.len(),
        out.join("1.root.json").display()
    ));
    process.note("hosts pin this digest of it as root-sha256; signatures do not change it:");
    process.say(digest);
    process.data(
        "trust-draft",
        &json!({
            "rootSha256": digest, "version": root.version, "expires": root.expires, "threshold": root.threshold,
            "keys": root.keys.len(), "policySha256": root.policy.sha256, "folder": out,
            "environments": environments.iter().map(|(name, assessment)| environment_json(
                name.as_str(), &draft.policy().environments[name], Some(assessment))).collect::<Vec<_>>(),
            "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    );
    Ok(Exit::Done)
}

fn sign(arguments: &Sign, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let Sign { root: path, key } = arguments;
    // Whatever is wrong with the root is said before anybody types a passphrase.
    folder::read_root(path)?;
    let signer = super::signer(key, process)?;
    let (claimed, key_id) = folder::sign(path, &signer, (process.clock)())?;
    let tally = Tally::of(&claimed);
    let (root, digest) = (claimed.root.root(), claimed.root.digest());
    let by = claimed.policy.holder(&signer.public_key()).map_or_else(|| key_id.to_string(), ToString::to_string);
    process.say(format_args!("root {} signed by {by}: {tally}", root.version));
    process.say(format_args!("  digest {digest}"));
    process.data(
        "trust-signature",
        &json!({
            "version": root.version, "rootSha256": digest, "key": key_id, "by": by, "signed": tally.signed,
            "threshold": tally.threshold, "missing": tally.missing(),
        }),
    );
    Ok(Exit::Done)
}

/// How far the signatures of a root have come.
struct Tally {
    signed: Vec<String>,
    open: Vec<String>,
    threshold: u64,
}

impl Tally {
    fn of(claimed: &Claimed) -> Self {
        let (signed, open): (Vec<_>, Vec<_>) = claimed.holders().into_iter().partition(|holder| holder.signed);
        let names = |holders: Vec<folder::RootHolder>| {
            let name = |holder: folder::RootHolder| {
                holder.person.as_ref().map_or_else(|| holder.key.id().to_string(), Person::to_string)
            };
            holders.into_iter().map(name).collect()
        };
        Self { signed: names(signed), open: names(open), threshold: claimed.root.root().threshold }
    }

    fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.signed.len() as u64)
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
    environment.require.iter().map(line).collect()
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
        "smallestSet": assessment.map(|a| a.smallest), "example": assessment.map(|a| &a.example),
        "impossibleWithout": assessment.map(|a| &a.indispensable),
    })
}
