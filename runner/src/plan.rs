//! What a run would do: decided from a verified bundle and a history, and from nothing else (`history.md`
//! section 6).
//!
//! Pure: no database, no clock. A [`Plan`] borrows its bundle; its steps hold SQL of reviewed units only; it remembers the
//! head of the history it was made from and is stale once that has moved. Making one changes nothing and needs no lock, so
//! the same code answers `plan`, `--dry-run`, `apply` and `revert`. Whether a permit is for this plan is the business of
//! `permit`. What is not handled yet is refused here: an interrupted script whose unit is not exactly the one in the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use sealift_spec::action::Action;
use sealift_spec::envelope::Envelope;
use sealift_spec::history::{AppliedUnit, History, Running, Subject, Under};
use sealift_spec::manifest::{Direction, Kind, Manifest, Unit};
use sealift_spec::name::{Label, Name, UnitId};
use sealift_spec::plan::{PlanDocument, PlanStep};
use sealift_spec::statement::first_use;
use sealift_spec::{Digest, limit};
use sealift_verifier::bundle::{Reviewed, VerifiedBundle};
use sealift_verifier::permit::VerifiedPermit;
use sealift_verifier::trust::Trust;

pub use crate::plan::error::PlanError;
use crate::work::Work;

mod error;
#[cfg(test)]
mod tests;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Apply pending units.
    Apply(Reach),
    /// Revert applied units, the last applied first.
    Revert(Back),
    /// Give a clone or a restored copy an id of its own, and this environment.
    Rebind,
}

impl Goal {
    /// What it asks for, as plans and permits name it.
    pub fn action(&self) -> Action {
        match self {
            Self::Apply(_) => Action::Apply,
            Self::Revert(_) => Action::Revert,
            Self::Rebind => Action::Rebind,
        }
    }
}

/// How far to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// To the target of the manifest.
    Target,
    /// Up to this unit and everything it stands on.
    To(UnitId),
    /// So many units.
    Steps(NonZeroUsize),
}

/// How far to revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Back {
    /// Everything that was applied after this unit, which stays.
    To(UnitId),
    /// So many units.
    Steps(NonZeroUsize),
    /// Everything.
    All,
}

/// One script to run, and the unit as it will stand in the history.
pub struct Step<'b> {
    work: Work<'b>,
    subject: Subject,
    resume: Option<Resume>,
}

/// Where a statements-mode script was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// How many statements have run.
    pub done: u64,
    /// The statement that may or may not have run.
    pub next: Option<u64>,
}

impl<'b> Step<'b> {
    /// What runs.
    pub fn work(&self) -> &Work<'b> {
        &self.work
    }

    /// The unit as history names it.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Where it continues, if it was interrupted before.
    pub fn resume(&self) -> Option<Resume> {
        self.resume
    }

    /// The unit's id.
    pub fn id(&self) -> &'b UnitId {
        &self.work.unit().id
    }
}

/// What a run would do, in order.
pub struct Plan<'b> {
    pub(crate) action: Action,
    pub(crate) under: Under,
    pub(crate) head: Digest,
    pub(crate) first_use: bool,
    pub(crate) steps: Vec<Step<'b>>,
    /// Written as the last event.
    pub(crate) completes: Option<Vec<UnitId>>,
    /// The permit it is executed under.
    pub(crate) permit: Option<Envelope>,
    database: Label,
    reached: Option<Vec<UnitId>>,
    held: Vec<UnitId>,
    left: usize,
    ahead: bool,
}

impl<'b> Plan<'b> {
    /// Apply or revert.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The release, its sequence and the root that accepted it.
    pub fn under(&self) -> &Under {
        &self.under
    }

    /// The head of the history it was made from.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Whether the database has never been used and would be bound first.
    pub fn first_use(&self) -> bool {
        self.first_use
    }

    /// The scripts that would run, in order.
    pub fn steps(&self) -> &[Step<'b>] {
        &self.steps
    }

