//! Does a permit fit the database at hand? (`trust.md` section 8.3)
//!
//! Judged under the lock, from the history that was read under it. What a permit authorises is one plan, made from one
//! head. An unfinished run may resume: the history is rewound to that head, the plan is made anew from there and must be
//! the one that was permitted; every event since must be of this very permit; and what is left is the rest of that plan.
//! [`Permitted`] is the only way to a plan under a permit. Attack -> defence. Replay: a run that is over says so, and its
//! permit is spent. Another copy of the database: its id. Somebody else's change in between: their events name no permit,
//! or another.

use std::fmt;

use sealift_spec::action::Action;
use sealift_spec::history::{Happening, History};
use sealift_spec::name::{Label, Name};
use sealift_spec::plan::PlanDocument;
use sealift_spec::statement::FIRST_USE;
use sealift_spec::{Digest, Timestamp};
use sealift_verifier::bundle::VerifiedBundle;
use sealift_verifier::permit::{PermitError, VerifiedPermit};
use sealift_verifier::trust::Trust;

use crate::plan::{Goal, Plan, PlanError, plan, plan_under};

/// Why something is not permitted. Variants after the first two follow the steps of `trust.md` section 8.3.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotPermitted {
    /// The environment is protected, and there is no permit.
    Missing {
        /// The environment.
        environment: Name,
    },
    /// It is for another release than the bundle's: a mistake of the calling program.
    Release {
        /// The release of the bundle.
        expected: Digest,
    },
    /// Step 1: it is not in force any more, or not yet.
    Time(PermitError),
    /// Step 2: it is for something else.
    Action {
        /// What is to be done.
        expected: Action,
        /// What it allows.
        found: Action,
    },
    /// Step 3: its run is over.
    Spent {
        /// The event that says so.
        seq: u64,
    },
    /// Step 4: it is for another database, or for the first use of one that has been used.
    Database {
        /// The id of this database, or `first-use`.
        expected: Label,
        /// The one it is for.
        found: Label,
    },
    /// Step 5: the history has never been where it was when the plan was made.
    Head {
        /// Where it was.
        head: Digest,
    },
    /// Step 5: something happened since that was not under this permit.
    Moved {
        /// The first such event.
        seq: u64,
    },
    /// Step 6: what would be done is not what was permitted.
    Plan {
        /// The plan digest of what would be done.
        expected: Digest,
        /// The plan digest that was permitted.
        found: Digest,
    },
    /// Step 7: what is left is not the rest of what was permitted.
    Rest,
}

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { environment } => {
                write!(f, "environment `{environment}` is protected, and changes to it need a permit")
            }
            Self::Release { expected } => write!(f, "the permit is not for release {}", expected.short()),
            Self::Time(source) => write!(f, "{source}"),
            Self::Action { expected, found } => write!(f, "the permit is for `{found}`, this is `{expected}`"),
            Self::Spent { seq } => write!(f, "the permit is spent: its run was over with history event {seq}"),
            Self::Database { expected, found } if found.as_str() == FIRST_USE => {
                write!(f, "the permit is for the first use of a database, this one is in use as `{expected}`")
            }
            Self::Database { expected, found } => {
                write!(f, "the permit is for database `{found}`, this is `{expected}`")
            }
            Self::Head { head } => write!(
                f,
                "history moved since the permit was given: it does not contain event {} that the plan was made from",
                head.short()
            ),
            Self::Moved { seq } => {
                write!(f, "history moved since the permit was given: event {seq} is not of this permit")
            }
            Self::Plan { expected, found } => write!(
                f,
                "the permit is for another plan: {} was permitted, this run would do {}",
                found.short(),
                expected.short()
            ),
            Self::Rest => f.write_str("what is left to be done is not the rest of the permitted plan"),
        }
    }
}

impl std::error::Error for NotPermitted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Time(source) => source.source(),
            _ => None,
        }
    }
}

impl NotPermitted {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => "let `sealift-keys permit` sign the output of `sealift-runner plan --json` (or of \
                                     `revert --dry-run --json`), and give it with `--permit FILE`"
                .to_owned(),
            Self::Time(source) => return source.hint().map(str::to_owned),
            Self::Plan { .. } => {
                "give the same `--to` or `--steps` as when the plan was made, or let the plan of this \
                                  run be permitted"
                    .to_owned()
            }
            Self::Action { .. }
            | Self::Spent { .. }
            | Self::Database { .. }
            | Self::Head { .. }
            | Self::Moved { .. }
            | Self::Rest => "make the plan of what is to be done now, and let it be permitted".to_owned(),
            Self::Release { .. } => return None,
        })
    }
}

