//! One connection to SQLite and what is watched over it.
//!
//! SQLite works in this process, so what a server would do for us is done by its hooks: a statement that runs too long or
//! that nobody waits for any more is interrupted; while a script runs, a COMMIT becomes a ROLLBACK, whoever sent it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sealift_spec::history::Row;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _, SqliteConnection};

use crate::engine::{Cause, EngineError, SqlError, StepError};

/// How many steps of SQLite's virtual machine pass between two looks at the watch.
const STEPS: i32 = 4_000;

/// `SQLITE_INTERRUPT`.
const INTERRUPTED: &str = "9";

/// `SQLITE_READONLY_ROLLBACK`, `_RECOVERY`, `_CANTLOCK` and `_CANTINIT`.
const RECOVERY: [&str; 4] = ["776", "264", "520", "1288"];

/// `SQLITE_ERROR`: what the check of foreign keys answers to a key that cannot be judged.
const MISMATCH: &str = "1";

/// `SQLITE_CONSTRAINT_COMMITHOOK`.
const COMMIT_REFUSED: &str = "531";

/// Shared with the hooks, which run in the thread of the connection.
struct Watch {
    born: Instant,
    /// Milliseconds after `born`; 0 is never.
    deadline: AtomicU64,
    /// Nobody waits for an answer any more.
    abandoned: AtomicBool,
    /// A script runs: nothing may be committed.
    sealed: AtomicBool,
    /// The transaction ended while it was sealed.
    ended: AtomicBool,
}

impl Watch {
    fn goes_on(&self) -> bool {
        let deadline = self.deadline.load(SeqCst);
        !self.abandoned.load(SeqCst) && (deadline == 0 || self.born.elapsed().as_millis() < u128::from(deadline))
    }
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// To be read.
    Read,
    /// To be read, by a connection that may do what SQLite must before a file that a dead writer left can be read.
    Recover,
    /// To be changed.
    Write,
    /// To be changed, and created if it is missing.
    Create,
}

/// A row whose foreign key points nowhere: table, row number, parent table, number of the key.
pub(super) type Violation = (String, Option<i64>, String, i64);

/// All such rows, each with how often it was reported (tables without row numbers).
pub(super) type Violations = BTreeMap<Violation, u64>;

/// A connection.
pub(super) struct Session {
    connection: SqliteConnection,
    watch: Leash,
}

/// The watch in the hands of the one who waits for answers.
struct Leash(Arc<Watch>);

impl Drop for Leash {
    fn drop(&mut self) {
        self.abandoned.store(true, SeqCst);
    }
}

impl std::ops::Deref for Leash {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.0
    }
}

/// Sorts an error of the driver: an answer of SQLite, or anything else.
fn sort(error: sqlx::Error) -> Result<SqlError, Cause> {
    let sqlx::Error::Database(answer) = &error else { return Err(error.into()) };
    let code = answer.code().unwrap_or_default();
    let (message, transient) = match code.as_ref() {
        COMMIT_REFUSED => ("the script tried to end the transaction it runs in".to_owned(), false),
        code => {
            // The low byte is the class: SQLITE_BUSY is 5.
            (answer.message().to_owned(), code.parse::<u32>().is_ok_and(|code| code & 0xff == 5))
        }
    };
    Ok(SqlError { code: Some(format!("SQLite {code}")), transient, ..SqlError::new(message) })
}

/// The error of a step that leaves nothing behind once it is rolled back.
pub(super) fn step(error: sqlx::Error) -> StepError {
    match sort(error) {
        Ok(error) => StepError::RolledBack(error),
        Err(cause) => StepError::Lost(cause),
    }
}

/// The error of anything else.
pub(super) fn engine(doing: &'static str) -> impl Fn(sqlx::Error) -> EngineError {
    move |error| match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            EngineError::Answer { doing }
        }
        error => match sort(error) {
            Ok(source) => EngineError::Sql { doing, source },
            Err(cause) => EngineError::Lost(cause),
        },
    }
}

