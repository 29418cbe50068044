//! The command line of `sealift-runner`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use sealift_spec::Digest;
use sealift_spec::endpoint::UrlError;
use sealift_spec::name::{Name, UnitId};
use sealift_verifier::cli::usage;
use sealift_verifier::file::FileError;
use sealift_verifier::report::{Exit, Failure, Process};

use crate::config::{self, ConfigError, DEFAULT_PATH, Layer, Settings};
use crate::credentials::CredentialsError;
use crate::host::{Accepted, Host, HostError};
use crate::operator::Operator;
use crate::plan::{Back, Goal, Reach};
use crate::run::Caller;
use crate::state::StateError;

mod change;
mod history;
mod plan;
pub mod progress;
mod status;

/// Where a configured host keeps its audit log.
const AUDIT: &str = "/var/log/sealift/audit.jsonl";
/// Where a configured host keeps its state file.
const STATE: &str = "/var/lib/sealift/state.json";

/// Applies signed migration bundles, and nothing else, to a database.
///
/// Exit status: 0 done, 1 no (rejected, refused, SQL failed and was rolled back, work left), 2 could not tell (usage,
/// unreadable files, no connection, lock held), 3 interrupted (an operator must look).
///
/// A host that has /etc/sealift/runner.toml is configured by it: arguments may repeat what it says or add what it leaves
/// open, and change nothing.
#[derive(Parser)]
#[command(name = "sealift-runner", version, max_term_width = 100)]
struct Cli {
    /// Print data as JSON Lines, `{"data":..,"type":..}` each
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what `apply` would run: every statement, how, and which locks are expected. Changes nothing
    ///
    /// With --json one line is of type `plan`: the document that `sealift-keys permit` signs for a protected environment.
    /// The plan of a revert is printed by `revert --dry-run`.
    Plan {
        #[command(flatten)]
        bundle: BundleArguments,
        #[command(flatten)]
        host: HostArguments,
        #[command(flatten)]
        reach: ReachArguments,
    },
    /// Apply the pending migrations of a bundle
    Apply {
        #[command(flatten)]
        bundle: BundleArguments,
        #[command(flatten)]
        host: HostArguments,
        #[command(flatten)]
        reach: ReachArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Revert applied migrations with the down scripts of the bundle, the last applied first. They stay reverted until a
    /// release with a higher sequence
    Revert {
        #[command(flatten)]
        bundle: BundleArguments,
        #[command(flatten)]
        host: HostArguments,
        #[command(flatten)]
        back: BackArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Give a clone or a restored copy an id of its own, and bind it to this host's environment. Runs no SQL of the bundle
    Rebind {
        #[command(flatten)]
        bundle: BundleArguments,
        #[command(flatten)]
        host: HostArguments,
        #[command(flatten)]
        change: ChangeArguments,
    },
    /// Show what is applied, pending, held or interrupted. Changes nothing
    Status {
        #[command(flatten)]
        bundle: BundleArguments,
        #[command(flatten)]
        host: HostArguments,
    },
    /// Show and check the history that the database holds. Needs no bundle, changes nothing
    History {
        /// Not needed; allowed, so that the same arguments serve every command
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
        #[command(flatten)]
        host: HostArguments,
    },
}

#[derive(Args)]
struct BundleArguments {
    /// The bundle, NAME.sealift
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

#[derive(Args)]
struct HostArguments {
    /// The folder with 1.root.json, 1.policy.json and their successors
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// The digest of the first root, as `sealift-keys trust draft` printed it
    #[arg(long, value_name = "HEX")]
    root_sha256: Option<Digest>,
    /// The project that this host serves
    #[arg(long)]
    project: Option<Name>,
    /// The environment that this host is
    #[arg(long)]
    environment: Option<Name>,
    /// The name of the database in the credentials
    #[arg(long, value_name = "NAME")]
    database: Option<Name>,
    /// The sealed credentials, NAME.sealed
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The age identity that opens the credentials: a file that nobody else may read
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The same from an open descriptor
    #[arg(long, value_name = "N", conflicts_with = "identity")]
    identity_fd: Option<u32>,
    /// The same from a credential that systemd hands to this service (LoadCredential=NAME:..)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["identity", "identity_fd"])]
    identity_credential: Option<Name>,
    /// The database, where there is no secret: sqlite:PATH, or a postgresql:// or mysql:// URL without a password
    #[arg(long, value_name = "URL", conflicts_with_all = ["credentials", "identity", "identity_fd", "identity_credential"])]
    url: Option<String>,
    /// PostgreSQL: the role that migrations run as
    #[arg(long)]
    role: Option<String>,
    /// What this host has seen: the newest root and credentials, below which it never goes again
    /// [default: /var/lib/sealift/state.json where /etc/sealift/runner.toml exists, else none]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// A configuration file with these settings; it may add to /etc/sealift/runner.toml, not change it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct ChangeArguments {
    /// The audit log, which every change is written to
    /// [default: /var/log/sealift/audit.jsonl where /etc/sealift/runner.toml exists; must be given elsewhere]
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// The key that signs a checkpoint of the audit log after each change: an OpenSSH Ed25519 file without a passphrase
    #[arg(long, value_name = "FILE")]
    record_key: Option<PathBuf>,
    /// How long to wait while another runner holds the lock [default: 60]
    #[arg(long, value_name = "SECONDS")]
    lock_wait: Option<u64>,
    /// The permit for exactly this, which protected environments need: `sealift-keys permit` signs it
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    permit: Option<PathBuf>,
    /// Only show what would run, as `plan` does; its `--json` is what a permit is given for
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct ReachArguments {
    /// Apply up to this migration and what it stands on [default: to the bundle's target]
    #[arg(long, value_name = "ID", conflicts_with = "steps")]
    to: Option<UnitId>,
    /// Apply so many migrations
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroUsize>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct BackArguments {
    /// Revert everything that was applied after this migration, which stays
    #[arg(long, value_name = "ID")]
    to: Option<UnitId>,
    /// Revert so many migrations
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroUsize>,
}

impl ReachArguments {
    fn goal(&self) -> Goal {
        Goal::Apply(match (&self.to, self.steps) {
            (Some(id), _) => Reach::To(id.clone()),
            (None, Some(steps)) => Reach::Steps(steps),
            (None, None) => Reach::Target,
        })
    }
}

impl BackArguments {
    fn goal(&self) -> Goal {
        Goal::Revert(match (&self.to, self.steps) {
            (Some(id), _) => Back::To(id.clone()),
            // clap requires one of the two.
            (None, steps) => Back::Steps(steps.unwrap_or(NonZeroUsize::MIN)),
        })
    }
}

/// What `main` found out about the process.
pub struct Surroundings {
    /// Who runs this, and where.
    pub operator: Operator,
}

/// Runs one command and returns its exit status.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    surroundings: &Surroundings,
    process: &mut Process<'_>,
) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, process),
    };
    process.json = cli.json;
    match command(&cli.command, surroundings, process) {
        Ok(exit) => exit,
        Err(failure) => process.fail(&failure),
    }
}

fn command(command: &Command, around: &Surroundings, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let directory = (process.variable)("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let settings = |host, bundle, change| {
        let settings = settle(host, bundle, change, Path::new(DEFAULT_PATH))?;
        Ok::<_, Failure>(Settings { credentials_directory: directory.clone(), ..settings })
    };
    match command {
        Command::Plan { bundle, host, reach } => {
            let settings = settings(host, Some(bundle), None)?;
            plan::run(&Host::new(&settings, host.identity_fd)?, &reach.goal(), around, process)
        }
        Command::Apply { bundle, host, reach, change } => {
            let settings = settings(host, Some(bundle), Some(change))?;
            let host = Host::new(&settings, host.identity_fd)?;
            if change.dry_run {
                return plan::run(&host, &reach.goal(), around, process);
            }
            change::run(&host, &reach.goal(), change.permit.as_deref(), around, process)
        }
        Command::Revert { bundle, host, back, change } => {
            let settings = settings(host, Some(bundle), Some(change))?;
            let host = Host::new(&settings, host.identity_fd)?;
            if change.dry_run {
                return plan::run(&host, &back.goal(), around, process);
            }
            change::run(&host, &back.goal(), change.permit.as_deref(), around, process)
        }
        Command::Rebind { bundle, host, change } => {
            let settings = settings(host, Some(bundle), Some(change))?;
            let host = Host::new(&settings, host.identity_fd)?;
            if change.dry_run {
                return plan::run(&host, &Goal::Rebind, around, process);
            }
            change::run(&host, &Goal::Rebind, change.permit.as_deref(), around, process)
        }
        Command::Status { bundle, host } => {
            let settings = settings(host, Some(bundle), None)?;
            status::run(&Host::new(&settings, host.identity_fd)?, around, process)
        }
        Command::History { host, .. } => history::run(&settings(host, None, None)?, host.identity_fd, process),
    }
}

/// Joins the host's own configuration, the file that was named, and the arguments.
fn settle(
    host: &HostArguments,
    bundle: Option<&BundleArguments>,
    change: Option<&ChangeArguments>,
    default: &Path,
) -> Result<Settings, Failure> {
    let mut layers = Vec::new();
    let configured = std::fs::symlink_metadata(default).is_ok();
    if configured {
        layers.push(Layer::read(default)?);
    }
    if let Some(path) = host.config.as_deref().filter(|path| !configured || *path != default) {
        layers.push(Layer::read(path)?);
    }
    // Files hold absolute paths, so an argument is compared as one.
    let path = |path: &Option<PathBuf>| match path {
        Some(path) if !layers.is_empty() => std::path::absolute(path)
            .map(Some)
            .map_err(|error| Failure::new(Exit::Unknown, error).context(format!("`{}` is no path", path.display()))),
        path => Ok(path.clone()),
    };
    let settings = Settings {
        audit: path(&change.and_then(|change| change.audit.clone()))?,
        bundle: path(&bundle.and_then(|bundle| bundle.bundle.clone()))?,
        credentials: path(&host.credentials)?,
        database: host.database.clone(),
        environment: host.environment.clone(),
        identity: path(&host.identity)?,
        identity_credential: host.identity_credential.clone(),
        credentials_directory: None,
        lock_wait: change.and_then(|change| change.lock_wait),
        project: host.project.clone(),
        record_key: path(&change.and_then(|change| change.record_key.clone()))?,
        role: host.role.clone(),
        root_min_version: None,
        root_sha256: host.root_sha256,
        state: path(&host.state)?,
        trust: path(&host.trust)?,
        url: host.url.clone(),
    };
    layers.push(Layer { source: "the arguments".to_owned(), settings });
    let mut settings = config::settle(&layers)?;
    if configured {
        settings.audit.get_or_insert_with(|| AUDIT.into());
        settings.state.get_or_insert_with(|| STATE.into());
    }
    Ok(settings)
}

/// Verifies trust and bundle, and says so when the root is about to expire.
fn accept<'h>(host: &'h Host, process: &mut Process<'_>) -> Result<Accepted<'h>, Failure> {
    let accepted = host.accept((process.clock)())?;
    if let Some(warning) = accepted.trust().warning() {
        process.warn(warning);
    }
    Ok(accepted)
}

fn caller<'c>(host: &Host, around: &Surroundings, process: &Process<'c>) -> Caller<'c> {
    let operator = around.operator.clone();
    Caller { clock: process.clock, operator, lock_wait: host.lock_wait(), known: None, permit: None }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let (exit, hint) = match &error {
            ConfigError::File { source, .. } => (file_exit(source), source.hint()),
            ConfigError::Text { .. } => (Exit::Unknown, None),
            ConfigError::Relative { .. } => (Exit::Unknown, Some("write the whole path, from `/` on".to_owned())),
            ConfigError::Conflict { .. } => (
                Exit::Unknown,
                Some(
                    "a host is configured by its own file; leave the argument out, or let root change the file"
                        .to_owned(),
                ),
            ),
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

/// A file that cannot be read may be there next time; one that somebody else could have written is refused.
fn file_exit(error: &FileError) -> Exit {
    if matches!(error, FileError::Io { .. }) { Exit::Unknown } else { Exit::No }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let say = |text: &str| Some(text.to_owned());
        let (exit, hint) = match &error {
            HostError::Missing { key: "audit" } => (
                Exit::Unknown,
                say("every change is audited: name the log with `--audit FILE`, or as `audit` in the configuration"),
            ),
            HostError::Missing { key: "identity" } => (
                Exit::Unknown,
                say(
                    "give the age identity of this host with `--identity FILE`, `--identity-fd N` or `--identity-credential NAME`",
                ),
            ),
            HostError::Missing { key: "trust" } => (
                Exit::Unknown,
                say("sealed credentials are verified first, which needs `--trust DIR` and its pinned digest"),
            ),
            HostError::Missing { key } => {
                (Exit::Unknown, Some(format!("give it as `--{key}`, or as `{key}` in the configuration")))
            }
            HostError::Both { .. } => (Exit::Unknown, say("leave one of the two out")),
            HostError::NoDatabase => (
                Exit::Unknown,
                say(
                    "give `--credentials FILE --identity FILE --database NAME`, or `--url sqlite:PATH` where there is no secret",
                ),
            ),
            HostError::Url(_) => (Exit::Unknown, say(UrlError::HINT)),
            HostError::NoCredentials { .. } => {
                (Exit::Unknown, say("run this as a systemd service with `LoadCredential=`, or give `--identity FILE`"))
            }
            HostError::Password => {
                (Exit::Unknown, say("seal the URL with `sealift-keys credentials seal`, and give `--credentials`"))
            }
            HostError::Reserved { .. } => {
                (Exit::Unknown, say("`dev` belongs to `sealift-bundler dev`, `rehearsal` to rehearsals"))
            }
            HostError::Clock(_) => (Exit::Unknown, say("set the clock of this host")),
            HostError::State(StateError::File { source, .. }) => (file_exit(source), source.hint()),
            HostError::State(StateError::Write { .. }) => (
                Exit::Unknown,
                say("nothing was changed; its folder must exist and be writable for the user who runs this"),
            ),
            HostError::State(_) => {
                (Exit::Unknown, say("restore it; or, once `root-min-version` names the newest root, remove it"))
            }
            HostError::Bundle(source) | HostError::Sealed(source) => (file_exit(source), source.hint()),
            HostError::Trust(_) => return trust(error),
            HostError::Rejected { source, .. } => (Exit::No, source.hint().map(str::to_owned)),
            HostError::RejectedCredentials { source, .. } => (Exit::No, source.credentials_hint().map(str::to_owned)),
            HostError::Payload { .. } => (Exit::No, None),
            HostError::Credentials { source, .. } => credentials(source),
        };
        Self { hint, ..Self::new(exit, error) }
    }
}

