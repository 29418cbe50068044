//! The stations of a run, in their order (`audit.md` section 3): connect, check the server, lock, history, plan, intent,
//! execute, outcome.
//!
//! The caller has verified the bundle before it calls, has opened the audit log, and hands in clock, names and an observer.
//! [`plan`], [`status`] and [`history`] take no lock and write nothing, not even a table. Deliberately not here: printing,
//! exit statuses of usage errors, signals (an observer may ask to stop at the next boundary).

use std::time::Duration;

use sealift_spec::Timestamp;
use sealift_spec::action::Action;
use sealift_spec::history::{AppliedUnit, Binding, History, Running};
use sealift_spec::manifest::{self, Direction, Unit};
use sealift_spec::name::{Label, Name, UnitId};
use sealift_verifier::bundle::VerifiedBundle;
use sealift_verifier::listing::Evidence;
use sealift_verifier::permit::VerifiedPermit;
use sealift_verifier::trust::Trust;

use crate::audit::AuditLog;
use crate::engine::mysql::Mysql;
use crate::engine::postgresql::Postgresql;
use crate::engine::sqlite::{Access, Sqlite};
use crate::engine::{Holder, Server, SqlError, Target};
use crate::operator::Operator;
use crate::plan::{Goal, Plan, PlanError};
use crate::run::station::Place;

pub use crate::run::error::RunError;

mod error;
mod station;

/// One engine is chosen by the endpoint, once; everything after it is compiled for that engine.
macro_rules! dispatch {
    ($target:expr, $access:expr, |$place:ident| $body:expr) => {{
        let id = $target.id.clone();
        match $target.url.endpoint.engine() {
            manifest::Engine::Postgresql => {
                let $place = Place { engine: Postgresql::new($target), id };
                $body
            }
            manifest::Engine::Sqlite => {
                let $place = Place { engine: Sqlite::new($target, $access), id };
                $body
            }
            manifest::Engine::Mysql => {
                let $place = Place { engine: Mysql::new($target), id };
                $body
            }
        }
    }};
}

/// What a run is given besides the bundle and the database.
pub struct Caller<'c> {
    /// The clock; read once for each judgement and each event.
    pub clock: &'c dyn Fn() -> Timestamp,
    /// Who, on which host.
    pub operator: Operator,
    /// How long to wait for the lock.
    pub lock_wait: Duration,
    /// The id of the database, where this host has seen it before.
    pub known: Option<Label>,
    /// What the change is made under, where the environment is protected.
    pub permit: Option<&'c VerifiedPermit>,
}

/// What a run tells while it goes on. Nothing depends on whether anybody listens.
pub trait Observer {
    /// Something happened.
    fn notice(&mut self, notice: Notice<'_>);

    /// Whether to stop at the next boundary: the step under way is finished, the rest is left, and the run ends with
    /// [`RunError::Stopped`] for [`ExecuteError::Asked`](crate::execute::ExecuteError::Asked).
    fn wants_stop(&mut self) -> bool {
        false
    }
}

/// An observer that does not listen.
pub struct Unobserved;

impl Observer for Unobserved {
    fn notice(&mut self, _: Notice<'_>) {}
}

/// What happened.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Notice<'n> {
    /// The lock is held by somebody else; told again when the holder changes, and every few seconds.
    Waiting {
        /// Who holds it.
        holder: &'n Holder,
        /// For how long it has been waited for.
        waited: Duration,
    },
    /// The plan is made and about to be executed.
    Planned {
        /// The plan.
        plan: &'n Plan<'n>,
    },
    /// A script begins.
    Started {
        /// Its number in the plan, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// The unit.
        unit: &'n Unit,
        /// Forwards or back.
        direction: Direction,
        /// How many statements had run before, if it was interrupted.
        resumed: Option<u64>,
    },
    /// A statement of a statements-mode script begins.
    Statement {
        /// The unit.
        unit: &'n Unit,
        /// Its number, from 1.
        number: u64,
        /// How many there are.
        total: u64,
    },
    /// A script is done, and its event is durable.
    Done {
        /// The unit.
        unit: &'n Unit,
        /// Forwards or back.
        direction: Direction,
        /// How long it took.
        took: Duration,
    },
    /// A script met a lock timeout, a deadlock or a serialisation failure and is tried again.
    Retry {
        /// The unit.
        unit: &'n Unit,
        /// What the server said.
        error: &'n SqlError,
        /// How often it has been tried.
        tries: u32,
        /// How long is waited before the next try.
        pause: Duration,
    },
    /// The connection was lost and is being made again.
    Reconnecting,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Apply or revert.
    pub action: Action,
    /// The database, as history names it; `None` if it has never been used and still is not.
    pub binding: Option<Binding>,
    /// What was done, in order.
    pub done: Vec<Finished>,
    /// The heads that were reached, if the whole target is applied now.
    pub reached: Option<Vec<UnitId>>,
    /// Pending units that stay so because they were reverted (see [`Plan::held`]).
    pub held: Vec<UnitId>,
    /// Pending units that `--to` or `--steps` left for later.
    pub left: usize,
    /// Whether the database is ahead of the bundle.
    pub ahead: bool,
}

/// A script that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The unit.
    pub id: UnitId,
    /// What people call it.
    pub name: String,
    /// Forwards or back.
    pub direction: Direction,
    /// How long it took.
    pub took: Duration,
}

