//! Why a run was refused, could not be told, or ended early; each with its exit status and what to do.

use std::fmt;

use sealift_spec::Digest;
use sealift_spec::Timestamp;
use sealift_spec::history::HistoryError;
use sealift_spec::manifest::{Flavour, ServerVersion};
use sealift_spec::name::Label;
use sealift_verifier::report::{Exit, Failure};

use crate::audit::AuditLogError;
use crate::clock::ClockError;
use crate::engine::{EngineError, ReadOnly};
use crate::execute::ExecuteError;
use crate::permit::NotPermitted;
use crate::plan::PlanError;
use crate::run::Finished;

/// Why a run did not go as asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The clock cannot be believed.
    Clock(ClockError),
    /// The release ran out between verification and the lock.
    Expired {
        /// Since when it is not valid.
        not_after: Timestamp,
    },
    /// The environment is protected, and there is no permit for this.
    NotPermitted(NotPermitted),
    /// No audit log was given, and the environment is not a reserved one.
    NoAudit,
    /// The audit log cannot be written.
    Audit(AuditLogError),
    /// Everything was done, but the audit log does not say so.
    Unaudited(AuditLogError),
    /// The kernel gave no random bytes.
    Random,
    /// The database could not be reached or used.
    Engine(EngineError),
    /// Another program answers than the bundle is written for.
    Flavour {
        /// What the bundle is written for.
        expected: Flavour,
        /// What answers.
        found: Flavour,
    },
    /// The server is older than the bundle is written for.
    TooOld {
        /// The program.
        flavour: Flavour,
        /// The oldest version the bundle is written for.
        needed: ServerVersion,
        /// What answers.
        found: ServerVersion,
    },
    /// The server takes no changes.
    ReadOnly(ReadOnly),
    /// The database has objects and no history.
    NotEmpty,
    /// The history ends before an event that the audit log of this host knows.
    Shortened {
        /// The event.
        head: Digest,
    },
    /// The history was tampered with, or is no history.
    History(HistoryError),
    /// The credentials were sealed for another database than the one that answers.
    OtherDatabase {
        /// The id that was signed.
        signed: Label,
        /// The id in the history; `None` when the database has never been used.
        found: Option<Label>,
    },
    /// This host has seen another database under this name than the one that answers.
    UnknownDatabase {
        /// The id it has seen.
        known: Label,
        /// The id in the history; `None` when the database has never been used.
        found: Option<Label>,
    },
    /// The bundle and the database do not fit, or a unit may not run.
    Plan(PlanError),
    /// The execution ended early.
    Stopped {
        /// What was done before, and stays.
        done: Vec<Finished>,
        /// Why.
        source: Box<ExecuteError>,
        /// Why the audit log does not say so, if it does not.
        unaudited: Option<AuditLogError>,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock(source) => write!(f, "{source}"),
            Self::Expired { not_after } => write!(f, "the release expired at {not_after}, before its turn came"),
            Self::NotPermitted(source) => write!(f, "{source}"),
            Self::NoAudit => f.write_str("there is no audit log to write to"),
            Self::Audit(_) => f.write_str("nothing was changed: the audit log cannot be used"),
            Self::Unaudited(AuditLogError::CheckpointFile { .. } | AuditLogError::NoCheckpoint { .. }) => {
                f.write_str("the database was changed, but no checkpoint of the audit log was signed")
            }
            Self::Unaudited(_) => f.write_str("the database was changed, but the audit log does not say how it ended"),
            Self::Random => f.write_str("the kernel gave no random bytes"),
            Self::Engine(source) => write!(f, "{source}"),
            Self::Flavour { expected, found } => {
                write!(f, "the server is {found}, the bundle is written for {expected}")
            }
            Self::TooOld { flavour, needed, found } => {
                write!(f, "the server is {flavour} {found}, the bundle is written for {needed} or newer")
            }
            Self::ReadOnly(ReadOnly::Replica) => f.write_str("the server is a replica and takes no changes"),
            Self::ReadOnly(ReadOnly::Setting) => f.write_str("the server or database is set to read-only"),
            Self::NotEmpty => f.write_str("the database has objects already, and no history of ours"),
            Self::Shortened { head } => write!(
                f,
                "the history ends before event {}, which the audit log of this host knows: rows were removed, or the \
                 database was restored",
                head.short()
            ),
            Self::History(source) => write!(f, "{source}"),
            Self::OtherDatabase { signed, found: Some(found) } => {
                write!(f, "the credentials are for database `{signed}`, the database that answers is `{found}`")
            }
            Self::OtherDatabase { signed, found: None } => {
                write!(f, "the credentials are for database `{signed}`, the database that answers has never been used")
            }
            Self::UnknownDatabase { known, found: Some(found) } => {
                write!(f, "this host knows the database as `{known}`, the database that answers is `{found}`")
            }
            Self::UnknownDatabase { known, found: None } => {
                write!(f, "this host knows the database as `{known}`, the database that answers has never been used")
            }
            Self::Plan(source) => write!(f, "{source}"),
            Self::Stopped { source, unaudited: None, .. } => write!(f, "{source}"),
            Self::Stopped { source, unaudited: Some(audit), .. } => {
                write!(f, "{source}; and the audit log does not say how it ended: {audit}")?;
                std::error::Error::source(audit).map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
        }
    }
}

