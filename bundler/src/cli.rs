//! The command line of `sealift-bundler`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use sealift_keys::cli::signer;
use sealift_spec::name::UnitId;
use sealift_verifier::cli::usage;
use sealift_verifier::report::{Exit, Failure, Process};

use crate::pack::PackError;
use crate::project::{Project, ProjectError};
use crate::review::ReviewError;
use crate::source::{self, SourceError};
use crate::unit::{self, Draft, UnitError};

mod dev;
mod init;
mod new;
mod pack;
mod review;
mod show;
mod sign;
mod status;

/// Packs reviewed SQL migrations into one signed bundle, and runs them on local databases while they are written.
///
/// Exit status: 0 done, 1 refused or failed and rolled back, 2 could not tell (usage, unreadable files, unreachable
/// database), 3 a migration was interrupted and an operator must look.
#[derive(Parser)]
#[command(name = "sealift-bundler", version, max_term_width = 100)]
struct Cli {
    /// Print data as JSON Lines, `{"data":..,"type":..}` each
    #[arg(long, global = true)]
    json: bool,
    /// Work in this folder instead of the current one
    #[arg(long, short = 'C', global = true, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a project: a commented sealift.toml and a first migration
    Init(init::Init),
    /// Make the files of the next migration
    New(new::New),
    /// List the migrations, their modes, and who has reviewed them
    Status(status::Status),
    /// Show one migration as it would run: statements, kinds, locks, timeouts
    Show(show::Show),
    /// Read migrations, answer the checklist and sign
    Review(review::Review),
    /// Pack the migrations and their reviews into a bundle
    Pack(pack::Pack),
    /// Add a signature to a bundle
    Sign(sign::Sign),
    /// Run the migrations on a local database while you write them: no keys, no ceremony
    #[command(subcommand)]
    Dev(dev::Dev),
}

/// Runs one command and returns its exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>, process: &mut Process<'_>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, process),
    };
    process.json = cli.json;
    let folder = &cli.directory;
    let result = match &cli.command {
        Command::Init(arguments) => init::run(arguments, folder, process),
        Command::New(arguments) => new::run(arguments, folder, process),
        Command::Status(arguments) => status::run(arguments, folder, process),
        Command::Show(arguments) => show::run(arguments, folder, process),
        Command::Review(arguments) => review::run(arguments, folder, process),
        Command::Pack(arguments) => pack::run(arguments, folder, process),
        Command::Sign(arguments) => sign::run(arguments, process),
        Command::Dev(arguments) => dev::run(arguments, folder, process),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => process.fail(&failure),
    }
}

/// The project of a folder and its units, with everything that was noticed on the way said.
fn load(folder: &Path, process: &mut Process<'_>) -> Result<(Project, Vec<Draft>), Failure> {
    let project = Project::find(folder)?;
    let set = source::read(&project.migrations)?;
    for name in &set.ignored {
        process.note(format_args!("note: `{}` is no migration and is left alone", sealift_spec::text::Plain(name)));
    }
    let drafts = unit::draft(set, &project)?;
    Ok((project, drafts))
}

/// Says what the drafts warn of.
fn warn(drafts: &[Draft], process: &mut Process<'_>) {
    for (file, line, text) in drafts.iter().flat_map(|draft| &draft.warnings) {
        process.warn(format_args!("{file}:{line}: {text}"));
    }
}

/// A number of migrations, in words.
fn migrations(count: usize) -> String {
    sealift_spec::text::Count(count as u64, "migration").to_string()
}

/// The drafts of the ids given, in order; all of them where none is given.
fn select<'d>(drafts: &'d [Draft], ids: &[UnitId]) -> Result<Vec<&'d Draft>, Failure> {
    if ids.is_empty() {
        return Ok(drafts.iter().collect());
    }
    let find = |id: &UnitId| {
        drafts.iter().find(|draft| draft.unit.id == *id).ok_or_else(|| {
            let text = format!("there is no migration `{id}`");
            Failure::new(Exit::Unknown, text).hint("list them with `sealift-bundler status`")
        })
    };
    ids.iter().map(find).collect()
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let exit = Exit::Unknown;
        match &error {
            ProjectError::Missing { .. } => Self::new(exit, error).hint("start a project with `sealift-bundler init`"),
            ProjectError::Setting { flavour, .. } => {
                let names: Vec<_> = sealift_spec::baseline::defaults(*flavour).into_keys().collect();
                let hint = format!("the settings are {}", names.join(", "));
                Self::new(exit, error).hint(hint)
            }
            _ => Self::new(exit, error),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let exit = if matches!(error, SourceError::Io { .. }) { Exit::Unknown } else { Exit::No };
        let hint = error.hint();
        Self { hint, ..Self::new(exit, error) }
    }
}

impl From<UnitError> for Failure {
    fn from(error: UnitError) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::new(Exit::No, error) }
    }
}

impl From<ReviewError> for Failure {
    fn from(error: ReviewError) -> Self {
        let exit = if matches!(error, ReviewError::Io { .. }) { Exit::Unknown } else { Exit::No };
        Self::new(exit, error)
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        Self::new(Exit::No, error)
    }
}