/// How a database stands towards a bundle.
#[derive(Debug)]
pub struct Status {
    /// What answered.
    pub server: Server,
    /// Project, environment and id; `None` before first use.
    pub binding: Option<Binding>,
    /// What is applied, in the order in which it was.
    pub applied: Vec<AppliedUnit>,
    /// What `apply` would run forwards, in order.
    pub pending: Vec<UnitId>,
    /// What `apply` would revert, because the target is without it, in order.
    pub withdrawn: Vec<UnitId>,
    /// Pending units that stay so because they were reverted.
    pub held: Vec<UnitId>,
    /// The script that was interrupted, if one was.
    pub running: Option<Running>,
    /// The highest release sequence the database has seen; 0 before first use.
    pub sequence: u64,
    /// Why `apply` would be refused, if it would.
    pub refusal: Option<PlanError>,
}

/// Looks at a database and says what [`change`] would do. Takes no lock, writes nothing.
///
/// # Errors
/// [`RunError`] with the first reason why it would be refused. That a permit is missing is no such reason.
pub async fn plan<'b>(
    target: Target,
    bundle: &'b VerifiedBundle,
    trust: &Trust,
    goal: &Goal,
    caller: &Caller<'_>,
) -> Result<Plan<'b>, RunError> {
    dispatch!(target, Access::Preview, |place| station::plan(place, bundle, trust, goal, caller).await)
}

/// Applies or reverts. `audit` may be `None` only for the reserved environments `dev` and `rehearsal`.
///
/// # Errors
/// [`RunError`]; [`RunError::Stopped`] once the first script has begun, with what was done before.
pub async fn change(
    target: Target,
    bundle: &VerifiedBundle,
    trust: &Trust,
    goal: &Goal,
    caller: &Caller<'_>,
    audit: Option<&mut AuditLog>,
    observer: &mut dyn Observer,
) -> Result<Outcome, RunError> {
    dispatch!(target, Access::Create, |place| station::change(place, bundle, trust, goal, caller, audit, observer)
        .await)
}

/// Empties a local database, history included, if it is bound to the environment `dev`; `false` when it never was used.
///
/// # Errors
/// [`RunError`]; a database of any other environment is refused.
pub async fn wipe(
    target: Target,
    project: &Name,
    caller: &Caller<'_>,
    observer: &mut dyn Observer,
) -> Result<bool, RunError> {
    dispatch!(target, Access::Write, |place| station::wipe(place, project, caller, observer).await)
}

/// Says how a database stands towards a bundle. Takes no lock, writes nothing.
///
/// # Errors
/// [`RunError`] when it cannot be told; a refusal of what `apply` would do is part of the answer.
pub async fn status(
    target: Target,
    bundle: &VerifiedBundle,
    trust: &Trust,
    caller: &Caller<'_>,
) -> Result<Status, RunError> {
    dispatch!(target, Access::Preview, |place| station::status(place, bundle, trust, caller).await)
}

/// Reads and checks the whole history, and reads the envelopes beside it, of which nothing is checked; `None` when the database has never been used. Takes no lock, writes nothing, needs
/// no bundle.
///
/// # Errors
/// [`RunError`] when it cannot be read, or its chain does not hold.
pub async fn history(target: Target) -> Result<Option<(History, Vec<Evidence>)>, RunError> {
    dispatch!(target, Access::Read, |place| station::history(place.engine).await)
}