    /// Pending units that stay so because they were reverted, or stand on one that was; only a release with a higher
    /// sequence applies them again.
    pub fn held(&self) -> &[UnitId] {
        &self.held
    }

    /// Pending units that the goal leaves for later (`--to`, `--steps`), held ones not counted.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether the database is ahead of the bundle: a release with a higher sequence was here, and nothing is to be done.
    pub fn ahead(&self) -> bool {
        self.ahead
    }

    /// The heads that will have been reached when it is done, if it reaches the whole target.
    pub fn reaches(&self) -> Option<&[UnitId]> {
        self.reached.as_deref()
    }

    /// The id of the database, or `first-use`.
    pub fn database(&self) -> &Label {
        &self.database
    }

    /// The document that a permit authorises.
    pub fn document(&self, bundle: &VerifiedBundle) -> PlanDocument {
        let step = |step: &Step<'_>| PlanStep {
            direction: step.work.direction(),
            id: step.id().clone(),
            script: step.work.script().sha256,
            unit: step.subject.digest,
        };
        PlanDocument {
            action: self.action,
            database: self.database.clone(),
            environment: bundle.release().environment().clone(),
            head: self.head,
            project: bundle.manifest().project().clone(),
            release: self.under.release,
            schema: PlanDocument::schema(),
            steps: self.steps.iter().map(step).collect(),
        }
    }

    /// Whether the database gets a new id.
    pub fn rebinds(&self) -> bool {
        self.action == Action::Rebind
    }

    /// Whether no script would run. (The history may still note that a new release has reached its heads.)
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether executing it would write nothing at all.
    pub fn is_nothing(&self) -> bool {
        self.steps.is_empty() && self.completes.is_none() && !self.rebinds()
    }
}

/// Plans a run.
///
/// # Errors
/// [`PlanError`] with the first reason not to run.
pub fn plan<'b>(
    bundle: &'b VerifiedBundle,
    trust: &Trust,
    history: &History,
    goal: &Goal,
) -> Result<Plan<'b>, PlanError> {
    make(bundle, trust, history, goal, None)
}

/// Plans a run under a permit: what is left of it after so many scripts that are done.
///
/// # Errors
/// [`PlanError`] with the first reason not to run.
pub(crate) fn plan_under<'b>(
    bundle: &'b VerifiedBundle,
    trust: &Trust,
    history: &History,
    goal: &Goal,
    permit: &VerifiedPermit,
    done: usize,
) -> Result<Plan<'b>, PlanError> {
    make(bundle, trust, history, goal, Some((permit, done)))
}

fn make<'b>(
    bundle: &'b VerifiedBundle,
    trust: &Trust,
    history: &History,
    goal: &Goal,
    permitted: Option<(&VerifiedPermit, usize)>,
) -> Result<Plan<'b>, PlanError> {
    let release = bundle.release();
    let (permit, done) = permitted.unzip();
    let done = done.unwrap_or_default();
    let under = Under {
        permit: permit.map(VerifiedPermit::digest),
        release: release.digest(),
        root: release.root_version(),
        sequence: release.statement().sequence,
    };
    agree(bundle.manifest(), release.environment(), history, goal)?;
    let survey = Survey::of(bundle.manifest(), history, &under);
    let choice = match goal {
        Goal::Apply(reach) => {
            survey.order(&release.statement().out_of_order)?;
            survey.forwards(reach, done)?
        }
        Goal::Revert(back) => survey.back(back, done)?,
        Goal::Rebind => survey.anew()?,
    };
    // Noting that heads were reached raises floors like any other change, so it takes what executing takes.
    if !choice.units.is_empty() || choice.completes.is_some() || *goal == Goal::Rebind {
        executable(&under, history)?;
    }
    let steps = choice
        .units
        .iter()
        .map(|&(unit, direction)| {
            let reviewed = bundle.judge_under(&unit.id, trust, permit).map_err(PlanError::Unreviewed)?;
            step(&reviewed, direction, history.running())
        })
        .collect::<Result<Vec<_>, _>>()?;
    // A run under a permit always says when it is over: that is what spends the permit.
    let over = permit.is_some() && (done > 0 || !steps.is_empty());
    Ok(Plan {
        action: goal.action(),
        head: history.head(),
        first_use: history.binding().is_none(),
        completes: choice.completes.or_else(|| over.then(|| survey.heads(&choice.units))),
        database: history.binding().map_or_else(first_use, |binding| binding.database.clone()),
        permit: permit.map(|permit| permit.envelope().clone()),
        reached: choice.reached,
        held: choice.held,
        left: choice.left,
        ahead: under.sequence < history.sequence(),
        steps,
        under,
    })
}

