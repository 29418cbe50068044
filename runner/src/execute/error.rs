//! Why an execution ended early, and what is known about the step it ended in.

use std::fmt;

use sealift_spec::history::HistoryError;
use sealift_spec::manifest::Direction;
use sealift_spec::name::UnitId;
use sealift_spec::text::Source;
use sealift_verifier::report::Exit;

use crate::engine::{EngineError, Finding, StepError};
use crate::work::{Place, Work};

/// Which statement, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementName {
    /// Its number, from 1.
    pub number: u64,
    /// How many the script has.
    pub count: u64,
    /// Where it begins.
    pub place: Place,
    /// Its text, whole.
    pub text: String,
}

impl StatementName {
    pub(crate) fn of(work: &Work<'_>, index: usize) -> Option<Self> {
        let (place, text) = work.words(index)?;
        let count = work.script().statements.len() as u64;
        Some(Self { number: index as u64 + 1, count, place, text: text.to_owned() })
    }
}

/// Shows a statement on one line, cut at a length that still says which one it is.
struct Brief<'a>(&'a str);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LENGTH: usize = 300;
        let line = self.0.split_whitespace().collect::<Vec<_>>().join(" ");
        let cut = line.char_indices().nth(LENGTH).map_or(line.len(), |(at, _)| at);
        write!(f, "{}{}", Source(&line[..cut]), if cut < line.len() { " .." } else { "" })
    }
}

/// Why a statement in flight could not be settled.
#[derive(Debug)]
#[non_exhaustive]
pub enum Doubt {
    /// The manifest has no probe for it.
    NoProbe,
    /// The index it builds is there and not valid.
    Invalid,
    /// Another session is building the index at this moment.
    Building,
    /// The probe could not be made.
    Probe(EngineError),
    /// The connection was lost, and did not come back.
    Disconnected(EngineError),
    /// It failed, and something of it remains.
    Remains(StepError),
    /// How it ended could not be recorded.
    Unrecorded(StepError),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProbe => "its run was cut off, and there is no sure way to find out",
            Self::Invalid => "the index is there and not valid: its build was cut off",
            Self::Building => "another session is building the index at this moment",
            Self::Probe(_) => "looking for its effect failed",
            Self::Disconnected(_) => "the connection was lost while it ran and could not be made again",
            Self::Remains(_) => "it failed, and something of it remains",
            Self::Unrecorded(_) => "how it ended could not be recorded",
        })
    }
}

impl std::error::Error for Doubt {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Probe(error) | Self::Disconnected(error) => Some(error),
            Self::Remains(error) | Self::Unrecorded(error) => Some(error),
            Self::NoProbe | Self::Invalid | Self::Building => None,
        }
    }
}

/// Why an execution ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The history moved after the plan was made.
    Stale,
    /// Asked to stop; this many scripts were not begun.
    Asked {
        /// How many.
        left: usize,
    },
    /// Before the first script: binding, baseline, evidence.
    Prepare(EngineError),
    /// An event that is no script could not be written (binding, completion).
    Record(StepError),
    /// A script failed and nothing of it remains.
    Failed {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// Its file.
        file: String,
        /// Where in it, if the server said.
        place: Option<Place>,
        /// How often it was tried.
        tries: u32,
        /// What happened.
        source: StepError,
    },
    /// A transaction-mode script ended its own transaction: something of it is committed and the history has no event.
    Escaped {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// Its file.
        file: String,
        /// What happened.
        source: StepError,
    },
    /// A statements-mode script failed at a statement and nothing of that statement remains; those before it stay.
    PartApplied {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// The statement that failed.
        statement: Box<StatementName>,
        /// Where in it, if the server said.
        place: Option<Place>,
        /// Whether a later run can continue at that statement.
        resumable: bool,
        /// What happened.
        source: StepError,
    },
    /// A statement may or may not have run.
    Unsettled {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// The statement.
        statement: Box<StatementName>,
        /// What is known.
        source: Doubt,
    },
    /// The connection was lost while a transaction-mode script ran, and could not be made again.
    Disconnected {
        /// The unit.
        id: UnitId,
        /// Which script.
        direction: Direction,
        /// Why not.
        source: EngineError,
    },
    /// After the connection was made again, the history does not hold what this run had written.
    Rewound {
        /// What is lost.
        lost: Vec<UnitId>,
    },
    /// After the connection was made again, somebody else had written to the history.
    Overtaken,
    /// The history cannot be read any more.
    History(HistoryError),
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = |direction: &Direction| if *direction == Direction::Up { "applied" } else { "reverted" };
        match self {
            Self::Stale => f.write_str("the history moved after the plan was made"),
            Self::Asked { left } => write!(f, "stopped as asked, before {left} more migrations"),
            Self::Prepare(_) => f.write_str("the session could not be prepared"),
            Self::Record(_) => f.write_str("the history could not be written"),
            Self::Failed { id, direction, file, place, tries, .. } => {
                write!(f, "migration `{id}` was not {}: error ", verb(direction))?;
                match place {
                    Some(place) => write!(f, "at {}", Source(&place.to_string()))?,
                    None => write!(f, "in {}", Source(file))?,
                }
                if *tries > 1 { write!(f, ", after {tries} tries") } else { Ok(()) }
            }
            Self::Escaped { id, file, .. } => {
                write!(f, "`{}` of migration `{id}` ended its own transaction: part of it is committed", Source(file))
            }
            Self::PartApplied { id, direction, statement, place, .. } => write!(
                f,
                "migration `{id}` is part-{}: statement {} of {} failed ({}: {})",
                verb(direction),
                statement.number,
                statement.count,
                Source(&place.as_ref().unwrap_or(&statement.place).to_string()),
                Brief(&statement.text)
            ),
            Self::Unsettled { id, statement, source, .. } => {
                let what = match source {
                    Doubt::Remains(_) => "failed, and something of it remains",
                    Doubt::Invalid | Doubt::Building => "did not finish",
                    _ => "may or may not have run",
                };
                write!(
                    f,
                    "statement {} of {} of migration `{id}` {what} ({}: {})",
                    statement.number,
                    statement.count,
                    Source(&statement.place.to_string()),
                    Brief(&statement.text)
                )
            }
            Self::Disconnected { id, direction, .. } => {
                write!(f, "the connection was lost while migration `{id}` was being {}", verb(direction))
            }
            Self::Rewound { lost } => {
                let lost: Vec<_> = lost.iter().map(UnitId::as_str).collect();
                write!(f, "the server came back without what had been committed; lost: [{}]", lost.join(", "))
            }
            Self::Overtaken => {
                f.write_str("the connection was lost, and another runner changed the database meanwhile")
            }
            Self::History(_) => f.write_str("the history cannot be read"),
        }
    }
}

