//! Why a run is refused before it began.

use std::fmt;

use sealift_spec::Digest;
use sealift_spec::manifest::{Direction, Engine};
use sealift_spec::name::{Name, UnitId};
use sealift_spec::text::Count;
use sealift_verifier::bundle::Unreviewed;
use sealift_verifier::report::Exit;

use crate::work::WorkError;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The database belongs to another project.
    Project {
        /// The project of the bundle.
        expected: Name,
        /// The project the database is bound to.
        found: Name,
    },
    /// The database belongs to another environment.
    Environment {
        /// The environment of this run.
        expected: Name,
        /// The environment the database is bound to.
        found: Name,
    },
    /// The history was written for another engine.
    Engine {
        /// The engine of the bundle.
        expected: Engine,
        /// The engine the database is bound to.
        found: Engine,
    },
    /// The up script of an applied unit is another one now.
    Edited {
        /// The unit.
        id: UnitId,
        /// The digest of what was applied.
        applied: Digest,
        /// The digest in the bundle.
        found: Digest,
    },
    /// A unit is applied (or was begun) that the bundle does not have.
    Unknown {
        /// The unit.
        id: UnitId,
        /// The sequence of the release that brought it.
        sequence: u64,
    },
    /// A pending unit stands before one that is applied, and the release does not allow it.
    OutOfOrder {
        /// The pending unit.
        id: UnitId,
        /// The applied one after it.
        before: UnitId,
    },
    /// A unit is applied that does not belong to the target of the bundle, which is not newer than what applied it.
    Outside {
        /// The unit.
        id: UnitId,
        /// The sequence of the release that applied it.
        sequence: u64,
    },
    /// The bundle would execute something, but a release with a higher sequence was here before.
    Older {
        /// The sequence of the bundle.
        sequence: u64,
        /// The highest sequence the database has seen.
        newest: u64,
    },
    /// A newer root has vouched for something in this database.
    RootFloor {
        /// The root this run trusts.
        found: u64,
        /// The newest root the database has seen.
        newest: u64,
    },
    /// The bundle has no such unit.
    NoSuchUnit {
        /// The unit that was named.
        id: UnitId,
    },
    /// The unit named as the goal lies beyond the target of the bundle.
    Beyond {
        /// The unit that was named.
        id: UnitId,
    },
    /// The unit that is to stay is not applied.
    NotApplied {
        /// The unit that was named.
        id: UnitId,
    },
    /// A unit that is to be reverted has no down script.
    NoDown {
        /// The unit.
        id: UnitId,
        /// Its up script.
        file: String,
    },
    /// A unit that would run is not reviewed, or revoked.
    Unreviewed(Unreviewed),
    /// A script cannot run.
    Script {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// Why.
        source: WorkError,
    },
    /// A unit was interrupted on its way in the other direction.
    OtherWay {
        /// The unit.
        id: UnitId,
        /// The direction in which it was going.
        direction: Direction,
        /// How many statements have run.
        done: u64,
    },
    /// A unit was interrupted, and the bundle has another version of it.
    OtherUnit {
        /// The unit.
        id: UnitId,
        /// The unit digest that was begun.
        began: Digest,
        /// The unit digest in the bundle.
        found: Digest,
        /// The sequence of the release under which it began.
        sequence: u64,
    },
    /// A unit was interrupted after statements whose session state cannot be replayed.
    NotResumable {
        /// The unit.
        id: UnitId,
        /// How many statements have run.
        done: u64,
        /// How many there are.
        count: u64,
    },
    /// History tells of more statements than the script has.
    Progress {
        /// The unit.
        id: UnitId,
        /// How many have run.
        done: u64,
        /// How many there are.
        count: u64,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project { expected, found } => {
                write!(f, "the database belongs to project `{found}`, this run is for `{expected}`")
            }
            Self::Environment { expected, found } => {
                write!(f, "the database is bound to environment `{found}`, this run is for `{expected}`")
            }
            Self::Engine { expected, found } => {
                write!(f, "the history was written for engine `{found}`, the bundle is for `{expected}`")
            }
            Self::Edited { id, applied, found } => write!(
                f,
                "migration `{id}` was edited after it was applied: its up script was {} and is {} now",
                applied.short(),
                found.short()
            ),
            Self::Unknown { id, sequence } => {
                write!(f, "migration `{id}`, which release {sequence} brought to this database, is not in the bundle")
            }
            Self::OutOfOrder { id, before } => {
                write!(f, "migration `{id}` is pending, but `{before}`, which comes after it, is applied")
            }
            Self::Outside { id, sequence } => {
                write!(f, "the target of the bundle is without migration `{id}`, which release {sequence} applied")
            }
            Self::Older { sequence, newest } => {
                write!(f, "release {sequence} is older than release {newest}, which was here before")
            }
            Self::RootFloor { found, newest } => {
                write!(f, "the trust root of this host is version {found}, but this database has seen version {newest}")
            }
            Self::NoSuchUnit { id } => write!(f, "the bundle has no migration `{id}`"),
            Self::Beyond { id } => write!(f, "migration `{id}` lies beyond the target of the bundle"),
            Self::NotApplied { id } => write!(f, "migration `{id}` is not applied"),
            Self::NoDown { id, file } => {
                write!(f, "migration `{id}` (`{file}`) cannot be reverted: it has no down script")
            }
            Self::Unreviewed(source) => write!(f, "{source}"),
            Self::Script { id, direction, .. } => write!(f, "the {direction} script of migration `{id}` cannot run"),
            Self::OtherWay { id, direction, done } => {
                let what = if *direction == Direction::Up { "applying" } else { "reverting" };
                write!(f, "{what} migration `{id}` was interrupted after {}", Count(*done, "statement"))
            }
            Self::OtherUnit { id, began, found, .. } => write!(
                f,
                "migration `{id}` was interrupted as unit {} and is unit {} in this bundle",
                began.short(),
                found.short()
            ),
            Self::NotResumable { id, done, count } => write!(
                f,
                "migration `{id}` was interrupted after {done} of {count} statements and is marked `not-resumable`: \
                 what its session held is gone"
            ),
            Self::Progress { id, done, count } => {
                write!(
                    f,
                    "history says that {done} of the statements of migration `{id}` have run, the script has {count}"
                )
            }
        }
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Script { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl PlanError {
    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::OtherWay { .. } | Self::OtherUnit { .. } | Self::NotResumable { .. } | Self::Progress { .. } => {
                Exit::Interrupted
            }
            _ => Exit::No,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Project { .. } | Self::Engine { .. } => {
                "check which database this is; one database serves one project".to_owned()
            }
            Self::Environment { found, .. } if found.is_reserved_environment() => {
                "a database made by `sealift-bundler dev` is for development only; take another one".to_owned()
            }
            Self::Environment { .. } => "check which database this is; a bundle packed for one environment does not \
                                         touch the database of another; a clone that was meant is bound anew by `rebind`"
                .to_owned(),
            Self::Edited { id, .. } => {
                format!("restore the file of `{id}` as it was applied, and make the change in a new migration")
            }
            Self::Unknown { .. } => {
                "take a bundle that was packed from a directory that holds it; migrations are never removed".to_owned()
            }
            Self::OutOfOrder { id, .. } => format!(
                "give `{id}` a version after the applied ones, or pack with `--out-of-order {id}` if it may run late"
            ),
            Self::Outside { sequence, .. } => {
                format!("the way back to an earlier target is a release with a higher sequence than {sequence}")
            }
            Self::Older { .. } => "take the newest release, or pack again with a higher `--sequence`".to_owned(),
            Self::RootFloor { newest, .. } => {
                format!("bring the root files up to version {newest} to this host's trust directory")
            }
            Self::NoSuchUnit { .. } => "list what the bundle has with `plan` or `sealift-verifier inspect`".to_owned(),
            Self::Beyond { .. } => "pack with a `--target` that includes it".to_owned(),
            Self::NotApplied { .. } => "list what is applied with `status`".to_owned(),
            Self::NoDown { .. } => {
                "nothing was reverted; add a new migration that undoes the change instead, or a down \
                                    script in a new release"
                    .to_owned()
            }
            Self::Unreviewed(_) => "who reviewed it is listed by `sealift-verifier inspect`; review with \
                                    `sealift-bundler review`, pack and sign again"
                .to_owned(),
            Self::Script { .. } => return None,
            Self::OtherWay { direction: Direction::Up, .. } => "let `apply` finish it first".to_owned(),
            Self::OtherWay { .. } => "let `revert --steps 1` finish it first".to_owned(),
            Self::OtherUnit { sequence, .. } => {
                format!("finish it with release {sequence}, or with one that has the migration unchanged")
            }
            Self::NotResumable { .. } | Self::Progress { .. } => {
                "an operator must look at the database: `history` shows how far it went".to_owned()
            }
        })
    }
}