/// Whether bundle and history are of one project, environment and engine, and of one mind about what was applied.
///
/// # Errors
/// [`PlanError`].
fn agree(manifest: &Manifest, environment: &Name, history: &History, goal: &Goal) -> Result<(), PlanError> {
    if let Some(binding) = history.binding() {
        if binding.project != *manifest.project() {
            let (expected, found) = (manifest.project().clone(), binding.project.clone());
            return Err(PlanError::Project { expected, found });
        }
        // A copy for tests comes from another environment; a database for development was never under any rules.
        let foreign = *goal != Goal::Rebind || binding.environment.is_reserved_environment();
        if binding.environment != *environment && foreign {
            let (expected, found) = (environment.clone(), binding.environment.clone());
            return Err(PlanError::Environment { expected, found });
        }
        if binding.engine != manifest.engine() {
            return Err(PlanError::Engine { expected: manifest.engine(), found: binding.engine });
        }
    }
    if *goal == Goal::Rebind {
        return Ok(());
    }
    let units: BTreeMap<&UnitId, &Unit> = manifest.units().iter().map(|unit| (&unit.id, unit)).collect();
    let sequence = manifest.release().sequence;
    for AppliedUnit { unit: Subject { id, up, .. }, under, .. } in history.applied() {
        match units.get(id) {
            Some(unit) if unit.up.sha256 == *up => {}
            // A migration that is still being written is reverted by the script beside it, as it is now.
            Some(_) if environment.as_str() == "dev" && matches!(goal, Goal::Revert(_)) => {}
            Some(unit) => {
                return Err(PlanError::Edited { id: id.clone(), applied: *up, found: unit.up.sha256 });
            }
            // A newer release may have brought it; whether this one may do anything is another question.
            None if sequence < history.sequence() => {}
            None => return Err(PlanError::Unknown { id: id.clone(), sequence: under.sequence }),
        }
    }
    Ok(())
}

/// What must hold before anything of a bundle is executed, over and above what must hold to look at it.
fn executable(under: &Under, history: &History) -> Result<(), PlanError> {
    if under.sequence < history.sequence() {
        return Err(PlanError::Older { sequence: under.sequence, newest: history.sequence() });
    }
    if under.root < history.root() {
        return Err(PlanError::RootFloor { found: under.root, newest: history.root() });
    }
    Ok(())
}

fn step<'b>(reviewed: &Reviewed<'b>, direction: Direction, running: Option<&Running>) -> Result<Step<'b>, PlanError> {
    let unit = reviewed.unit();
    let work = Work::new(reviewed, direction).map_err(|source| PlanError::Script {
        id: unit.id.clone(),
        direction,
        source,
    })?;
    let subject = Subject { digest: reviewed.digest(), id: unit.id.clone(), up: unit.up.sha256 };
    let same = |running: &&Running| running.unit.id == unit.id && running.direction == direction;
    let running = running.filter(|running| same(running) && has_begun(running));
    let resume = running.map(|running| resume(&work, &subject, running)).transpose()?;
    Ok(Step { work, subject, resume })
}

