//! What the runner asks of a database, and how each answer is to be understood (`history.md` sections 3, 7 and 8).
//!
//! Three implementations: [`postgresql`], `mysql`, `sqlite`. An engine owns one session and knows how to open it again. It
//! does what it is told and reports what happened to it; it decides neither what runs nor whether to go on: that is
//! `plan` and `execute`. It never reads a clock, never prints and never retries by itself.
//!
//! What every implementation must hold:
//!
//! * No setting comes from the environment, from files or from driver defaults.
//! * Nothing but [`Work`] is sent as SQL of a migration, and of it exactly the byte ranges that are not `skip`.
//! * [`Engine::server`], [`Engine::history`], [`Engine::has_objects`] and [`Engine::probe`] write nothing, not even a table,
//!   and work for an account that may only read.
//! * A history row is written only by the session that holds the lock: the writing statement itself fails where it does not.
//! * Dropping an engine at any point, also in the middle of a call, leaves a session that ends by itself and rolls back.

use std::fmt;
use std::time::Duration;

use sealift_spec::Digest;
use sealift_spec::endpoint::{ConnectionUrl, Endpoint};
use sealift_spec::history::Row;
use sealift_spec::manifest::{Baseline, Flavour, Kind, Probe, ServerVersion};
use sealift_spec::name::{Label, Name};
use sealift_spec::text::Source;

use crate::work::Work;

pub mod mysql;
pub mod postgresql;
pub mod sqlite;

/// A boxed cause.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where to connect, as whom, and whom to believe.
pub struct Target {
    /// The connection URL; it may hold a password.
    pub url: ConnectionUrl,
    /// PEM certificates that the server's certificate must chain to. TCP to another machine needs them.
    pub ca: Option<String>,
    /// The role that scripts run as (`SET LOCAL ROLE`); PostgreSQL only.
    pub role: Option<String>,
    /// The id that the database must have, if sealed credentials name it.
    pub id: Option<Label>,
}

/// How a connection is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport<'t> {
    /// TCP with TLS; certificate chain and host name are verified.
    Tls {
        /// The host.
        host: &'t str,
        /// The port.
        port: u16,
        /// PEM certificates.
        ca: &'t str,
    },
    /// TCP in clear, to this very machine.
    Loopback {
        /// The host.
        host: &'t str,
        /// The port.
        port: u16,
    },
    /// A Unix socket (PostgreSQL: the folder it lies in).
    Socket {
        /// The path.
        path: &'t str,
        /// The port that is part of PostgreSQL's socket name.
        port: u16,
    },
    /// A file.
    File {
        /// The path.
        path: &'t str,
    },
}

impl Target {
    /// How to connect: TLS wherever there is a CA, in clear only to this machine.
    ///
    /// # Errors
    /// [`EngineError::Clear`] for another machine without a CA.
    pub fn transport(&self) -> Result<Transport<'_>, EngineError> {
        Ok(match (&self.url.endpoint, &self.ca) {
            (Endpoint::File { path }, _) => Transport::File { path },
            (Endpoint::Socket { path, port, .. }, _) => Transport::Socket { path, port: *port },
            (Endpoint::Tcp { host, port, .. }, Some(ca)) => Transport::Tls { host, port: *port, ca },
            (endpoint @ Endpoint::Tcp { host, port, .. }, None) if endpoint.is_local() => {
                Transport::Loopback { host, port: *port }
            }
            (Endpoint::Tcp { host, .. }, None) => return Err(EngineError::Clear { host: host.clone() }),
        })
    }
}

/// What answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which program.
    pub flavour: Flavour,
    /// Its version.
    pub version: ServerVersion,
    /// Why it takes no changes, if it does not.
    pub read_only: Option<ReadOnly>,
}

/// Why a server takes no changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// It is a replica.
    Replica,
    /// A setting of server, database, account or file says so.
    Setting,
}

