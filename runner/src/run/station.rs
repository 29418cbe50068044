//! The stations of a run over any engine.

use sealift_spec::Digest;
use sealift_spec::audit::{Note, Result as End};
use sealift_spec::history::{Binding, History};
use sealift_spec::manifest::{Direction, Manifest};
use sealift_spec::name::{Label, Name};
use sealift_verifier::bundle::VerifiedBundle;
use sealift_verifier::listing::Evidence;
use sealift_verifier::trust::Trust;

use crate::audit::AuditLog;
use crate::clock;
use crate::engine::{Engine, Server};
use crate::execute::{Execution, Lock, LockError, execute, random};
use crate::permit::{self, NoPlan, NotPermitted};
use crate::plan::{Goal, Plan, PlanError, Reach, plan as make};
use crate::run::{Caller, Notice, Observer, Outcome, RunError, Status};

impl From<LockError> for RunError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Engine(source) => Self::Engine(source),
            LockError::History(source) => Self::History(source),
        }
    }
}

impl From<NotPermitted> for RunError {
    fn from(source: NotPermitted) -> Self {
        Self::NotPermitted(source)
    }
}

impl From<NoPlan> for RunError {
    fn from(error: NoPlan) -> Self {
        match error {
            NoPlan::Plan(source) => Self::Plan(source),
            NoPlan::NotPermitted(source) => Self::NotPermitted(source),
        }
    }
}

/// An engine, and the id that the database behind it must have, if the credentials name one.
pub(super) struct Place<E> {
    pub(super) engine: E,
    pub(super) id: Option<Label>,
}

pub(super) async fn plan<'b, E: Engine>(
    place: Place<E>,
    bundle: &'b VerifiedBundle,
    trust: &Trust,
    goal: &Goal,
    caller: &Caller<'_>,
) -> Result<Plan<'b>, RunError> {
    let Place { mut engine, id } = place;
    let (_, history) = look(&mut engine, bundle.manifest()).await?;
    recognise(id.as_ref(), caller, &history, goal)?;
    believe(caller, &history, None)?;
    let plan = make(bundle, trust, &history, goal)?;
    unused(&mut engine, &history).await?;
    engine.close().await;
    Ok(plan)
}