/// Whether something of a script may have run. One that only says it started is not in the way of anything.
fn has_begun(running: &Running) -> bool {
    running.done > 0 || running.next.is_some()
}

/// Whether an interrupted script can go on with the work of this bundle.
fn resume(work: &Work<'_>, subject: &Subject, running: &Running) -> Result<Resume, PlanError> {
    let id = || running.unit.id.clone();
    // The whole unit must be the same, not only the script: its ranges give the statement numbers their meaning.
    if running.unit != *subject || running.script != work.script().sha256 {
        let (began, found) = (running.unit.digest, subject.digest);
        return Err(PlanError::OtherUnit { id: id(), began, found, sequence: running.under.sequence });
    }
    let count = work.script().statements.len() as u64;
    if running.done > count || running.next.is_some_and(|next| next >= count) {
        return Err(PlanError::Progress { id: id(), done: running.done, count });
    }
    let effective =
        |statement: &sealift_spec::manifest::Statement| !matches!(statement.kind, Kind::Skip | Kind::Session);
    let touched = running.next.is_some() || work.script().statements.iter().take(running.done as usize).any(effective);
    if touched && work.script().not_resumable {
        return Err(PlanError::NotResumable { id: id(), done: running.done, count });
    }
    Ok(Resume { done: running.done, next: running.next })
}

/// How the units of a manifest stand in a database.
struct Survey<'b, 'h> {
    manifest: &'b Manifest,
    history: &'h History,
    under: &'h Under,
    applied: BTreeSet<&'h UnitId>,
    wanted: BTreeSet<&'b str>,
}

struct Choice<'b> {
    units: Vec<(&'b Unit, Direction)>,
    held: Vec<UnitId>,
    left: usize,
    reached: Option<Vec<UnitId>>,
    completes: Option<Vec<UnitId>>,
}

impl<'b, 'h> Survey<'b, 'h> {
    fn of(manifest: &'b Manifest, history: &'h History, under: &'h Under) -> Self {
        let (applied, wanted) = (history.applied_ids(), manifest.ancestors(manifest.target()));
        Self { manifest, history, under, applied, wanted }
    }

    fn is_applied(&self, unit: &Unit) -> bool {
        self.applied.contains(&unit.id)
    }

