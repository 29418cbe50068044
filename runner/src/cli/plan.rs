//! `sealift-runner plan`, and `--dry-run` of `apply` and `revert`.

use sealift_spec::action::Action;
use sealift_spec::manifest::{Direction, Kind, Mode};
use sealift_spec::name::{Person, UnitId};
use sealift_spec::text::{Plain, Source};
use sealift_verifier::report::{Exit, Failure, Process};
use serde_json::{Value, json};

use super::{Surroundings, accept, caller};
use crate::host::{Accepted, Host};
use crate::plan::{Goal, Plan, Step};
use crate::run::{self, Caller};
use crate::runtime::block_on;

pub(super) fn run(host: &Host, goal: &Goal, around: &Surroundings, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let accepted = accept(host, process)?;
    let opened = accepted.open()?;
    let caller = Caller { known: accepted.known().cloned(), ..caller(host, around, process) };
    let plan = block_on(run::plan(opened.target, accepted.bundle(), accepted.trust(), goal, &caller))??;
    show(&accepted, &plan, process);
    Ok(Exit::Done)
}

fn show(accepted: &Accepted<'_>, plan: &Plan<'_>, process: &mut Process<'_>) {
    let release = accepted.bundle().release();
    let verb = plan.action().to_string();
    let count = plan.steps().len();
    let back = plan.steps().iter().filter(|step| step.work().direction() == Direction::Down).count();
    let what = match (plan.action(), back) {
        // An earlier target: first back, then on.
        (Action::Apply, 1..) => format!("revert {back} and apply {}", count - back),
        (Action::Rebind, _) => format!("{verb} database {} without running any of its", plan.database()),
        _ => format!("{verb} {count}"),
    };
    process.say(format_args!(
        "{what} {} under release {} `{}` (digest {})",
        migrations(count),
        plan.under().sequence,
        release.statement().name,
        plan.under().release.short()
    ));
    if plan.first_use() && plan.action() == Action::Apply {
        let (project, environment) = (&release.statement().project, release.environment());
        process.say(format_args!(
            "the database has never been used; it will be bound to project {project}, environment {environment}"
        ));
    }
    process.data("plan", &plan.document(accepted.bundle()));
    process.data(
        "summary",
        &json!({
            "action": plan.action(), "ahead": plan.ahead(), "environment": release.environment(),
            "firstUse": plan.first_use(), "head": plan.head(), "held": plan.held(), "left": plan.left(),
            "project": release.statement().project, "release": plan.under().release, "root": plan.under().root,
            "sequence": plan.under().sequence, "steps": count,
        }),
    );
    for (index, step) in plan.steps().iter().enumerate() {
        let reviewers = accepted.bundle().reviewers(step.id());
        let reviewers: Vec<_> = reviewers.iter().map(Person::as_str).collect();
        show_step(index + 1, step, &reviewers, process);
    }
    remarks(plan, process);
}

fn show_step(number: usize, step: &Step<'_>, reviewers: &[&str], process: &mut Process<'_>) {
    let work = step.work();
    let (unit, script) = (work.unit(), work.script());
    let mode = mode(script.mode);
    process.say("");
    process.say(format_args!(
        "{number}. {} {}  {} in {mode} mode, {}",
        unit.id,
        unit.name,
        work.direction(),
        script.file
    ));
    if !reviewers.is_empty() {
        process.say(format_args!("-- reviewed by {}", reviewers.join(", ")));
    }
    if let Some(resume) = step.resume() {
        process.say(format_args!("-- interrupted after {}", sealift_spec::text::Count(resume.done, "statement")));
    }
    for (index, (range, statement)) in work.statements().enumerate() {
        let (number, sql) = (index + 1, work.sql()[range].trim_matches('\n'));
        if statement.kind != Kind::Skip {
            let lock = statement.lock.as_deref().unwrap_or("unknown");
            process.say(format_args!("-- {number}: {}, lock {}", kind(statement.kind), Plain(lock)));
        } else if sql.trim().is_empty() {
            continue;
        } else {
            process.say(format_args!("-- {number}: not sent"));
        }
        process.say(Source(sql));
    }
    let statements: Vec<Value> = work
        .statements()
        .map(|(range, statement)| json!({ "kind": statement.kind, "lock": statement.lock, "sql": work.sql()[range] }))
        .collect();
    process.data(
        "step",
        &json!({
            "direction": work.direction(), "file": script.file, "id": unit.id, "mode": script.mode, "name": unit.name,
            "number": number, "reviewers": reviewers, "resume": step.resume().map(|resume| resume.done), "sha256": script.sha256,
            "statements": statements, "unit": step.subject().digest,
        }),
    );
}

/// What a plan leaves out, and why.
fn remarks(plan: &Plan<'_>, process: &mut Process<'_>) {
    if plan.ahead() && plan.is_empty() {
        process.note("nothing to do: the database is ahead of this release");
    } else if plan.is_nothing() && plan.held().is_empty() {
        process.note("nothing to do: everything is applied");
    }
    if plan.left() > 0 {
        process.note(format_args!("{} more {} would stay pending", plan.left(), migrations(plan.left())));
    }
    if plan.action() == Action::Apply {
        held(plan.held(), process);
    }
}

/// Says which migrations stay reverted.
pub(super) fn held(held: &[UnitId], process: &mut Process<'_>) {
    if !held.is_empty() {
        let ids: Vec<_> = held.iter().map(|id| id.as_str()).collect();
        process.warn(format_args!(
            "{} {} held, because reverted under this release or a later one; a release with a higher sequence applies: {}",
            held.len(),
            if held.len() == 1 { "migration is" } else { "migrations are" },
            ids.join(", ")
        ));
    }
}

pub(super) fn migrations(count: usize) -> &'static str {
    if count == 1 { "migration" } else { "migrations" }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Transaction => "transaction",
        Mode::Statements => "statements",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Ddl => "ddl",
        Kind::Dml => "dml",
        Kind::Session => "session",
        Kind::Concurrent => "concurrent",
        Kind::Opaque => "opaque",
        Kind::Copy => "copy",
        Kind::Skip => "skip",
        Kind::Group => "group",
    }
}