pub(super) async fn status<E: Engine>(
    place: Place<E>,
    bundle: &VerifiedBundle,
    trust: &Trust,
    caller: &Caller<'_>,
) -> Result<Status, RunError> {
    let Place { mut engine, id } = place;
    let (server, history) = look(&mut engine, bundle.manifest()).await?;
    recognise(id.as_ref(), caller, &history, &Goal::Apply(Reach::Target))?;
    believe(caller, &history, None)?;
    engine.close().await;
    let (plan, refusal) = match make(bundle, trust, &history, &Goal::Apply(Reach::Target)) {
        Ok(plan) => (Some(plan), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let steps = |direction| {
        let steps = plan.iter().flat_map(|plan| plan.steps()).filter(move |step| step.work().direction() == direction);
        steps.map(|step| step.id().clone()).collect()
    };
    Ok(Status {
        server,
        binding: history.binding().cloned(),
        applied: history.applied().to_vec(),
        pending: steps(Direction::Up),
        withdrawn: steps(Direction::Down),
        held: plan.iter().flat_map(|plan| plan.held()).cloned().collect(),
        running: history.running().cloned(),
        sequence: history.sequence(),
        refusal,
    })
}

pub(super) async fn history<E: Engine>(mut engine: E) -> Result<Option<(History, Vec<Evidence>)>, RunError> {
    engine.connect().await?;
    let Some(rows) = engine.history().await? else { return Ok(None) };
    let stored = engine.envelopes().await?;
    engine.close().await;
    // What is stored under no digest belongs to no event.
    let evidence = |(sha256, body): (String, String)| Some(Evidence { body, sha256: sha256.parse().ok()? });
    Ok(Some((History::read(rows)?, stored.into_iter().filter_map(evidence).collect())))
}

pub(super) async fn change<E: Engine>(
    place: Place<E>,
    bundle: &VerifiedBundle,
    trust: &Trust,
    goal: &Goal,
    caller: &Caller<'_>,
    mut audit: Option<&mut AuditLog>,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunError> {
    let Place { mut engine, id } = place;
    let release = bundle.release();
    let environment = release.environment();
    let permit = permit::demand(bundle, trust, caller.permit)?;
    if audit.is_none() && !environment.is_reserved_environment() {
        return Err(RunError::NoAudit);
    }
    engine.connect().await?;
    let server = engine.server().await?;
    judge(&server, bundle.manifest())?;
    if let Some(reason) = server.read_only {
        return Err(RunError::ReadOnly(reason));
    }
    let mut lock = Lock::take(engine, bundle.manifest().project(), caller.lock_wait, observer).await?;
    recognise(id.as_ref(), caller, lock.history(), goal)?;
    remember(audit.as_deref(), lock.history(), goal)?;
    // The second judgement of time: waiting for the lock may have taken a while.
    believe(caller, lock.history(), audit.as_deref())?;
    let (now, not_after) = ((caller.clock)(), release.statement().not_after.min(trust.expires()));
    if now >= not_after {
        return Err(RunError::Expired { not_after });
    }
    let plan = match permit {
        None => make(bundle, trust, lock.history(), goal)?,
        Some(permit) => {
            permit::fit(permit, goal.action(), lock.history(), now)?.plan(bundle, trust, lock.history(), goal)?
        }
    };
    if !plan.is_nothing() && plan.first_use() && lock.engine().has_objects().await? {
        return Err(RunError::NotEmpty);
    }
    let mut outcome = Outcome {
        action: plan.action(),
        binding: lock.history().binding().cloned(),
        done: Vec::new(),
        reached: plan.reaches().map(<[_]>::to_vec),
        held: plan.held().to_vec(),
        left: plan.left(),
        ahead: plan.ahead(),
    };
    if plan.is_nothing() {
        lock.release().await;
        return Ok(outcome);
    }
    observer.notice(Notice::Planned { plan: &plan });
    let run = random::<8>().ok_or(RunError::Random)?;
    if let Some(log) = audit.as_deref_mut() {
        let intent = intent(&plan, bundle);
        log.append((caller.clock)(), &caller.operator, &run, intent).map_err(RunError::Audit)?;
    }
    let Execution { done, end } = execute(plan, &mut lock, bundle, caller, &run, observer).await;
    let noted = match audit {
        Some(log) => {
            let result = match &end {
                Ok(()) => End::Done,
                Err(error) if error.exit() == sealift_verifier::report::Exit::Interrupted => End::Interrupted,
                Err(_) => End::Stopped,
            };
            let error = end.as_ref().err().map(chain);
            let ids = done.iter().map(|finished| finished.id.clone()).collect();
            let note = Note::Outcome { done: ids, error, head: lock.history().head(), result };
            log.append((caller.clock)(), &caller.operator, &run, note)
        }
        None => Ok(()),
    };
    outcome.binding = lock.history().binding().cloned();
    lock.release().await;
    match end {
        Err(source) => Err(RunError::Stopped { done, source: Box::new(source), unaudited: noted.err() }),
        Ok(()) => {
            noted.map_err(RunError::Unaudited)?;
            outcome.done = done;
            Ok(outcome)
        }
    }
}

/// Connects, judges the server and reads the history, without the lock.
async fn look<E: Engine>(engine: &mut E, manifest: &Manifest) -> Result<(Server, History), RunError> {
    engine.connect().await?;
    let server = engine.server().await?;
    judge(&server, manifest)?;
    let rows = engine.history().await?;
    Ok((server, History::read(rows.unwrap_or_default())?))
}

/// Whether the database is the one that the credentials were sealed for, and the one that this host has seen before. A
/// name in a network may lead to another one. Binding anew is for those that are not.
fn recognise(signed: Option<&Label>, caller: &Caller<'_>, history: &History, goal: &Goal) -> Result<(), RunError> {
    let found = history.binding().map(|binding| &binding.database);
    match (signed, &caller.known) {
        _ if *goal == Goal::Rebind => Ok(()),
        (Some(signed), _) if found != Some(signed) => {
            Err(RunError::OtherDatabase { signed: signed.clone(), found: found.cloned() })
        }
        (_, Some(known)) if found != Some(known) => {
            Err(RunError::UnknownDatabase { known: known.clone(), found: found.cloned() })
        }
        _ => Ok(()),
    }
}

fn judge(server: &Server, manifest: &Manifest) -> Result<(), RunError> {
    if server.flavour != manifest.flavour() {
        return Err(RunError::Flavour { expected: manifest.flavour(), found: server.flavour });
    }
    if server.version < *manifest.min_version() {
        let (needed, found) = (manifest.min_version().clone(), server.version.clone());
        return Err(RunError::TooOld { flavour: server.flavour, needed, found });
    }
    Ok(())
}

/// First use is only of a database without objects.
/// Empties a database that is bound to `dev`; `false` when it never was used.
pub(super) async fn wipe<E: Engine>(
    place: Place<E>,
    project: &Name,
    caller: &Caller<'_>,
    observer: &mut dyn Observer,
) -> Result<bool, RunError> {
    let Place { mut engine, .. } = place;
    engine.connect().await?;
    let mut lock = Lock::take(engine, project, caller.lock_wait, observer).await?;
    let history = lock.history().clone();
    let bound = match history.binding() {
        Some(Binding { environment, .. }) if environment.as_str() != DEV => {
            let (expected, found) = (dev_environment(), environment.clone());
            return Err(PlanError::Environment { expected, found }.into());
        }
        Some(_) => true,
        None => false,
    };
    if bound {
        lock.engine().wipe().await?;
    } else {
        unused(lock.engine(), &history).await?;
    }
    lock.release().await;
    Ok(bound)
}

/// The reserved environment of local databases.
const DEV: &str = "dev";

fn dev_environment() -> Name {
    match DEV.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}

async fn unused<E: Engine>(engine: &mut E, history: &History) -> Result<(), RunError> {
    if history.binding().is_none() && engine.has_objects().await? {
        return Err(RunError::NotEmpty);
    }
    Ok(())
}

/// Whether the history still holds what the audit log of this host knows of it. A chain alone does not show that its end is
/// missing. A restored copy is told by `rebind`, which gives it an id that the log does not know yet.
fn remember(audit: Option<&AuditLog>, history: &History, goal: &Goal) -> Result<(), RunError> {
    let known = history.binding().zip(audit).and_then(|(binding, audit)| {
        let first = || audit.knows_first(&history.events().first()?.run);
        audit.knows(&binding.database).or_else(first)
    });
    let holds = |head: Digest| history.head() == head || history.events().iter().any(|event| event.previous == head);
    match known.filter(|head| *goal != Goal::Rebind && !holds(*head)) {
        Some(head) => Err(RunError::Shortened { head }),
        None => Ok(()),
    }
}

/// Whether the clock can be believed beside what history and audit log say.
fn believe(caller: &Caller<'_>, history: &History, audit: Option<&AuditLog>) -> Result<(), RunError> {
    let now = (caller.clock)();
    clock::follow(now, history.events().last().map(|event| event.at), "history")?;
    clock::follow(now, audit.and_then(|log| log.head().at), "audit log")?;
    Ok(())
}

fn intent(plan: &Plan<'_>, bundle: &VerifiedBundle) -> Note {
    Note::Intent {
        action: plan.action(),
        database: plan.database().clone(),
        environment: bundle.release().environment().clone(),
        head: plan.head(),
        project: bundle.manifest().project().clone(),
        under: plan.under().clone(),
        units: plan.steps().iter().map(|step| step.id().clone()).collect(),
    }
}

/// An error with all its causes on one line.
fn chain(error: &crate::execute::ExecuteError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    cut(text)
}

/// As much of an error as a record takes: servers quote statements, which may be long.
fn cut(mut text: String) -> String {
    const LONGEST: usize = 16 * 1024;
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str(" .. (cut)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_errors_are_cut_between_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        let text = cut(format!("x{}", "\u{e9}".repeat(16 * 1024)));
        assert_eq!((text.len(), text.ends_with("\u{e9} .. (cut)")), (16 * 1024 - 1 + 9, true));
    }
}
