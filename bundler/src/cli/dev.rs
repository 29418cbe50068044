//! `sealift-bundler dev`: local development through the runner's engines.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealift_runner::cli::progress::Progress;
use sealift_runner::engine::{EngineError, Target};
use sealift_runner::operator::Operator;
use sealift_runner::plan::{Back, Goal, PlanError, Reach};
use sealift_runner::run::{self, Caller, RunError};
use sealift_runner::runtime;
use sealift_spec::endpoint::{ConnectionUrl, Endpoint, UrlError};
use sealift_spec::history::History;
use sealift_spec::name::UnitId;
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::json;

use crate::dev;
use crate::project::Project;
use crate::unit::Draft;

#[derive(Subcommand)]
pub(super) enum Dev {
    /// Apply what is pending
    Up(Up),
    /// Revert the newest migration, or several
    Down(Down),
    /// Revert the newest migration and apply it again, as it is now
    Redo(Local),
    /// Empty the database, whatever is in it, and apply everything
    Reset(Local),
    /// Show what is applied and what is pending
    Status(Local),
}

#[derive(Args)]
pub(super) struct Local {
    /// The database: sqlite:FILE, postgresql://USER@HOST/DB or mysql://USER@HOST/DB; a file, a socket or this machine.
    /// It must be empty, or have been used with `dev` before
    #[arg(long)]
    url: String,
}

#[derive(Args)]
pub(super) struct Up {
    #[command(flatten)]
    local: Local,
    /// Up to this migration
    #[arg(long, value_name = "ID", conflicts_with = "steps")]
    to: Option<UnitId>,
    /// So many migrations
    #[arg(long, value_name = "N")]
    steps: Option<NonZeroUsize>,
}

#[derive(Args)]
pub(super) struct Down {
    #[command(flatten)]
    local: Local,
    /// Down to this migration, which stays
    #[arg(long, value_name = "ID", conflicts_with = "steps")]
    to: Option<UnitId>,
    /// So many migrations
    #[arg(long, value_name = "N", default_value = "1")]
    steps: NonZeroUsize,
}

pub(super) fn run(command: &Dev, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let (project, drafts) = super::load(folder, process)?;
    super::warn(&drafts, process);
    let (local, goals) = match command {
        Dev::Status(local) => return status(local, &project, &drafts, process),
        Dev::Up(Up { local, to, steps }) => {
            let reach = match (to, steps) {
                (Some(id), _) => Reach::To(id.clone()),
                (None, Some(steps)) => Reach::Steps(*steps),
                (None, None) => Reach::Target,
            };
            (local, vec![Goal::Apply(reach)])
        }
        Dev::Down(Down { local, to, steps }) => {
            let back = to.clone().map_or(Back::Steps(*steps), Back::To);
            (local, vec![Goal::Revert(back)])
        }
        Dev::Redo(local) => (local, vec![Goal::Revert(Back::Steps(NonZeroUsize::MIN)), Goal::Apply(Reach::Target)]),
        Dev::Reset(local) => return reset(local, &project, &drafts, process),
    };
    let mut exit = Exit::Done;
    for goal in goals {
        exit = change(local, &project, &drafts, &goal, process)?;
    }
    Ok(exit)
}

/// The database, which must be on this machine.
fn target(local: &Local, project: &Project) -> Result<Target, Failure> {
    let url =
        ConnectionUrl::parse(&local.url).map_err(|error| Failure::new(Exit::Unknown, error).hint(UrlError::HINT))?;
    if !url.endpoint.is_local() {
        let text = format!("`{}` is another machine, and `dev` runs unreviewed SQL", url.endpoint);
        return Err(Failure::new(Exit::No, text).hint("use a file, a socket or a server on this machine"));
    }
    if url.endpoint.engine() != project.flavour.engine() {
        let text = format!("the URL is for {}, the project is written for {}", url.endpoint.engine(), project.flavour);
        return Err(Failure::new(Exit::No, text).hint("give the URL of a database that the project is written for"));
    }
    Ok(Target { url, ca: None, role: None, id: None })
}

fn history(local: &Local, project: &Project) -> Result<Option<History>, Failure> {
    let target = target(local, project)?;
    // `history` takes a missing file for a mistake; here it is a database that `dev up` will make.
    if let Endpoint::File { path } = &target.url.endpoint
        && !Path::new(path).exists()
    {
        return Ok(None);
    }
    Ok(runtime::block_on(run::history(target))??.map(|(history, _)| history))
}

fn caller<'c>(clock: &'c dyn Fn() -> sealift_spec::Timestamp) -> Caller<'c> {
    Caller {
        clock,
        operator: Operator::of_this_process(),
        lock_wait: Duration::from_secs(10),
        known: None,
        permit: None,
    }
}

fn change(
    local: &Local,
    project: &Project,
    drafts: &[Draft],
    goal: &Goal,
    process: &mut Process<'_>,
) -> Result<Exit, Failure> {
    let clock = process.clock;
    // Every call is a release of its own, newer than all before it, so that nothing reverted stays held.
    let sequence = history(local, project)?.map_or(0, |history| history.sequence()) + 1;
    let (bundle, trust) =
        dev::bundle(project, drafts, sequence, clock()).map_err(|error| Failure::new(Exit::No, error))?;
    let target = target(local, project)?;
    let mut progress = Progress::new(process);
    let outcome = runtime::block_on(run::change(target, &bundle, &trust, goal, &caller(clock), None, &mut progress))?;
    drop(progress);
    let outcome = outcome.map_err(in_dev_words)?;
    for done in &outcome.done {
        let took = done.took.as_millis() as u64;
        process.data("done", &json!({ "id": done.id, "direction": done.direction, "milliseconds": took }));
    }
    let count = outcome.done.len();
    process.say(match (goal, count) {
        (Goal::Apply(_), 0) => "nothing is pending".to_owned(),
        (Goal::Revert(_), 0) => "nothing is applied".to_owned(),
        (Goal::Apply(_), _) => format!("applied {count}"),
        (Goal::Revert(_) | Goal::Rebind, _) => format!("reverted {count}"),
    });
    Ok(Exit::Done)
}