/// Who holds the lock, as far as the server tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The server's number for the session, or the process id that holds a file lock.
    pub pid: Option<u64>,
    /// The program, as it calls itself.
    pub application: Option<String>,
    /// The address or host it connected from.
    pub host: Option<String>,
    /// The database account.
    pub user: Option<String>,
    /// Since when its session exists, in the server's words.
    pub since: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.pid.map(|pid| format!("pid {pid}")));
        words.extend(self.application.as_ref().map(|name| format!("program `{}`", Source(name))));
        words.extend(self.user.as_ref().map(|user| format!("user `{}`", Source(user))));
        words.extend(self.host.as_ref().map(|host| format!("from {}", Source(host))));
        words.extend(self.since.as_ref().map(|since| format!("since {}", Source(since))));
        if words.is_empty() { f.write_str("another session") } else { f.write_str(&words.join(", ")) }
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The object is there (an index: and valid).
    Present,
    /// The object is not there.
    Absent,
    /// The index is there and not valid, and no session is building it.
    Invalid,
    /// Another session is building the index at this moment.
    Building,
}

/// An error that the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The server's message.
    pub message: String,
    /// SQLSTATE, or the engine's own error number.
    pub code: Option<String>,
    /// The server's detail.
    pub detail: Option<String>,
    /// The server's hint.
    pub hint: Option<String>,
    /// The byte of the script it points at.
    pub offset: Option<usize>,
    /// Whether the same step may succeed when it is simply tried again: lock timeout, deadlock, serialisation failure.
    pub transient: bool,
}

impl SqlError {
    /// An error with a message alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, detail: None, hint: None, offset: None, transient: false }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Source(&self.message))?;
        if let Some(detail) = &self.detail {
            write!(f, "; {}", Source(detail))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; the server suggests: {}", Source(hint))?;
        }
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " ({})", Source(code)))
    }
}

impl std::error::Error for SqlError {}

/// What happened to a step that did not simply succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StepError {
    /// It failed, and nothing of it remains: not the change, not the row. The session is usable and as before the call
    /// (a failed COMMIT belongs here too).
    RolledBack(SqlError),
    /// It failed with an answer of the server, and something of it remains or may remain: the invalid index of a failed
    /// `CREATE INDEX CONCURRENTLY`, rows in a table without transactions, an `opaque` statement that committed by itself,
    /// or a script that ended its own transaction. The row was not written. The session is usable.
    Remains {
        /// What the server answered.
        error: SqlError,
        /// What remains, in words for an operator.
        what: String,
    },
    /// The connection was lost; whether the step took effect is not known. The session is gone: [`Engine::connect`] next.
    Lost(Cause),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RolledBack(_) => f.write_str("it failed and was rolled back"),
            Self::Remains { what, .. } => f.write_str(what),
            Self::Lost(_) => f.write_str("the connection was lost while it ran"),
        }
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::RolledBack(error) | Self::Remains { error, .. } => Some(error),
            Self::Lost(cause) => Some(&**cause),
        }
    }
}