/// The trust root speaks for itself, with the words of the verifier.
fn trust(error: HostError) -> Failure {
    match error {
        HostError::Trust(source) => source.into(),
        other => Failure::new(Exit::No, other),
    }
}

fn credentials(error: &CredentialsError) -> (Exit, Option<String>) {
    let say = |text: &str| Some(text.to_owned());
    match error {
        CredentialsError::File(source) => (file_exit(source), source.hint()),
        CredentialsError::Descriptor { .. } => {
            (Exit::Unknown, say("open it for the runner, as in `--identity-fd 3 3<FILE`"))
        }
        CredentialsError::Terminal { .. } => (Exit::Unknown, say("give a file or a pipe")),
        CredentialsError::Kind { .. } | CredentialsError::Line { .. } | CredentialsError::Empty { .. } => {
            (Exit::No, say("make one with `sealift-keys identity` or `age-keygen`"))
        }
        CredentialsError::Recipient { .. } => {
            (Exit::No, say("seal them again to the recipient that `sealift-keys identity` printed for this host"))
        }
        CredentialsError::NotForUs { .. } => {
            (Exit::No, say("give the identity of this host, or let the credentials be sealed to it too"))
        }
        CredentialsError::Database { .. } => (Exit::No, say("give one of these names with `--database`")),
        CredentialsError::Serial { .. } => (Exit::No, say("bring the newest sealed credentials to this host")),
        CredentialsError::Damaged { .. }
        | CredentialsError::Secrets(_)
        | CredentialsError::Missing { .. }
        | CredentialsError::Url(_)
        | CredentialsError::Endpoint { .. }
        | CredentialsError::Ca { .. } => {
            (Exit::No, say("whoever signed these credentials sealed something else: let them be sealed again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("sealift-runner").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_argument_is_explained() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", verb.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn going_back_needs_a_goal_and_goals_exclude_each_other() {
        for line in ["revert", "revert --to 1 --steps 2", "apply --to 1 --steps 2", "apply --steps 0", "plan --audit x"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        let Ok(Cli { command: Command::Revert { back, .. }, .. }) = parse("revert --steps 2") else { panic!() };
        assert_eq!(back.goal(), Goal::Revert(Back::Steps(NonZeroUsize::new(2).unwrap())));
    }

    #[test]
    fn the_configuration_of_a_host_stands_above_its_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let default = folder.path().join("runner.toml");
        let other = folder.path().join("other.toml");
        let settings = |line: &str| {
            let Ok(Cli { command: Command::Apply { bundle, host, change, .. }, .. }) = parse(line) else {
                panic!("{line}")
            };
            settle(&host, Some(&bundle), Some(&change), &default)
        };
        let said = |failure: Failure| (failure.exit, failure.error.to_string());
        // Nothing is configured: arguments are all there is.
        assert_eq!(settings("apply --bundle a.sealift").unwrap().bundle, Some("a.sealift".into()));
        assert_eq!(settings("apply").unwrap().audit, None);

        std::fs::write(&default, "project = \"orders\"\nbundle = \"/srv/a.sealift\"\nlock-wait = 30\n").unwrap();
        let configured = settings("apply --project orders --environment production --lock-wait 90").unwrap();
        assert_eq!(configured.bundle, Some("/srv/a.sealift".into()));
        assert_eq!((configured.lock_wait, configured.state), (Some(30), Some(STATE.into())));
        assert_eq!(configured.audit, Some(AUDIT.into()));
        assert_eq!(
            said(settings("apply --project other").unwrap_err()),
            (Exit::Unknown, format!("`project` is `orders` in `{}`, but `other` in the arguments", default.display()))
        );
        // A relative argument is the same file when it leads there.
        let here = std::env::current_dir().unwrap();
        std::fs::write(&default, format!("bundle = {:?}\n", here.join("a.sealift"))).unwrap();
        assert!(settings("apply --bundle a.sealift").is_ok());

        std::fs::write(&other, "bundle = \"/srv/b.sealift\"\n").unwrap();
        let line = format!("apply --config {}", other.display());
        assert!(said(settings(&line).unwrap_err()).1.contains("/srv/b.sealift"));
        std::fs::write(&other, "environment = \"production\"\n").unwrap();
        assert_eq!(settings(&line).unwrap().environment.unwrap().as_str(), "production");
    }
}