/// Production's hints speak of releases and reviews; at the desk a migration is mended, or the database begun again.
fn in_dev_words(error: RunError) -> Failure {
    let hint = match &error {
        RunError::Plan(PlanError::Edited { .. }) => {
            "run it again as it is now with `dev redo` (the newest), or begin again with `dev reset`"
        }
        RunError::Plan(PlanError::Unknown { .. }) => {
            "bring the file back and revert it with `dev down`, or begin again with `dev reset`"
        }
        RunError::Plan(PlanError::Project { .. } | PlanError::Environment { .. } | PlanError::Engine { .. })
        | RunError::NotEmpty => "give a database that is empty, or that `dev` made for this project",
        RunError::Plan(PlanError::NoSuchUnit { .. }) => "list the migrations with `sealift-bundler status`",
        RunError::Plan(PlanError::NotApplied { .. }) => "list what is applied with `dev status`",
        RunError::Plan(PlanError::NoDown { .. }) => "write a down script, or begin again with `dev reset`",
        RunError::Plan(PlanError::OutOfOrder { .. }) => {
            "give it a version after the applied ones, or begin again with `dev reset`"
        }
        RunError::Plan(_) => "mend the migrations, or begin again with `dev reset`",
        RunError::Engine(EngineError::Held { .. }) => "wait until the other run is done",
        RunError::Engine(EngineError::UnknownSetting { .. } | EngineError::Setting { .. }) => {
            "change [baseline] in `sealift.toml`"
        }
        RunError::Flavour { .. } => "give a server that `engine` in `sealift.toml` names",
        RunError::TooOld { .. } => "`min-version` in `sealift.toml` says which server the SQL needs",
        RunError::Stopped { .. } if error.exit() == Exit::Interrupted => {
            "mend the migration and begin again with `dev reset`: a part of it has run and cannot be rolled back"
        }
        RunError::Stopped { .. } => "mend the migration and run `dev up` again, or begin again with `dev reset`",
        _ => return error.into(),
    };
    Failure::from(error).hint(hint)
}

/// Empties the database and applies everything.
fn reset(local: &Local, project: &Project, drafts: &[Draft], process: &mut Process<'_>) -> Result<Exit, Failure> {
    if history(local, project)?.is_some() {
        let (clock, target) = (process.clock, target(local, project)?);
        let mut progress = Progress::new(process);
        let emptied = runtime::block_on(run::wipe(target, &project.name, &caller(clock), &mut progress))?;
        drop(progress);
        if emptied? {
            process.note("emptied the database");
        }
    }
    change(local, project, drafts, &Goal::Apply(Reach::Target), process)
}

fn status(local: &Local, project: &Project, drafts: &[Draft], process: &mut Process<'_>) -> Result<Exit, Failure> {
    let history = history(local, project)?.unwrap_or_default();
    for draft in drafts {
        let unit = &draft.unit;
        let applied = history.applied().iter().find(|applied| applied.unit.id == unit.id);
        let state = match applied {
            Some(applied) if applied.unit.up == unit.up.sha256 => "applied",
            Some(_) => "applied, edited since",
            None => "pending",
        };
        process.say(format_args!("{:<22} {} · {}", state, unit.id, unit.name));
        process.data("migration", &json!({ "id": unit.id, "name": unit.name, "state": state }));
    }
    for applied in history.applied() {
        if !drafts.iter().any(|draft| draft.unit.id == applied.unit.id) {
            process.say(format_args!("{:<22} {}", "applied, file is gone", applied.unit.id));
            process.data("migration", &json!({ "id": applied.unit.id, "state": "applied, file is gone" }));
        }
    }
    if let Some(running) = history.running() {
        process.say(format_args!("{:<22} {}", "interrupted", running.unit.id));
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use sealift_spec::manifest::{Direction, Flavour};

    use super::*;

    #[test]
    fn hints_at_the_desk_know_no_releases() {
        let id = || "1".parse().unwrap();
        let name = |text: &str| text.parse().unwrap();
        let mut errors: Vec<RunError> = [
            PlanError::Project { expected: name("a"), found: name("b") },
            PlanError::Environment { expected: name("dev"), found: name("production") },
            PlanError::OutOfOrder { id: id(), before: id() },
            PlanError::NoSuchUnit { id: id() },
            PlanError::NotApplied { id: id() },
            PlanError::NoDown { id: id(), file: "1.sql".to_owned() },
            PlanError::OtherWay { id: id(), direction: Direction::Up, done: 1 },
            PlanError::OtherWay { id: id(), direction: Direction::Down, done: 1 },
        ]
        .map(RunError::Plan)
        .into();
        errors.push(RunError::Engine(EngineError::UnknownSetting { name: "x".to_owned() }));
        errors.push(RunError::Flavour { expected: Flavour::Mariadb, found: Flavour::Mysql });
        for error in errors {
            let hint = in_dev_words(error).hint.unwrap().replace("sealift-bundler", "");
            for word in ["bundle", "pack", "release", "`apply`", "`revert", "review", "--out-of-order"] {
                assert!(!hint.contains(word), "{hint}");
            }
        }
    }
}