    /// Wanted and not applied, in manifest order.
    fn pending(&self) -> impl Iterator<Item = &'b Unit> {
        self.manifest.units().iter().filter(|unit| self.wanted.contains(unit.id.as_str()) && !self.is_applied(unit))
    }

    /// The reverted units that this release must leave alone, and the pending ones that stand on them.
    fn held(&self) -> BTreeSet<&'b UnitId> {
        let mut held: BTreeSet<&UnitId> = BTreeSet::new();
        for unit in self.pending() {
            let sequence = self.history.held().get(&unit.id);
            let itself = sequence.is_some_and(|sequence| *sequence >= self.under.sequence);
            if itself || unit.parents.iter().any(|parent| held.contains(parent)) {
                held.insert(&unit.id);
            }
        }
        held
    }

    /// No pending unit may stand before an applied one that stays, unless the release says so; what an earlier release
    /// applied may lie outside the target, what this one or a later one did may not.
    fn order(&self, allowed: &[UnitId]) -> Result<(), PlanError> {
        let units = self.manifest.units();
        // A lower-sequence bundle does nothing at all, so it cannot do it out of order.
        if self.under.sequence < self.history.sequence() {
            return Ok(());
        }
        let newer = |applied: &&AppliedUnit| applied.under.sequence >= self.under.sequence;
        if let Some(applied) = self.outside().find(newer) {
            return Err(PlanError::Outside { id: applied.unit.id.clone(), sequence: applied.under.sequence });
        }
        let stays = |unit: &Unit| self.is_applied(unit) && self.wanted.contains(unit.id.as_str());
        let Some(last) = units.iter().rposition(stays) else { return Ok(()) };
        let running = self.history.running().map(|running| &running.unit.id);
        let early = units[..last].iter().find(|unit| {
            self.wanted.contains(unit.id.as_str())
                && !self.is_applied(unit)
                && running != Some(&unit.id)
                && !allowed.contains(&unit.id)
        });
        match early {
            Some(unit) => Err(PlanError::OutOfOrder { id: unit.id.clone(), before: units[last].id.clone() }),
            None => Ok(()),
        }
    }

    /// The applied units that the target is without, the last applied first.
    fn outside(&self) -> impl Iterator<Item = &'h AppliedUnit> {
        self.history.applied().iter().rev().filter(|applied| !self.wanted.contains(applied.unit.id.as_str()))
    }

    /// A unit with a script that takes it back.
    fn reversible(&self, id: &UnitId) -> Result<&'b Unit, PlanError> {
        let unit = self.manifest.unit(id.as_str());
        let unit = unit.ok_or_else(|| PlanError::Unknown { id: id.clone(), sequence: self.history.sequence() })?;
        match unit.down {
            Some(_) => Ok(unit),
            None => Err(PlanError::NoDown { id: unit.id.clone(), file: unit.up.file.to_string() }),
        }
    }

    /// The way back to an earlier target: what lies outside of it, in the order in which it is reverted. A release of a
    /// lower sequence takes nothing back.
    fn withdrawn(&self) -> Result<Vec<&'b Unit>, PlanError> {
        if self.under.sequence < self.history.sequence() {
            return Ok(Vec::new());
        }
        let mut units =
            self.outside().map(|applied| self.reversible(&applied.unit.id)).collect::<Result<Vec<_>, _>>()?;
        if let Some(running) = self.history.running().filter(|running| has_begun(running)) {
            // Interrupted on its way up, it will be the last applied; on its way down, it is finished first.
            let id = &running.unit.id;
            let is_outside = !self.wanted.contains(id.as_str()) && self.manifest.unit(id.as_str()).is_some();
            if is_outside {
                units.retain(|unit| unit.id != *id);
                units.insert(0, self.reversible(id)?);
            }
        }
        Ok(units)
    }

    /// The applied units that none stands on, once these have been applied and reverted.
    fn heads(&self, units: &[(&'b Unit, Direction)]) -> Vec<UnitId> {
        let mut applied: BTreeSet<&UnitId> = self.applied.clone();
        for (unit, direction) in units {
            match direction {
                Direction::Up => applied.insert(&unit.id),
                Direction::Down => applied.remove(&unit.id),
            };
        }
        let units = self.manifest.units().iter().filter(|unit| applied.contains(&unit.id));
        let parents: BTreeSet<&UnitId> = units.clone().flat_map(|unit| &unit.parents).collect();
        // An event has room for so many.
        units.map(|unit| &unit.id).filter(|id| !parents.contains(id)).take(limit::HEADS).cloned().collect()
    }

    fn forwards(&self, reach: &Reach, done: usize) -> Result<Choice<'b>, PlanError> {
        let withdrawn = self.withdrawn()?;
        let is_withdrawn = |running: &Running| withdrawn.iter().any(|unit| unit.id == running.unit.id);
        let running = match self.history.running() {
            Some(running) if running.direction == Direction::Down && is_withdrawn(running) => None,
            _ => self.running(Direction::Up)?,
        };
        let held = self.held();
        let mut free: Vec<&Unit> = self.pending().filter(|unit| !held.contains(&unit.id)).collect();
        free.retain(|unit| running.is_none_or(|running| running.id != unit.id));
        if let Reach::To(id) = reach {
            self.manifest.unit(id.as_str()).ok_or_else(|| PlanError::NoSuchUnit { id: id.clone() })?;
            if !self.wanted.contains(id.as_str()) {
                return Err(PlanError::Beyond { id: id.clone() });
            }
        }
        // What was begun is finished first, wherever the goal lies, and whether or not it is held; then back, then on.
        let mut units: Vec<_> = running.into_iter().map(|unit| (unit, Direction::Up)).collect();
        units.extend(withdrawn.into_iter().map(|unit| (unit, Direction::Down)));
        units.extend(free.into_iter().map(|unit| (unit, Direction::Up)));
        let all = units.len();
        match reach {
            Reach::Target => {}
            Reach::Steps(steps) => units.truncate(steps.get().saturating_sub(done)),
            Reach::To(id) => {
                let goal = self.manifest.ancestors([id]);
                let begun = running.map(|running| &running.id);
                units.retain(|(unit, direction)| {
                    *direction == Direction::Down || goal.contains(unit.id.as_str()) || begun == Some(&unit.id)
                });
            }
        }
        let held: Vec<UnitId> =
            held.into_iter().filter(|id| units.iter().all(|(unit, _)| unit.id != **id)).cloned().collect();
        let left = all - units.len();
        let reached = held.is_empty() && left == 0 && self.under.sequence >= self.history.sequence();
        let noted = units.is_empty()
            && self.history.completed().is_some_and(|(under, heads)| {
                under.release == self.under.release && heads.as_slice() == self.manifest.target()
            });
        let reached = reached.then(|| self.manifest.target().to_vec());
        let completes = reached.clone().filter(|_| !noted);
        Ok(Choice { units, held, left, reached, completes })
    }

    fn back(&self, back: &Back, done: usize) -> Result<Choice<'b>, PlanError> {
        let running = self.running(Direction::Down)?;
        let applied = self.history.applied();
        let begun = running.map(|running| &running.id);
        // The interrupted one still counts as applied; it goes first.
        let mut order: Vec<&UnitId> = applied.iter().rev().map(|applied| &applied.unit.id).collect();
        if let Some(begun) = begun {
            order.retain(|id| *id != begun);
            order.insert(0, begun);
        }
        let count = match back {
            Back::All => order.len(),
            Back::Steps(steps) => steps.get().saturating_sub(done).min(order.len()),
            Back::To(id) => {
                let known = self.manifest.unit(id.as_str()).is_some();
                let missing = || {
                    if known {
                        PlanError::NotApplied { id: id.clone() }
                    } else {
                        PlanError::NoSuchUnit { id: id.clone() }
                    }
                };
                order.iter().position(|applied| *applied == id).ok_or_else(missing)?.max(usize::from(begun.is_some()))
            }
        };
        let units = order[..count].iter().map(|id| Ok((self.reversible(id)?, Direction::Down)));
        let units = units.collect::<Result<Vec<_>, _>>()?;
        Ok(Choice { units, held: Vec::new(), left: 0, reached: None, completes: None })
    }

    /// Nothing runs when a copy is bound anew, and nothing may be half done.
    fn anew(&self) -> Result<Choice<'b>, PlanError> {
        match self.history.running().filter(|running| has_begun(running)) {
            Some(Running { unit, direction, done, .. }) => {
                Err(PlanError::OtherWay { id: unit.id.clone(), direction: *direction, done: *done })
            }
            None => Ok(Choice { units: Vec::new(), held: Vec::new(), left: 0, reached: None, completes: None }),
        }
    }

    /// The interrupted unit, if it was going the same way.
    fn running(&self, direction: Direction) -> Result<Option<&'b Unit>, PlanError> {
        let Some(running) = self.history.running().filter(|running| has_begun(running)) else { return Ok(None) };
        let id = || running.unit.id.clone();
        if running.direction != direction {
            return Err(PlanError::OtherWay { id: id(), direction: running.direction, done: running.done });
        }
        match self.manifest.unit(running.unit.id.as_str()) {
            Some(unit) => Ok(Some(unit)),
            None => Err(PlanError::Unknown { id: id(), sequence: running.under.sequence }),
        }
    }
}