impl std::error::Error for ExecuteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Prepare(error) | Self::Disconnected { source: error, .. } => Some(error),
            // A rolled back step has nothing to add to what the server answered.
            Self::Failed { source: StepError::RolledBack(error), .. }
            | Self::PartApplied { source: StepError::RolledBack(error), .. } => Some(error),
            Self::Record(error)
            | Self::Failed { source: error, .. }
            | Self::Escaped { source: error, .. }
            | Self::PartApplied { source: error, .. } => Some(error),
            // What the statement failed with says it better than that it failed.
            Self::Unsettled { source: Doubt::Remains(error), .. } => Some(error),
            Self::Unsettled { source, .. } => Some(source),
            Self::History(error) => Some(error),
            Self::Stale | Self::Asked { .. } | Self::Rewound { .. } | Self::Overtaken => None,
        }
    }
}

impl ExecuteError {
    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Asked { .. } | Self::Failed { .. } | Self::History(_) => Exit::No,
            Self::Stale | Self::Overtaken | Self::Rewound { .. } => Exit::Unknown,
            Self::Prepare(error) => error.exit(),
            Self::Record(StepError::RolledBack(_)) => Exit::No,
            Self::Record(_) => Exit::Unknown,
            Self::Escaped { .. } | Self::PartApplied { .. } | Self::Unsettled { .. } | Self::Disconnected { .. } => {
                Exit::Interrupted
            }
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Stale | Self::Asked { .. } | Self::Overtaken | Self::Rewound { .. } => {
                "run the same command again: it goes on from where the database stands".to_owned()
            }
            Self::Prepare(error) => return error.hint(),
            Self::Failed { source: StepError::RolledBack(error), .. } if error.transient => {
                "other sessions were in the way; try again at a quieter time, or raise the timeouts of the migration"
                    .to_owned()
            }
            Self::Failed { source: StepError::Lost(_), .. } => {
                "nothing of it remains; the log of the server says why it ends the connection".to_owned()
            }
            Self::Failed { .. } => {
                "nothing of it remains; mend the migration, review and pack it again. Migrations before \
                                    it stay"
                    .to_owned()
            }
            Self::Escaped { file, .. } => format!(
                "an operator must look at what `{file}` left in the database; remove its transaction control, or give it \
                 `-- sealift: no-transaction`"
            ),
            Self::PartApplied { direction, statement, resumable: true, .. } => {
                let command = if *direction == Direction::Up { "apply" } else { "revert" };
                format!(
                    "{} of {} statements are done; remove the cause and run `{command}` again: it continues at statement {}",
                    statement.number - 1,
                    statement.count,
                    statement.number
                )
            }
            Self::PartApplied { statement, .. } => format!(
                "{} of {} statements are done, and the migration is marked `not-resumable`: an operator must look",
                statement.number - 1,
                statement.count
            ),
            Self::Unsettled { source: Doubt::Invalid, .. } => {
                "drop the index with DROP INDEX CONCURRENTLY, then run the \
                                                              same command again"
                    .to_owned()
            }
            Self::Unsettled { source: Doubt::Remains(_), .. } => {
                "an operator must remove what remains and the cause of it, \
                                                                  then run the same command again"
                    .to_owned()
            }
            Self::Unsettled { source: Doubt::Building, .. } => {
                "wait until that session is done, then run the same command again".to_owned()
            }
            Self::Unsettled { source: Doubt::Disconnected(_), .. } | Self::Disconnected { .. } => {
                "when the server is back, run the same command again: it finds out what has happened".to_owned()
            }
            Self::Unsettled { .. } => {
                "an operator must look in the database whether the effect of this very statement is \
                                       there; nothing is run until that is settled"
                    .to_owned()
            }
            Self::Record(_) | Self::History(_) => return None,
        })
    }
}

impl From<Finding> for Doubt {
    fn from(finding: Finding) -> Self {
        if finding == Finding::Building { Self::Building } else { Self::Invalid }
    }
}