impl Session {
    /// Opens a file; `None` is an empty database in memory.
    pub(super) async fn open(path: Option<&Path>, opening: Opening) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new();
        let options = match path {
            // An absolute path cannot be taken for a `file:` URI.
            Some(path) => options.filename(path),
            None => options.in_memory(true),
        };
        let options = options
            .read_only(path.is_some() && opening == Opening::Read)
            .create_if_missing(opening == Opening::Create)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let watch = Arc::new(Watch {
            born: Instant::now(),
            deadline: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let mut handle = connection.lock_handle().await?;
        let (progress, commit, rollback) = (watch.clone(), watch.clone(), watch.clone());
        handle.set_progress_handler(STEPS, move || progress.goes_on());
        handle.set_commit_hook(move || !commit.sealed.load(SeqCst));
        handle.set_rollback_hook(move || {
            if rollback.sealed.load(SeqCst) {
                rollback.ended.store(true, SeqCst);
            }
        });
        drop(handle);
        let mut session = Self { connection, watch: Leash(watch) };
        if opening == Opening::Recover {
            session.execute("PRAGMA query_only = 1").await?;
        }
        Ok(session)
    }

    /// Whether a file that was opened to be read cannot be, because a dead writer left a journal to be rolled back or a
    /// log to be gone through.
    pub(super) async fn needs_recovery(&mut self) -> bool {
        let read = self.number("SELECT count(*) FROM main.sqlite_schema").await;
        matches!(read, Err(sqlx::Error::Database(answer)) if answer.code().is_some_and(|code| RECOVERY.contains(&&*code)))
    }

    /// Ends the session and waits until the file is closed.
    pub(super) async fn close(self) {
        // A connection that cannot be closed is closed by the end of the process.
        let _ = self.connection.close().await;
    }

    /// Runs SQL of ours.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await?.rows_affected())
    }

    /// Runs SQL of a script; 0 is no limit of time.
    pub(super) async fn run(&mut self, sql: &str, limit_ms: u32) -> Result<(), StepError> {
        if sql.contains('\0') {
            let message = "the script holds a NUL character, where SQLite would stop reading";
            return Err(StepError::RolledBack(SqlError::new(message)));
        }
        let now = u64::try_from(self.watch.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        let deadline = if limit_ms == 0 { 0 } else { now.saturating_add(u64::from(limit_ms)).max(1) };
        self.watch.deadline.store(deadline, SeqCst);
        let result = self.execute(sql).await;
        self.watch.deadline.store(0, SeqCst);
        match result {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(answer)) if answer.code().as_deref() == Some(INTERRUPTED) => {
                let message = format!("it ran longer than the {limit_ms} ms it may");
                Err(StepError::RolledBack(SqlError { code: Some("SQLite 9".to_owned()), ..SqlError::new(message) }))
            }
            Err(error) => Err(step(error)),
        }
    }

