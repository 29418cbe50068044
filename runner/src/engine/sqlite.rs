//! SQLite (`history.md` sections 3, 7 and 8).
//!
//! The database works inside this process. The file is touched through SQLite only: a `close` of it by anybody else in the
//! process would drop SQLite's locks; paths are looked up with `stat`. Runners exclude each other by a lock file
//! ([`lock`]), and a history row is written only if it is the next one, inside `BEGIN IMMEDIATE`. A script can commit
//! nothing: every COMMIT is refused until the row is written ([`session`]).
//!
//! A script that could have left something in its connection (a setting, a temporary object, an attached file) is followed
//! by a new connection. Whether it could is judged by words in its bytes, which errs on the side of a new connection
//! ([`script`]).
//! Foreign keys are enforced during a script or not, as its unit says. When not, the script may leave no row without
//! its parent that was not there before.
//!
//! A reader writes nothing, with one exception that every program with SQLite makes: where a writer died, the file can
//! only be read once its journal has been rolled back.
//!
//! Deliberately not here: several migrations in one commit. [`Sqlite::transaction`] is the place where they would meet.

mod lock;
mod script;
mod session;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Access as Permission;
use sealift_spec::Digest;
use sealift_spec::baseline;
use sealift_spec::history::Row;
use sealift_spec::manifest::{Baseline, Flavour, Kind, Mode, Object, Probe, Statement};
use sealift_spec::name::Name;

use self::lock::FileLock;
use self::script::{Judge, Part, at, first_word, inside, leaves_something};
use self::session::{Opening, Session, Violations, engine, step};
use super::{Engine, EngineError, Finding, ReadOnly, Server, SqlError, StepError, Target, Transport, Waiting};
use crate::work::Work;

/// How often the lock is asked for.
const POLL: Duration = Duration::from_millis(250);

/// The setting that every end of a transaction switches off.
const DEFER: &str = "defer_foreign_keys";

/// The tables of the history. No `STRICT`: SQLite before 3.37 could not open the database any more.
const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS main.sealift_history (
    seq INTEGER NOT NULL PRIMARY KEY,
    body TEXT NOT NULL CHECK (typeof(body) = 'text'),
    sha256 TEXT NOT NULL CHECK (typeof(sha256) = 'text')
);
CREATE TABLE IF NOT EXISTS main.sealift_evidence (
    sha256 TEXT NOT NULL PRIMARY KEY CHECK (typeof(sha256) = 'text'),
    body TEXT NOT NULL CHECK (typeof(body) = 'text')
);";

/// What may be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read, and must exist.
    Read,
    /// It is read; a missing one counts as an empty database.
    Preview,
    /// It is changed, and must exist.
    Write,
    /// It is changed; a missing one is created by [`Engine::create_history`], the first call that writes.
    Create,
}

impl Access {
    fn opening(self) -> Opening {
        match self {
            Self::Read | Self::Preview => Opening::Read,
            Self::Write | Self::Create => Opening::Write,
        }
    }
}

/// A SQLite database.
pub struct Sqlite {
    target: Target,
    access: Access,
    /// The real path, once connected.
    file: PathBuf,
    /// Whether the session stands for a file that does not exist.
    missing: bool,
    // Dropped before the lock.
    session: Option<Session>,
    lock: Option<FileLock>,
    baseline: Option<Baseline>,
    /// A script ran that could have left something in the session.
    stale: bool,
    /// Statements mode: what was wrong before the script, where that matters.
    before: Option<Violations>,
}

impl Sqlite {
    /// An engine that is not connected yet.
    pub fn new(target: Target, access: Access) -> Self {
        Self {
            target,
            access,
            file: PathBuf::new(),
            missing: false,
            session: None,
            lock: None,
            baseline: None,
            stale: false,
            before: None,
        }
    }

    /// The path, as it was given.
    fn path(&self) -> Result<&Path, EngineError> {
        match self.target.transport()? {
            Transport::File { path } => Ok(Path::new(path)),
            _ => Err(EngineError::Unsupported { what: "connection to a server" }),
        }
    }

    fn file_error(&self, doing: &'static str) -> impl Fn(io::Error) -> EngineError + use<> {
        let path = self.target.url.endpoint.to_string();
        move |source| EngineError::File { doing, path: path.clone(), source }
    }

    /// Opens the file, or an empty database in memory where it is missing.
    async fn open(&mut self, opening: Opening) -> Result<(), EngineError> {
        self.session = None;
        let file = (!self.missing || opening == Opening::Create).then_some(self.file.as_path());
        let session = Session::open(file, opening).await;
        let session = session.map_err(|e| {
            let endpoint = self.target.url.endpoint.to_string();
            EngineError::Connect { endpoint, source: e.into() }
        })?;
        self.session = Some(session);
        self.stale = false;
        Ok(())
    }

