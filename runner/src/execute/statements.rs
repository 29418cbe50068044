//! Statements mode: each boundary recorded, an interrupted script continued (`history.md` section 8).
//!
//! Before a statement that cannot share a transaction with a row, the history says that it is in flight. After a crash or
//! a lost connection a statement in flight is settled by its signed probe, or not at all.

use sealift_spec::history::{Happening, Under};
use sealift_spec::manifest::{Expect, Kind};
use tokio::time::sleep;

use crate::engine::{Engine, Finding, StepError};
use crate::execute::{Doubt, Entry, ExecuteError, Executor, Patience, StatementName, failed};
use crate::plan::Step;
use crate::run::Notice;
use crate::work::{Place, Work};

/// Whether the connection is still there; if not, with the row that was on its way when it went.
enum Link {
    Up,
    Lost(Option<Box<Entry>>),
}

impl<E: Engine> Executor<'_, E> {
    pub(super) async fn statements(
        &mut self,
        step: &Step<'_>,
        under: &Under,
        end: Happening,
    ) -> Result<(), ExecuteError> {
        let work = step.work();
        if self.lock.history.running().is_none() {
            self.write(Happening::Started {
                direction: work.direction(),
                script: work.script().sha256,
                unit: step.subject().clone(),
                under: under.clone(),
            })
            .await?;
        }
        let mut losses = 0;
        while let Link::Lost(entry) = self.pass(work).await? {
            // The row that was on its way may have arrived, so what was in flight is asked of the history afterwards.
            let (done, next) = self.progress();
            let index = next.unwrap_or(done) as usize;
            let gave_up = |source| unsettled(work, index, Doubt::Disconnected(source));
            self.recover(entry.as_deref(), gave_up).await?;
            let (done, next) = self.progress();
            losses += 1;
            let touched = next.is_some() || effects(work, done) > 0;
            let given_up = self.lock.history.running().is_none();
            if given_up || losses > 2 || (touched && work.script().not_resumable) {
                let index = next.unwrap_or(done) as usize;
                return Err(self.part(work, index, None, StepError::Lost("once too often".into())));
            }
        }
        match self.write(end).await {
            Err(ExecuteError::Record(error)) => {
                let last = work.script().statements.len().saturating_sub(1);
                Err(unsettled(work, last, Doubt::Unrecorded(error)))
            }
            result => result,
        }
    }

    /// How far history says the script has come.
    fn progress(&self) -> (u64, Option<u64>) {
        self.lock.history.running().map_or((0, None), |running| (running.done, running.next))
    }

    /// Runs what is left of a script, in a session that is made ready for it first.
    async fn pass(&mut self, work: &Work<'_>) -> Result<Link, ExecuteError> {
        let (done, next) = self.progress();
        let mut at = next.unwrap_or(done) as usize;
        match self.lock.engine.reset(work).await {
            Ok(()) => {}
            Err(StepError::Lost(_)) => return Ok(Link::Lost(None)),
            Err(error) => return self.failed(work, at, error).await,
        }
        for (index, (_, statement)) in work.statements().enumerate().take(at) {
            if statement.kind == Kind::Session {
                match self.lock.engine.statement(work, index, None).await {
                    Ok(()) => {}
                    Err(StepError::Lost(_)) => return Ok(Link::Lost(None)),
                    Err(error) => return Err(self.part(work, at, None, error)),
                }
            }
        }
        if next.is_some() && self.settle(work, at).await? {
            at += 1;
        }
        let total = work.script().statements.len() as u64;
        while let Some((_, statement)) = work.statement(at) {
            if statement.kind != Kind::Skip {
                self.observer.notice(Notice::Statement { unit: work.unit(), number: at as u64 + 1, total });
                if let lost @ Link::Lost(_) = self.one(work, at, statement.kind).await? {
                    return Ok(lost);
                }
            }
            at += 1;
        }
        Ok(Link::Up)
    }

    /// Runs one statement.
    async fn one(&mut self, work: &Work<'_>, at: usize, kind: Kind) -> Result<Link, ExecuteError> {
        let mut patience = Patience::new();
        let shares = kind != Kind::Session && self.lock.engine.shares_transaction(kind);
        let flies = kind != Kind::Session && !shares;
        // If the one before was in flight it has landed, and that must be known before this one runs.
        if flies || self.progress().1.is_some() {
            let next = flies.then_some(at as u64);
            if let lost @ Link::Lost(_) = self.record_progress(done(work, at), next).await? {
                return Ok(lost);
            }
        }
        loop {
            let entry = shares
                .then(|| self.entry(Happening::Progress { done: at as u64 + 1, next: None, permit: self.permit }));
            match self.lock.engine.statement(work, at, entry.as_ref().map(|entry| &entry.row)).await {
                Ok(()) => {
                    if let Some(entry) = entry {
                        self.took(entry)?;
                    }
                    return Ok(Link::Up);
                }
                Err(StepError::Lost(_)) => return Ok(Link::Lost(entry.map(Box::new))),
                Err(StepError::RolledBack(sql)) => match patience.again(&sql) {
                    Some(pause) => {
                        let (unit, tries) = (work.unit(), patience.tries);
                        self.observer.notice(Notice::Retry { unit, error: &sql, tries, pause });
                        sleep(pause).await;
                    }
                    None => return self.failed(work, at, StepError::RolledBack(sql)).await,
                },
                Err(remains) => return Err(unsettled(work, at, Doubt::Remains(remains))),
            }
        }
    }

    async fn record_progress(&mut self, done: u64, next: Option<u64>) -> Result<Link, ExecuteError> {
        let entry = self.entry(Happening::Progress { done, next, permit: self.permit });
        match self.lock.engine.record(&entry.row).await {
            Ok(()) => self.took(entry).map(|()| Link::Up),
            Err(StepError::Lost(_)) => Ok(Link::Lost(Some(Box::new(entry)))),
            Err(error) => Err(ExecuteError::Record(error)),
        }
    }

    /// Whether the statement in flight has run.
    async fn settle(&mut self, work: &Work<'_>, index: usize) -> Result<bool, ExecuteError> {
        let doubt = |doubt| Err(unsettled(work, index, doubt));
        let Some(probe) = work.statement(index).and_then(|(_, statement)| statement.probe.as_ref()) else {
            return doubt(Doubt::NoProbe);
        };
        let finding = match self.lock.engine.probe(probe).await {
            Ok(finding) => finding,
            Err(error) => return doubt(Doubt::Probe(error)),
        };
        match (probe.expect, finding) {
            (Expect::Present | Expect::Valid, Finding::Present) | (Expect::Absent, Finding::Absent) => Ok(true),
            (Expect::Present | Expect::Valid, Finding::Absent) => Ok(false),
            // DROP INDEX CONCURRENTLY first makes the index invalid; it is simply dropped again.
            (Expect::Absent, Finding::Present | Finding::Invalid) => Ok(false),
            (_, finding) => doubt(finding.into()),
        }
    }

    /// A statement failed and was rolled back: says so in the history, so that nothing is in flight.
    async fn failed(&mut self, work: &Work<'_>, index: usize, error: StepError) -> Result<Link, ExecuteError> {
        let done = done(work, index);
        match self.record_progress(done, None).await {
            Ok(Link::Up) => {}
            Ok(lost) => return Ok(lost),
            Err(ExecuteError::Record(error)) => return Err(unsettled(work, index, Doubt::Unrecorded(error))),
            Err(error) => return Err(error),
        }
        let place = match &error {
            StepError::RolledBack(sql) => sql.offset.map(|offset| work.place(offset)),
            _ => None,
        };
        if done > 0 {
            return Err(self.part(work, index, place, error));
        }
        Err(failed(work, place.or_else(|| work.words(index).map(|(place, _)| place)), 1, error))
    }

    fn part(&self, work: &Work<'_>, index: usize, place: Option<Place>, source: StepError) -> ExecuteError {
        let (id, direction) = (work.unit().id.clone(), work.direction());
        let index = index.min(work.script().statements.len().saturating_sub(1));
        match StatementName::of(work, index) {
            Some(statement) => {
                let statement = Box::new(statement);
                let resumable = !work.script().not_resumable;
                ExecuteError::PartApplied { id, direction, statement, place, resumable, source }
            }
            None => failed(work, place, 1, source),
        }
    }
}

/// How many of the first `done` statements have had an effect that outlives the session.
fn effects(work: &Work<'_>, done: u64) -> usize {
    let first = work.script().statements.iter().take(done as usize);
    first.filter(|statement| !matches!(statement.kind, Kind::Skip | Kind::Session)).count()
}

/// How many statements have run once everything before `at` has. While none has had an effect, none counts: the script
/// may then be given up for another one.
fn done(work: &Work<'_>, at: usize) -> u64 {
    if effects(work, at as u64) == 0 { 0 } else { at as u64 }
}

fn unsettled(work: &Work<'_>, index: usize, source: Doubt) -> ExecuteError {
    let (id, direction) = (work.unit().id.clone(), work.direction());
    match StatementName::of(work, index) {
        Some(statement) => ExecuteError::Unsettled { id, direction, statement: Box::new(statement), source },
        None => failed(work, None, 1, StepError::Lost(source.into())),
    }
}