    /// Begins a transaction that takes the write lock at once. Until [`Session::unseal`] nothing can be committed.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.execute("BEGIN IMMEDIATE").await?;
        self.watch.ended.store(false, SeqCst);
        self.watch.sealed.store(true, SeqCst);
        Ok(())
    }

    /// Ends what [`Session::begin`] began to guard.
    fn unseal(&mut self) -> Result<(), StepError> {
        self.watch.sealed.store(false, SeqCst);
        if self.watch.ended.swap(false, SeqCst) {
            return Err(StepError::RolledBack(SqlError::new("the script ended the transaction it ran in")));
        }
        Ok(())
    }

    /// Writes a history row, if it is the next one, and commits.
    pub(super) async fn commit(&mut self, row: &Row) -> Result<(), StepError> {
        self.unseal()?;
        const INSERT: &str = "INSERT INTO main.sealift_history (seq, body, sha256) SELECT ?1, ?2, ?3 \
             WHERE (SELECT coalesce(max(seq), 0) FROM main.sealift_history) = ?1 - 1";
        let seq = i64::try_from(row.seq).unwrap_or(i64::MAX);
        let insert = sqlx::query(INSERT).bind(seq).bind(row.body.as_str()).bind(row.sha256.as_str());
        if insert.execute(&mut self.connection).await.map_err(step)?.rows_affected() != 1 {
            let message = format!("the history has moved: its newest row is not number {}", row.seq.saturating_sub(1));
            return Err(StepError::RolledBack(SqlError::new(message)));
        }
        self.execute("COMMIT").await.map_err(step)?;
        Ok(())
    }

    /// Rolls back whatever transaction there is, after a step failed.
    pub(super) async fn rollback(&mut self, failed: StepError) -> StepError {
        self.watch.sealed.store(false, SeqCst);
        self.watch.ended.store(false, SeqCst);
        // Some errors roll back by themselves; then this one says that there is no transaction.
        match self.execute("ROLLBACK").await {
            Ok(_) | Err(sqlx::Error::Database(_)) => failed,
            Err(error) => StepError::Lost(error.into()),
        }
    }

    /// Reads one number.
    pub(super) async fn number(&mut self, sql: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await
    }

    /// Reads one text.
    pub(super) async fn text(&mut self, sql: &'static str) -> Result<String, sqlx::Error> {
        sqlx::query_scalar(sql).fetch_one(&mut self.connection).await
    }

    /// Reads one number that depends on some names.
    pub(super) async fn count(&mut self, sql: &'static str, names: &[&str]) -> Result<i64, sqlx::Error> {
        let query = names.iter().fold(sqlx::query_scalar(sql), |query, name| query.bind(*name));
        query.fetch_one(&mut self.connection).await
    }

    /// Reads the history.
    pub(super) async fn history(&mut self) -> Result<Vec<Row>, sqlx::Error> {
        let rows = sqlx::query("SELECT seq, body, sha256 FROM main.sealift_history ORDER BY seq");
        let rows = rows.fetch_all(&mut self.connection).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let seq: i64 = row.try_get(0)?;
            // A number no event has is found by whoever reads the chain.
            let seq = u64::try_from(seq).unwrap_or(u64::MAX);
            Ok(Row { seq, body: row.try_get(1)?, sha256: row.try_get(2)? })
        };
        rows.iter().map(read).collect()
    }

    /// Reads the envelopes.
    pub(super) async fn envelopes(&mut self) -> Result<Vec<(String, String)>, sqlx::Error> {
        let rows = sqlx::query("SELECT sha256, body FROM main.sealift_evidence ORDER BY sha256");
        let rows = rows.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Stores an envelope once.
    pub(super) async fn evidence(&mut self, digest: &str, envelope: &str) -> Result<(), sqlx::Error> {
        let insert = "INSERT INTO main.sealift_evidence (sha256, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(digest).bind(envelope).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Lists the rows whose foreign keys point nowhere, in tables whose keys can be judged: a key that names columns
    /// without a unique index is none to SQLite.
    pub(super) async fn violations(&mut self) -> Result<Violations, sqlx::Error> {
        let mut all = Violations::new();
        match self.violations_of("PRAGMA main.foreign_key_check").await {
            Ok(rows) => rows.into_iter().for_each(|row| *all.entry(row).or_default() += 1),
            Err(sqlx::Error::Database(answer)) if answer.code().as_deref() == Some(MISMATCH) => {
                let tables = "SELECT DISTINCT t.name FROM main.sqlite_schema t, pragma_foreign_key_list(t.name) \
                     WHERE t.type = 'table'";
                let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut self.connection).await?;
                for table in tables {
                    let check = format!("PRAGMA main.foreign_key_check({})", quoted(&table));
                    match self.violations_of(&check).await {
                        Ok(rows) => rows.into_iter().for_each(|row| *all.entry(row).or_default() += 1),
                        Err(sqlx::Error::Database(answer)) if answer.code().as_deref() == Some(MISMATCH) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(all)
    }

    async fn violations_of(&mut self, check: &str) -> Result<Vec<Violation>, sqlx::Error> {
        let rows = sqlx::raw_sql(AssertSqlSafe(check)).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))).collect()
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