    fn session(&mut self) -> Result<&mut Session, EngineError> {
        self.session.as_mut().ok_or_else(|| EngineError::Lost("there is no session".into()))
    }

    fn step_session(&mut self) -> Result<&mut Session, StepError> {
        if self.lock.is_none() {
            return Err(StepError::RolledBack(SqlError::new("this session does not hold the lock")));
        }
        self.session.as_mut().ok_or_else(|| StepError::Lost("there is no session".into()))
    }

    /// Starts from the baseline: in a new connection if the last script could have left something in this one.
    async fn fresh(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        self.step_session()?;
        if self.stale {
            let lost = |error: EngineError| StepError::Lost(error.into());
            if let Some(session) = self.session.take() {
                session.close().await;
            }
            self.open(self.access.opening()).await.map_err(lost)?;
            if let Some(baseline) = self.baseline.clone() {
                self.baseline(&baseline).await.map_err(lost)?;
            }
        }
        self.stale |= leaves_something(work.sql());
        let unit = work.unit();
        let session = self.step_session()?;
        // 0 is no limit to us, and no waiting at all to SQLite.
        let wait = if unit.timeouts.lock_ms == 0 { i32::MAX as u32 } else { unit.timeouts.lock_ms };
        session.execute(&format!("PRAGMA busy_timeout = {wait}")).await.map_err(step)?;
        let enforced = i64::from(unit.foreign_keys == Some(true));
        session.execute(&format!("PRAGMA foreign_keys = {enforced}")).await.map_err(step)?;
        if session.number("PRAGMA foreign_keys").await.map_err(step)? != enforced {
            return Err(StepError::RolledBack(SqlError::new("foreign key enforcement cannot be switched")));
        }
        Ok(())
    }