/// Why an engine could not do what is no step.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// No connection came about: server down, name unknown, TLS refused, login refused.
    Connect {
        /// The endpoint in canonical form, without user and password.
        endpoint: String,
        /// Why.
        source: Cause,
    },
    /// The connection was lost.
    Lost(Cause),
    /// TCP to another machine without a CA.
    Clear {
        /// The machine.
        host: String,
    },
    /// The lock is held, and was not released within the time given.
    Held {
        /// Who holds it.
        holder: Holder,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A baseline setting that this engine does not know or that scripts may not rely on.
    UnknownSetting {
        /// Its name.
        name: String,
    },
    /// A baseline setting that reads back as something else.
    Setting {
        /// Its name.
        name: String,
        /// What was asked for.
        expected: String,
        /// What the server says.
        found: String,
    },
    /// The server answered an error to a statement of ours.
    Sql {
        /// What was being done, such as "reading the history".
        doing: &'static str,
        /// The answer.
        source: SqlError,
    },
    /// The server answered something that cannot be.
    Answer {
        /// What was being done.
        doing: &'static str,
    },
    /// A file of the database could not be used (SQLite).
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The history belongs to an account that is neither ours nor the database's: whoever owns it could make a write to
    /// it do anything in our name.
    Foreign {
        /// What.
        what: String,
        /// Whose.
        owner: String,
    },
    /// The target asks for something this engine cannot do.
    Unsupported {
        /// What.
        what: &'static str,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { endpoint, .. } => write!(f, "no connection to {}", Source(endpoint)),
            Self::Lost(_) => f.write_str("the connection was lost"),
            Self::Clear { host } => {
                write!(f, "`{}` is another machine, and there is no CA certificate to verify it by", Source(host))
            }
            Self::Held { holder, waited } => {
                write!(f, "the lock is held by {holder}, still after {} s", waited.as_secs())
            }
            Self::UnknownSetting { name } => {
                write!(f, "the session setting `{}` of the manifest is not one that may be set", Source(name))
            }
            Self::Setting { name, expected, found } => write!(
                f,
                "the session setting `{}` is `{}` and not `{}`",
                Source(name),
                Source(found),
                Source(expected)
            ),
            Self::Sql { doing, .. } => write!(f, "{doing} failed"),
            Self::Answer { doing } => write!(f, "{doing}: the server answered something unexpected"),
            Self::File { doing, path, .. } => write!(f, "{doing} `{}` failed", Source(path)),
            Self::Foreign { what, owner } => {
                write!(f, "`{}` belongs to `{}`, which is not this account", Source(what), Source(owner))
            }
            Self::Unsupported { what } => write!(f, "this engine has no {what}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect { source, .. } | Self::Lost(source) => Some(&**source),
            Self::Sql { source, .. } => Some(source),
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Called again and again while the lock is held by somebody else, at most a few times a second.
pub type Waiting<'w> = &'w mut dyn FnMut(&Holder);

/// One session with one database.
///
/// The order of calls: `connect`, `server`, then any of `history`, `has_objects`, `probe`; for changes `lock`, `history`,
/// `create_history`, `baseline`, `evidence`, then steps (`record`, `reset`, `transaction`, `statement`). After `Lost`,
/// everything from `connect` on again.
#[expect(async_fn_in_trait, reason = "the runner has one thread; futures need not be Send")]
pub trait Engine {
    /// Opens the session, or opens it again: an old one is dropped first without waiting for it. Creates no database and
    /// no file. Sets nothing but what the driver needs.
    ///
    /// # Errors
    /// [`EngineError::Connect`], [`EngineError::Clear`], [`EngineError::File`], [`EngineError::Unsupported`].
    async fn connect(&mut self) -> Result<(), EngineError>;

    /// Says what answered. The caller judges it (flavour, minimum version, read-only).
    ///
    /// # Errors
    /// [`EngineError`].
    async fn server(&mut self) -> Result<Server, EngineError>;

    /// Takes the lock of a project in this database for this session, and calls `waiting` with the holder while it cannot.
    /// Gives up after `wait`. Waiting must hold no snapshot or table lock. Taking it twice is a caller's bug.
    ///
    /// # Errors
    /// [`EngineError::Held`] after `wait`.
    async fn lock(&mut self, project: &Name, wait: Duration, waiting: Waiting<'_>) -> Result<(), EngineError>;

    /// Reads all rows of the history in order of `seq`; `None` when there is no history table. Never writes. Under the
    /// lock it sees everything that earlier holders committed.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn history(&mut self) -> Result<Option<Vec<Row>>, EngineError>;

    /// Whether the database holds any object of a user: tables, views, routines, types, sequences, in any schema, our own
    /// and those of extensions left out.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn has_objects(&mut self) -> Result<bool, EngineError>;

    /// Creates the history tables where they are missing; all of them or none, where the engine can. An existing table is
    /// left as it is.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn create_history(&mut self) -> Result<(), EngineError>;

    /// Puts the session on the signed baseline: every setting of `baseline` is on the allow-list of this engine (else
    /// [`EngineError::UnknownSetting`], before any is set), is set, and is read back. From now on every script starts from
    /// it: the engine remembers it and undoes what a script changed before the next one starts, in [`Engine::transaction`]
    /// by itself and in [`Engine::reset`] for statements mode.
    ///
    /// # Errors
    /// [`EngineError::UnknownSetting`], [`EngineError::Setting`], or others.
    async fn baseline(&mut self, baseline: &Baseline) -> Result<(), EngineError>;

    /// Stores the envelope of a release by its digest, once; the same digest again is nothing to do. A transaction of its
    /// own.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn evidence(&mut self, release: Digest, envelope: &[u8]) -> Result<(), EngineError>;

    /// Reads the envelopes that are stored beside a history that there is, by the digests they are stored by.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn envelopes(&mut self) -> Result<Vec<(String, String)>, EngineError>;

    /// Removes everything from the database, history included. Asked for only where the history says that it is bound to
    /// the environment `dev`, under the lock.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn wipe(&mut self) -> Result<(), EngineError>;

    /// Writes one history row in a transaction of its own. The write fails, with nothing written, unless this session
    /// holds the lock and the newest row is number `row.seq - 1`. Runs as the login account and untouched by what a
    /// script set. Durable on return.
    ///
    /// # Errors
    /// [`StepError`]; `Remains` does not occur.
    async fn record(&mut self, row: &Row) -> Result<(), StepError>;

    /// Runs a transaction-mode script and writes `row` in the same transaction: begin, the unit's timeouts, the role, the
    /// script, the row (as in [`Engine::record`], and only if the transaction is still the one that was begun), commit.
    /// Starts from the baseline. Durable on return. Never retries: a transient error is reported as such.
    ///
    /// # Errors
    /// [`StepError`]. A script that ended the transaction itself is `Remains`.
    async fn transaction(&mut self, work: &Work<'_>, row: &Row) -> Result<(), StepError>;

    /// Puts the session back on the baseline before the first statement of a statements-mode script, with the unit's
    /// timeouts (and `foreign_keys`) and role for what follows.
    ///
    /// # Errors
    /// [`StepError`]; `Remains` does not occur.
    async fn reset(&mut self, work: &Work<'_>) -> Result<(), StepError>;

    /// Whether a statement of this kind can share a transaction with a history row, so that both are there or neither.
    /// Where the answer is true, [`Engine::statement`] is given the row; where it is false, the caller has recorded the
    /// statement as in flight, runs it without a row, and records its end.
    fn shares_transaction(&self, kind: Kind) -> bool;

    /// Runs one statement of a statements-mode script, by its index; never a `skip` one. With a row: both in one
    /// transaction. `concurrent` statements run outside of any transaction and without lock and statement timeouts; they
    /// are done only when the object is valid: if the statement's probe expects `valid`, it is looked up afterwards, also
    /// when the server reported success (`IF NOT EXISTS` succeeds on an invalid leftover), and `Remains` tells what is there.
    ///
    /// # Errors
    /// [`StepError`].
    async fn statement(&mut self, work: &Work<'_>, index: usize, row: Option<&Row>) -> Result<(), StepError>;

    /// Looks an object up, with names resolved as the script would resolve them at this point: after [`Engine::reset`] and
    /// the replay of its `session` statements.
    ///
    /// # Errors
    /// [`EngineError`].
    async fn probe(&mut self, probe: &Probe) -> Result<Finding, EngineError>;

    /// Ends the session, which also gives up the lock. Errors no longer matter to anybody.
    async fn close(self);
}