// Variants that only carry another error speak with its voice, so their source is that error's source.
impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Audit(source) | Self::Unaudited(source) => Some(source),
            Self::Engine(source) => source.source(),
            Self::History(source) => source.source(),
            Self::NotPermitted(source) => source.source(),
            Self::Plan(source) => source.source(),
            Self::Stopped { source, .. } => source.source(),
            _ => None,
        }
    }
}

impl EngineError {
    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::UnknownSetting { .. } | Self::Setting { .. } | Self::Unsupported { .. } | Self::Foreign { .. } => {
                Exit::No
            }
            Self::Sql { source, .. } if source.code.as_deref() == Some("42501") => Exit::No,
            _ => Exit::Unknown,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Connect { .. } => {
                "check that the server runs and that this host may connect; nothing was changed".to_owned()
            }
            Self::Lost(_) => "run the same command again".to_owned(),
            Self::Clear { .. } => "give the CA certificate of the server with the credentials".to_owned(),
            Self::Held { .. } => "wait until the other run is done, or give more time with `--lock-wait`".to_owned(),
            Self::UnknownSetting { .. } | Self::Setting { .. } => {
                "change the session baseline in `sealift.toml`, review and pack again".to_owned()
            }
            Self::Foreign { .. } => {
                "somebody else made it, and could make it do anything in our name: look at it, then \
                                     give it to the account that runs migrations or drop it"
                    .to_owned()
            }
            Self::Sql { source, .. } if source.code.as_deref() == Some("42501") => {
                "give the account the privilege, or connect as one that has it".to_owned()
            }
            Self::Sql { .. } | Self::Answer { .. } | Self::File { .. } | Self::Unsupported { .. } => return None,
        })
    }
}

impl RunError {
    /// The exit status it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Clock(_) | Self::NoAudit | Self::Audit(_) | Self::Unaudited(_) | Self::Random => Exit::Unknown,
            Self::Expired { .. }
            | Self::NotPermitted(_)
            | Self::Flavour { .. }
            | Self::TooOld { .. }
            | Self::ReadOnly(_)
            | Self::NotEmpty
            | Self::Shortened { .. }
            | Self::OtherDatabase { .. }
            | Self::UnknownDatabase { .. }
            | Self::History(_) => Exit::No,
            Self::Engine(source) => source.exit(),
            Self::Plan(source) => source.exit(),
            Self::Stopped { source, .. } => source.exit(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Clock(_) => "set the clock of this host".to_owned(),
            Self::Expired { .. } => "pack and sign it again".to_owned(),
            Self::NotPermitted(source) => return source.hint(),
            Self::NoAudit => "name the audit log in the configuration".to_owned(),
            Self::Unaudited(_) => "what happened stands in the history of the database: see `history`".to_owned(),
            Self::Engine(source) => return source.hint(),
            Self::Flavour { expected, found } if expected.engine() != found.engine() => {
                "give the database that the migrations were written for".to_owned()
            }
            Self::Flavour { .. } => {
                "MySQL and MariaDB read some SQL differently: pack for the server that runs here".to_owned()
            }
            Self::ReadOnly(ReadOnly::Replica) => "connect to the primary".to_owned(),
            Self::NotEmpty => {
                "the first run needs an empty database; check that this is the one that was meant".to_owned()
            }
            Self::Shortened { .. } => {
                "a restore that was meant is told with `rebind`; else compare both with `sealift-verifier audit`".to_owned()
            }
            Self::OtherDatabase { .. } => {
                "check which database this is; after a restore or for a clone that was meant, `rebind` gives it a new id, \
                 and the credentials are sealed for that one"
                    .to_owned()
            }
            Self::UnknownDatabase { .. } => {
                "check which database this is; for a clone or a restore that was meant, `rebind` gives it an id of its own"
                    .to_owned()
            }
            Self::History(_) => {
                "the history is hash-chained and was changed by somebody: compare it with the audit log \
                                 and a backup before anything else"
                    .to_owned()
            }
            Self::Plan(source) => return source.hint(),
            Self::Stopped { source, .. } => return source.hint(),
            Self::Audit(_) | Self::Random | Self::TooOld { .. } | Self::ReadOnly(_) => return None,
        })
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<EngineError> for RunError {
    fn from(source: EngineError) -> Self {
        Self::Engine(source)
    }
}

impl From<PlanError> for RunError {
    fn from(source: PlanError) -> Self {
        Self::Plan(source)
    }
}

impl From<HistoryError> for RunError {
    fn from(source: HistoryError) -> Self {
        Self::History(source)
    }
}

impl From<ClockError> for RunError {
    fn from(source: ClockError) -> Self {
        Self::Clock(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stopped_a_run_and_what_kept_it_from_the_audit_log_are_both_told() {
        let stopped = |unaudited| {
            let source = Box::new(ExecuteError::Asked { left: 2 });
            RunError::Stopped { done: Vec::new(), source, unaudited }.to_string()
        };
        assert_eq!(stopped(None), "stopped as asked, before 2 more migrations");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let text = stopped(Some(AuditLogError::File { path: "/a".into(), source: full }));
        assert!(text.starts_with("stopped as asked"), "{text}");
        assert!(text.ends_with("the audit log `/a` cannot be used: no storage space"), "{text}");
    }
}