    /// Runs some statements and writes the row, in one transaction. Says whether it did: it did not, and rolled back,
    /// where [`Judge::After`] found rows whose foreign keys point nowhere.
    async fn attempt(&mut self, parts: &[Part<'_>], limit_ms: u32, judge: Judge, row: &Row) -> Result<bool, StepError> {
        let defer = self.baseline.as_ref().and_then(|b| b.0.get(DEFER)).is_some_and(|value| boolean(value) == Some(1));
        let session = self.step_session()?;
        session.begin().await.map_err(step)?;
        match inside(session, parts, limit_ms, judge, defer, row).await {
            Ok(true) => Ok(true),
            Ok(false) => match session.rollback(StepError::RolledBack(SqlError::new("foreign keys"))).await {
                StepError::RolledBack(_) => Ok(false),
                lost => Err(lost),
            },
            Err(error) => Err(session.rollback(error).await),
        }
    }

    /// Whether a statement is the last one of its script that shares its transaction with a row.
    fn is_last(&self, work: &Work<'_>, index: usize) -> bool {
        let shares = |(_, statement): (_, &Statement)| self.shares_transaction(statement.kind);
        !work.statements().skip(index + 1).any(shares)
    }
}

/// The value of a setting that is on or off.
fn boolean(value: &str) -> Option<i64> {
    match value.to_ascii_lowercase().as_str() {
        "0" | "off" | "no" | "false" => Some(0),
        "1" | "on" | "yes" | "true" => Some(1),
        _ => None,
    }
}

impl Engine for Sqlite {
    async fn connect(&mut self) -> Result<(), EngineError> {
        self.session = None;
        self.lock = None;
        let found = self.file_error("finding database");
        let path = self.path()?.to_owned();
        match std::fs::canonicalize(&path) {
            Ok(file) => {
                // `stat`: opening the file here, and closing it, would drop locks.
                if !std::fs::metadata(&file).map_err(&found)?.is_file() {
                    return Err(found(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file")));
                }
                (self.file, self.missing) = (file, false);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dangling = std::fs::symlink_metadata(&path).is_ok();
                let may_miss = matches!(self.access, Access::Preview | Access::Create);
                let (Some(name), false, true) = (path.file_name(), dangling, may_miss) else {
                    return Err(found(error));
                };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = std::fs::canonicalize(folder.unwrap_or(Path::new("."))).map_err(&found)?;
                (self.file, self.missing) = (folder.join(name), true);
            }
            Err(error) => return Err(found(error)),
        }
        self.open(self.access.opening()).await?;
        if self.access.opening() == Opening::Read && self.session()?.needs_recovery().await {
            self.open(Opening::Recover).await?;
        }
        Ok(())
    }

    async fn server(&mut self) -> Result<Server, EngineError> {
        const DOING: &str = "reading the version of SQLite";
        let version = self.session()?.text("SELECT sqlite_version()").await.map_err(engine(DOING))?;
        let version = version.parse().map_err(|_| EngineError::Answer { doing: DOING })?;
        // Journals lie in the folder of the file.
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let writable = |path: &Path| rustix::fs::access(path, Permission::WRITE_OK).is_ok();
        let writable = writable(folder) && (self.missing || writable(&self.file));
        let read_only = (!writable).then_some(ReadOnly::Setting);
        Ok(Server { flavour: Flavour::Sqlite, version, read_only })
    }

    async fn lock(&mut self, _project: &Name, wait: Duration, waiting: Waiting<'_>) -> Result<(), EngineError> {
        let failed = self.file_error("locking database");
        let start = Instant::now();
        self.lock = Some(loop {
            match FileLock::take(&self.file).map_err(&failed)? {
                Ok(lock) => break lock,
                Err(holder) => {
                    let waited = start.elapsed();
                    if waited >= wait {
                        return Err(EngineError::Held { holder, waited });
                    }
                    waiting(&holder);
                    tokio::time::sleep(POLL.min(wait - waited)).await;
                }
            }
        });
        if self.missing && self.file.exists() {
            self.missing = false;
            self.open(self.access.opening()).await?;
        }
        Ok(())
    }

    async fn history(&mut self) -> Result<Option<Vec<Row>>, EngineError> {
        const DOING: &str = "reading the history";
        let session = self.session()?;
        let tables = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = 'sealift_history'";
        if session.number(tables).await.map_err(engine(DOING))? == 0 {
            return Ok(None);
        }
        session.history().await.map(Some).map_err(engine(DOING))
    }

    async fn has_objects(&mut self) -> Result<bool, EngineError> {
        let others = "SELECT count(*) FROM main.sqlite_schema WHERE substr(name, 1, 7) <> 'sqlite_' \
             AND tbl_name NOT IN ('sealift_history', 'sealift_evidence')";
        Ok(self.session()?.number(others).await.map_err(engine("reading the schema"))? > 0)
    }

    async fn create_history(&mut self) -> Result<(), EngineError> {
        const DOING: &str = "creating the history";
        if self.missing {
            self.open(Opening::Create).await?;
            self.missing = false;
        }
        let session = self.session()?;
        session.execute("BEGIN IMMEDIATE").await.map_err(engine(DOING))?;
        let created = match session.execute(TABLES).await {
            Ok(_) => session.execute("COMMIT").await,
            Err(error) => Err(error),
        };
        if let Err(error) = created {
            // The first error is the one to report.
            let _ = session.execute("ROLLBACK").await;
            return Err(engine(DOING)(error));
        }
        Ok(())
    }

    async fn baseline(&mut self, baseline: &Baseline) -> Result<(), EngineError> {
        const DOING: &str = "setting the baseline";
        let known = baseline::defaults(Flavour::Sqlite);
        if let Some(name) = baseline.0.keys().find(|name| !known.contains_key(*name)) {
            return Err(EngineError::UnknownSetting { name: name.clone() });
        }
        self.baseline = Some(baseline.clone());
        let session = self.session()?;
        for (name, expected) in &baseline.0 {
            if let Some(value) = boolean(expected) {
                session.execute(&format!("PRAGMA {name} = {value}")).await.map_err(engine(DOING))?;
            }
            let found = session.number(&format!("PRAGMA {name}")).await.map_err(engine(DOING))?;
            if boolean(expected) != Some(found) {
                let (name, expected, found) = (name.clone(), expected.clone(), found.to_string());
                return Err(EngineError::Setting { name, expected, found });
            }
        }
        Ok(())
    }

    async fn envelopes(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        self.session()?.envelopes().await.map_err(engine("reading the evidence"))
    }

    async fn evidence(&mut self, release: Digest, envelope: &[u8]) -> Result<(), EngineError> {
        const DOING: &str = "storing the release";
        let envelope =
            std::str::from_utf8(envelope).map_err(|_| EngineError::Unsupported { what: "binary envelope" })?;
        self.session()?.evidence(&release.to_string(), envelope).await.map_err(engine(DOING))
    }

    async fn wipe(&mut self) -> Result<(), EngineError> {
        const DOING: &str = "emptying the database";
        // The way of SQLite's own manual to reset a file that other processes may have open.
        let steps = [
            "PRAGMA writable_schema = ON",
            "DELETE FROM main.sqlite_schema",
            "PRAGMA writable_schema = RESET",
            "VACUUM",
        ];
        let session = self.session()?;
        for step in steps {
            session.execute(step).await.map_err(engine(DOING))?;
        }
        Ok(())
    }

    async fn record(&mut self, row: &Row) -> Result<(), StepError> {
        let stale = self.stale;
        let session = self.step_session()?;
        if stale {
            // What a script of statements mode may have said does not hold for our own rows.
            session.execute("PRAGMA query_only = 0; PRAGMA synchronous = FULL").await.map_err(step)?;
        }
        session.begin().await.map_err(step)?;
        match session.commit(row).await {
            Ok(()) => Ok(()),
            Err(error) => Err(session.rollback(error).await),
        }
    }

    async fn transaction(&mut self, work: &Work<'_>, row: &Row) -> Result<(), StepError> {
        self.fresh(work).await?;
        let unit = work.unit();
        let parts: Vec<Part<'_>> = work.sent().map(|(range, sql)| (range.start, sql)).collect();
        let judge = if unit.foreign_keys == Some(true) { Judge::Nothing } else { Judge::After };
        let limit = unit.timeouts.statement_ms;
        // Checking every key costs time: it is done once in the good case, and before the script only where it found
        // something after it, which may have been there all the time.
        if !self.attempt(&parts, limit, judge, row).await? {
            self.attempt(&parts, limit, Judge::Around, row).await?;
        }
        Ok(())
    }

    async fn reset(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        self.fresh(work).await?;
        self.before = match work.script().mode {
            Mode::Statements => Some(self.step_session()?.violations().await.map_err(step)?),
            Mode::Transaction => None,
        };
        Ok(())
    }

    fn shares_transaction(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Ddl | Kind::Dml | Kind::Copy | Kind::Group)
    }

    async fn statement(&mut self, work: &Work<'_>, index: usize, row: Option<&Row>) -> Result<(), StepError> {
        let Some((range, statement)) = work.statement(index) else {
            return Err(StepError::RolledBack(SqlError::new("there is no such statement")));
        };
        let (start, sql) = (range.start, &work.sql()[range]);
        // VACUUM takes as long as it takes.
        let limit = if statement.kind == Kind::Concurrent { 0 } else { work.unit().timeouts.statement_ms };
        let Some(row) = row else {
            let result = self.step_session()?.run(sql, limit).await;
            return result.map_err(|error| at(error, start + first_word(sql)));
        };
        let last = self.is_last(work, index);
        // The script may have switched it itself.
        let enforced = self.step_session()?.number("PRAGMA foreign_keys").await.map_err(step)? == 1;
        let judge = match &self.before {
            Some(before) if last && !enforced => Judge::Against(before.clone()),
            _ => Judge::Nothing,
        };
        self.attempt(&[(start, sql)], limit, judge, row).await?;
        Ok(())
    }

    async fn probe(&mut self, probe: &Probe) -> Result<Finding, EngineError> {
        const DOING: &str = "looking an object up";
        let name = |parts: &[String]| match parts {
            [name] => Ok(name.clone()),
            [schema, name] if schema.eq_ignore_ascii_case("main") => Ok(name.clone()),
            _ => Err(EngineError::Unsupported { what: "schema but `main`" }),
        };
        let object = name(&probe.name)?;
        let table = if probe.table.is_empty() { None } else { Some(name(&probe.table)?) };
        let kind = match probe.object {
            Object::Table => "table",
            Object::View => "view",
            Object::Index => "index",
            Object::Trigger => "trigger",
            Object::Column => "",
            Object::Routine => return Err(EngineError::Unsupported { what: "routines" }),
        };
        let session = self.session()?;
        let found = match (kind, table) {
            ("", Some(table)) => {
                let columns = "SELECT count(*) FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2 COLLATE NOCASE";
                session.count(columns, &[&table, &object]).await
            }
            ("", None) => return Err(EngineError::Unsupported { what: "columns without a table" }),
            (kind, table) => {
                let objects = "SELECT count(*) FROM main.sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE NOCASE \
                     AND (?3 = '' OR tbl_name = ?3 COLLATE NOCASE)";
                session.count(objects, &[kind, &object, table.as_deref().unwrap_or_default()]).await
            }
        };
        Ok(if found.map_err(engine(DOING))? > 0 { Finding::Present } else { Finding::Absent })
    }

    async fn close(mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

#[cfg(test)]
mod tests;