/// The permit that a change to this bundle's environment is made under; `None` where none is needed and none was given.
///
/// Asked before anything connects.
///
/// # Errors
/// [`NotPermitted::Missing`] or [`NotPermitted::Release`].
pub fn demand<'p>(
    bundle: &VerifiedBundle,
    trust: &Trust,
    permit: Option<&'p VerifiedPermit>,
) -> Result<Option<&'p VerifiedPermit>, NotPermitted> {
    let release = bundle.release();
    let environment = release.environment();
    match permit {
        Some(permit) if permit.release() != release.digest() => {
            Err(NotPermitted::Release { expected: release.digest() })
        }
        None if trust.policy().environments.get(environment).is_none_or(|rules| rules.protected) => {
            Err(NotPermitted::Missing { environment: environment.clone() })
        }
        permit => Ok(permit),
    }
}

/// A permit that fits a database, and how far its run has come.
pub struct Permitted<'p> {
    permit: &'p VerifiedPermit,
    before: History,
    done: usize,
}

/// Steps 1 to 5: whether a permit fits the state of a database, whatever is to be done.
///
/// # Errors
/// [`NotPermitted`] at the first step that fails.
pub fn fit<'p>(
    permit: &'p VerifiedPermit,
    action: Action,
    history: &History,
    now: Timestamp,
) -> Result<Permitted<'p>, NotPermitted> {
    // 1. Waiting for the lock may have taken a while.
    permit.in_force(now).map_err(NotPermitted::Time)?;
    // 2. What.
    let (statement, digest) = (permit.statement(), permit.digest());
    if statement.action != action {
        return Err(NotPermitted::Action { expected: action, found: statement.action });
    }
    // 3. Once.
    let ours = |event: &Happening| event.permit() == Some(digest);
    let ends = |event: &Happening| match event {
        Happening::Completed { .. } | Happening::Rebound { .. } => true,
        Happening::Bound { .. } => action == Action::Rebind,
        _ => false,
    };
    if let Some(spent) = history.events().iter().find(|event| ours(&event.event) && ends(&event.event)) {
        return Err(NotPermitted::Spent { seq: spent.seq });
    }
    // 4. To which database. One that this permit's own run has bound counts as unused.
    let bound_by_us = history.events().first().is_some_and(|event| ours(&event.event));
    if let Some(binding) = history.binding() {
        let first_use = statement.database.as_str() == FIRST_USE && bound_by_us;
        if !first_use && statement.database != binding.database {
            let (expected, found) = (binding.database.clone(), statement.database.clone());
            return Err(NotPermitted::Database { expected, found });
        }
    } else if statement.database.as_str() != FIRST_USE {
        let (expected, found) = (sealift_spec::statement::first_use(), statement.database.clone());
        return Err(NotPermitted::Database { expected, found });
    }
    // 5. In which state, but for what this permit's own run has done since.
    let before = history.rewound(statement.head).ok_or(NotPermitted::Head { head: statement.head })?;
    let since = &history.events()[before.events().len()..];
    if let Some(other) = since.iter().find(|event| !ours(&event.event)) {
        return Err(NotPermitted::Moved { seq: other.seq });
    }
    let is_done = |event: &Happening| matches!(event, Happening::Applied { .. } | Happening::Reverted { .. });
    let done = since.iter().filter(|event| is_done(&event.event)).count();
    Ok(Permitted { permit, before, done })
}

impl<'p> Permitted<'p> {
    /// The history as it was when the permit was given.
    pub fn before(&self) -> &History {
        &self.before
    }

    /// Step 6: whether a plan, made from [`Permitted::before`], is the one that was permitted.
    ///
    /// # Errors
    /// [`NotPermitted::Plan`].
    pub fn allows(&self, document: &PlanDocument) -> Result<&'p VerifiedPermit, NotPermitted> {
        let (expected, found) = (document.digest(), self.permit.statement().plan);
        if expected == found { Ok(self.permit) } else { Err(NotPermitted::Plan { expected, found }) }
    }

    /// Steps 6 and 7: what is left of the permitted plan.
    ///
    /// # Errors
    /// [`PlanError`], or [`NotPermitted`] inside of one.
    pub fn plan<'b>(
        &self,
        bundle: &'b VerifiedBundle,
        trust: &Trust,
        history: &History,
        goal: &Goal,
    ) -> Result<Plan<'b>, NoPlan> {
        let whole = plan(bundle, trust, &self.before, goal).map_err(NoPlan::Plan)?.document(bundle);
        let permit = self.allows(&whole).map_err(NoPlan::NotPermitted)?;
        let rest = plan_under(bundle, trust, history, goal, permit, self.done).map_err(NoPlan::Plan)?;
        if whole.steps.get(self.done..) != Some(&rest.document(bundle).steps) {
            return Err(NoPlan::NotPermitted(NotPermitted::Rest));
        }
        Ok(rest)
    }
}

/// Why there is no plan under a permit.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoPlan {
    /// There is none at all.
    Plan(PlanError),
    /// There is one, and it is not permitted.
    NotPermitted(NotPermitted),
}
