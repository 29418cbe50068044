//! MySQL and MariaDB (`history.md` sections 3, 7 and 8).
//!
//! DDL commits by itself here, so there is no transaction mode. A statement that changes rows shares its transaction with
//! the record of its progress, where its tables have transactions ([`storage`]); every other one is recorded before and
//! after. The session that works holds a lock of the server by name; each row is written only if it still does ([`sql`]).
//!
//! User variables, temporary tables and prepared statements of a script end only with its session. After a script that
//! could have left some, the lock is handed over to a new session through a gate, so that nobody else can take it in
//! between. Deliberately not here: clusters that take writes on several servers, where such a lock holds on one of them.

mod failure;
mod session;
mod setting;
mod sql;
mod storage;

use std::str::FromStr;
use std::time::{Duration, Instant};

use sealift_spec::Digest;
use sealift_spec::history::Row;
use sealift_spec::manifest::{Baseline, Expect, Flavour, Kind, Object, Probe, ServerVersion, Timeouts};
use sealift_spec::name::Name;

use self::failure::{at, remains};
use self::session::{Failure, Session, Texts, program};
use self::sql::{Guard, LockName, TABLE_OPTIONS, TABLES, identifier, insert, text};
use self::storage::Storage;
use crate::engine::{Engine, EngineError, Finding, Holder, ReadOnly, Server, SqlError, StepError, Target, Waiting};
use crate::work::Work;

/// How often the lock is asked for.
const POLL: Duration = Duration::from_millis(250);

/// How long our own statements wait for a lock, and a new session for the old one's.
const PATIENCE: u32 = 5;

/// An error of ours: a subquery of two rows, which stands where a row must not be written.
const GUARD: u16 = 1242;

/// A savepoint that is gone.
const NO_SAVEPOINT: u16 = 1305;

/// A table that does not exist.
const NO_TABLE: u16 = 1146;

/// One session with a MySQL or MariaDB database.
pub struct Mysql {
    target: Target,
    session: Option<Session>,
    /// The database, as the server spells it.
    database: String,
    program: Option<(Flavour, ServerVersion)>,
    /// Held by the session.
    lock: Option<LockName>,
    /// The largest message the server takes.
    largest: u64,
    /// Puts a session on the baseline, once there is one.
    settings: Option<String>,
    /// A script ran that could have left something in the session.
    stale: bool,
    storage: Storage,
}

impl Mysql {
    /// An engine that is not connected yet.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            session: None,
            database: String::new(),
            program: None,
            lock: None,
            largest: 0,
            settings: None,
            stale: false,
            storage: Storage::default(),
        }
    }

    fn session(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| Failure::Lost("there is no session".into()))
    }

    /// Forgets a session that is gone.
    fn settle<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(result, Err(Failure::Lost(_))) {
            (self.session, self.lock) = (None, None);
        }
        result
    }

    async fn ask(&mut self, sql: &str) -> Result<Vec<Texts>, Failure> {
        let result = match self.session() {
            Ok(session) => session.ask(sql).await,
            Err(failure) => Err(failure),
        };
        self.settle(result)
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let result = match self.session() {
            Ok(session) => session.run(sql).await,
            Err(failure) => Err(failure),
        };
        self.settle(result)
    }

    async fn cell(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        Ok(self.ask(sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Server variables by name; those that do not exist are left out.
    async fn variables(&mut self, names: &str) -> Result<impl Fn(&str) -> Option<String> + use<>, Failure> {
        let rows = self.ask(&format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})")).await?;
        Ok(move |name: &str| {
            let row = rows.iter().find(|row| row.first().is_some_and(|found| found.as_deref() == Some(name)))?;
            row.get(1)?.clone()
        })
    }

    /// The statements that write a row.
    fn insert(&self, row: &Row) -> Result<String, StepError> {
        match (&self.session, &self.lock) {
            (Some(session), Some(lock)) => {
                let guard = Guard { lock, connection: session.id, host: &session.host, server: session.server };
                Ok(insert(&guard, &self.database, row))
            }
            (None, _) => Err(StepError::Lost("there is no session".into())),
            (_, None) => Err(StepError::RolledBack(SqlError::new("this session does not hold the lock"))),
        }
    }

    /// Rolls back after an error in a transaction.
    async fn roll_back(&mut self, failure: Failure) -> StepError {
        let (error, number) = match failure {
            Failure::Lost(cause) => return StepError::Lost(cause),
            Failure::Sql(error, number) => (error, number),
        };
        let error = match number {
            GUARD => SqlError {
                transient: false,
                ..SqlError::new(
                    "the row was not written: this session does not hold the lock on this server any more, the history has \
                 moved, or a trigger interferes",
                )
            },
            _ => error,
        };
        let result = match self.session() {
            Ok(session) => session.roll_back().await,
            Err(failure) => Err(failure),
        };
        match self.settle(result) {
            Ok(false) => StepError::RolledBack(error),
            Ok(true) => {
                let what = "rows of tables without transactions".to_owned();
                StepError::Remains { error, what }
            }
            Err(failure) => failure.step(),
        }
    }

    /// Hands the lock over to a new session, without a moment in which somebody else could take it.
    async fn renew(&mut self) -> Result<(), StepError> {
        let lost = |why: &'static str| StepError::Lost(why.into());
        let Some(LockName { lock, gate }) = &self.lock else { return Err(lost("the lock is not held")) };
        let (lock, gate) = (lock.clone(), gate.clone());
        let mut new = Session::open(&self.target).await.map_err(|error| StepError::Lost(error.into()))?;
        let Some(mut old) = self.session.take() else { return Err(lost("there is no session")) };
        if (&new.host, new.server) != (&old.host, old.server) {
            return Err(lost("a new session reaches another server than the old one"));
        }
        let step = |failure: Failure| match failure {
            Failure::Lost(cause) => StepError::Lost(cause),
            Failure::Sql(error, _) => StepError::Lost(error.into()),
        };
        let taken = |answer: Option<String>| answer.as_deref() == Some("1");
        if !taken(new.cell(&format!("SELECT GET_LOCK('{gate}', {PATIENCE})")).await.map_err(step)?) {
            return Err(lost("the lock could not be handed over"));
        }
        if !taken(old.cell(&format!("SELECT RELEASE_LOCK('{lock}')")).await.map_err(step)?) {
            return Err(lost("the lock was not held any more"));
        }
        let take = format!("SELECT GET_LOCK('{lock}', {PATIENCE}); DO RELEASE_LOCK('{gate}')");
        if !taken(new.cell(&take).await.map_err(step)?) {
            return Err(lost("the lock could not be handed over"));
        }
        old.close().await;
        self.session = Some(new);
        self.stale = false;
        Ok(())
    }

    /// The holder of the lock, as far as this account may see.
    async fn holder(&mut self, lock: &str) -> Result<Holder, Failure> {
        let Some(id) = self.cell(&format!("SELECT IS_USED_LOCK('{lock}')")).await? else {
            return Ok(Holder::default());
        };
        let Ok(pid) = id.parse::<u64>() else { return Ok(Holder::default()) };
        let who = format!("SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE ID = {pid}");
        let mut who = self.ask(&who).await?.into_iter().next().unwrap_or_default().into_iter();
        let (user, host) = (who.next().flatten(), who.next().flatten());
        Ok(Holder { pid: Some(pid), user, host, ..Holder::default() })
    }

    /// What must hold before anything is changed.
    async fn refuse_clusters(&mut self) -> Result<(), EngineError> {
        const DOING: &str = "looking at the server's settings";
        let names = "'wsrep_on', 'group_replication_group_name', 'group_replication_single_primary_mode', \
             'max_allowed_packet'";
        let value = self.variables(names).await.map_err(|failure| failure.engine(DOING))?;
        if value("wsrep_on").is_some_and(|on| is_on(&on)) {
            return Err(EngineError::Unsupported { what: "lock that holds on a whole Galera cluster (wsrep_on)" });
        }
        let grouped = value("group_replication_group_name").is_some_and(|name| !name.is_empty());
        if grouped && !value("group_replication_single_primary_mode").is_some_and(|on| is_on(&on)) {
            return Err(EngineError::Unsupported { what: "lock that holds on several primaries (group replication)" });
        }
        self.largest = value("max_allowed_packet").and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn is_mariadb(&self) -> bool {
        matches!(self.program, Some((Flavour::Mariadb, _)))
    }

    /// The settings for the statements of a unit.
    fn timeouts(&self, timeouts: Timeouts) -> String {
        // The server counts seconds, and 0 is no limit to us.
        let wait = if timeouts.lock_ms == 0 { 31_536_000 } else { timeouts.lock_ms.div_ceil(1000) };
        let limit = timeouts.statement_ms;
        let limit = match self.program {
            Some((Flavour::Mariadb, _)) => format!(", max_statement_time = {}.{:03}", limit / 1000, limit % 1000),
            // Of SELECT only; MySQL has no other.
            _ => format!(", max_execution_time = {limit}"),
        };
        format!("SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}{limit}")
    }

    /// A statement and its row in one transaction.
    async fn together(&mut self, sql: &str, row: &Row) -> Result<(), StepError> {
        let insert = self.insert(row)?;
        if let Err(failure) = self.run("START TRANSACTION; SAVEPOINT sealift").await {
            return Err(self.roll_back(failure).await);
        }
        // The bytes that were reviewed, and no other, are one message.
        if let Err(failure) = self.run(sql).await {
            return Err(self.roll_back(failure).await);
        }
        // An implicit commit takes the savepoint away.
        match self.run(&format!("RELEASE SAVEPOINT sealift; {insert}; COMMIT")).await {
            Ok(()) => Ok(()),
            Err(Failure::Sql(error, NO_SAVEPOINT)) => {
                let what = "the statement ended the transaction it ran in, and is committed".to_owned();
                Err(StepError::Remains { error, what })
            }
            Err(failure) => Err(self.roll_back(failure).await),
        }
    }

    /// A statement whose progress is written before and after it.
    async fn alone(&mut self, sql: &str, kind: Kind) -> Result<(), StepError> {
        if kind == Kind::Dml {
            // A transaction only to be told what could not be rolled back.
            for sql in ["START TRANSACTION", sql, "COMMIT"] {
                if let Err(failure) = self.run(sql).await {
                    return Err(self.roll_back(failure).await);
                }
            }
            return Ok(());
        }
        match self.run(sql).await {
            Ok(()) => Ok(()),
            Err(Failure::Lost(cause)) => Err(StepError::Lost(cause)),
            Err(Failure::Sql(error, number)) => {
                // MySQL undoes a whole DDL statement since version 8.
                let old = ServerVersion::from_str("8")
                    .is_ok_and(|eight| self.program.as_ref().is_none_or(|(_, version)| *version < eight));
                match remains(kind, sql, &error, number, self.is_mariadb() || old) {
                    None => Err(StepError::RolledBack(error)),
                    Some(what) => Err(StepError::Remains { error, what: what.to_owned() }),
                }
            }
        }
    }
}

/// A variable that is on.
fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_uppercase().as_str(), "0" | "OFF" | "NO" | "")
}

impl Engine for Mysql {
    async fn connect(&mut self) -> Result<(), EngineError> {
        (self.session, self.lock, self.stale) = (None, None, false);
        self.storage = Storage::default();
        let mut session = Session::open(&self.target).await?;
        const DOING: &str = "asking for the database";
        let database = session.cell("SELECT DATABASE()").await.map_err(|failure| failure.engine(DOING))?;
        self.database = database.ok_or(EngineError::Answer { doing: DOING })?;
        self.session = Some(session);
        Ok(())
    }

    async fn server(&mut self) -> Result<Server, EngineError> {
        const DOING: &str = "asking which server answers";
        let names = "'version', 'read_only', 'super_read_only', 'innodb_read_only', 'tx_read_only', \
             'transaction_read_only'";
        let value = self.variables(names).await.map_err(|failure| failure.engine(DOING))?;
        let version = value("version").unwrap_or_default();
        let (flavour, version) = program(&version).ok_or(EngineError::Answer { doing: DOING })?;
        self.program = Some((flavour, version.clone()));
        let settings = ["read_only", "super_read_only", "innodb_read_only", "tx_read_only", "transaction_read_only"];
        let read_only = settings.iter().any(|name| value(name).is_some_and(|on| is_on(&on)));
        Ok(Server { flavour, version, read_only: read_only.then_some(ReadOnly::Setting) })
    }

    async fn lock(&mut self, _project: &Name, wait: Duration, waiting: Waiting<'_>) -> Result<(), EngineError> {
        const DOING: &str = "taking the lock";
        let sql = |failure: Failure| failure.engine(DOING);
        self.refuse_clusters().await?;
        let own = format!(
            "SET SESSION autocommit = 1, lock_wait_timeout = {PATIENCE}, innodb_lock_wait_timeout = {PATIENCE}"
        );
        self.run(&own).await.map_err(sql)?;
        let name = LockName::of(&self.database);
        let start = Instant::now();
        while self.cell(&name.take()).await.map_err(sql)?.as_deref() != Some("1") {
            let (holder, waited) = (self.holder(&name.lock).await.map_err(sql)?, start.elapsed());
            if waited >= wait {
                return Err(EngineError::Held { holder, waited });
            }
            waiting(&holder);
            tokio::time::sleep(POLL.min(wait - waited)).await;
        }
        self.lock = Some(name);
        Ok(())
    }

    async fn history(&mut self) -> Result<Option<Vec<Row>>, EngineError> {
        const DOING: &str = "reading the history";
        // Under the lock the newest committed rows are wanted, not those of a snapshot.
        let locking = if self.lock.is_some() { " FOR UPDATE" } else { "" };
        let table = identifier(&self.database);
        let read = format!("SELECT seq, body, sha256 FROM {table}.sealift_history ORDER BY seq{locking}");
        let rows = match self.ask(&read).await {
            Ok(rows) => rows,
            Err(Failure::Sql(_, NO_TABLE)) => return Ok(None),
            Err(failure) => return Err(failure.engine(DOING)),
        };
        let row = |row: Texts| {
            let mut cells = row.into_iter().flatten();
            let (seq, body, sha256) = (cells.next()?.parse().ok()?, cells.next()?, cells.next()?);
            Some(Row { seq, body, sha256 })
        };
        let rows: Option<Vec<Row>> = rows.into_iter().map(row).collect();
        rows.map(Some).ok_or(EngineError::Answer { doing: DOING })
    }

    async fn has_objects(&mut self) -> Result<bool, EngineError> {
        const DOING: &str = "looking for objects";
        let database = text(&self.database);
        let found = format!(
            "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {database} \
             AND TABLE_NAME NOT IN ('sealift_history', 'sealift_evidence')) \
             OR EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {database}) \
             OR EXISTS (SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {database})"
        );
        match self.cell(&found).await.map_err(|failure| failure.engine(DOING))?.as_deref() {
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            _ => Err(EngineError::Answer { doing: DOING }),
        }
    }

    async fn create_history(&mut self) -> Result<(), EngineError> {
        const DOING: &str = "creating the history";
        let sql = |failure: Failure| failure.engine(DOING);
        let database = self.database.clone();
        for (name, columns) in TABLES {
            let table = format!("{}.{name}", identifier(&database));
            self.run(&format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) {TABLE_OPTIONS}")).await.map_err(sql)?;
            // Without NO_ENGINE_SUBSTITUTION the server may have taken another engine, and one that was there already
            // could be of any.
            let engine = format!(
                "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = '{name}'",
                text(&database)
            );
            if self.cell(&engine).await.map_err(sql)?.as_deref() != Some("InnoDB") {
                return Err(EngineError::Unsupported { what: "history in tables that are not InnoDB" });
            }
        }
        Ok(())
    }

    async fn baseline(&mut self, baseline: &Baseline) -> Result<(), EngineError> {
        const DOING: &str = "setting the baseline";
        let settings = setting::assign(baseline)?;
        self.run(&settings).await.map_err(|failure| failure.engine(DOING))?;
        let found = self.ask(setting::READ_BACK).await.map_err(|failure| failure.engine(DOING))?;
        setting::compare(baseline, found.first().ok_or(EngineError::Answer { doing: DOING })?)?;
        self.settings = Some(settings);
        Ok(())
    }

    async fn envelopes(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        const DOING: &str = "reading the evidence";
        let table = identifier(&self.database);
        let read = format!("SELECT sha256, body FROM {table}.sealift_evidence ORDER BY sha256");
        let rows = self.ask(&read).await.map_err(|failure| failure.engine(DOING))?;
        let row = |row: Texts| {
            let mut cells = row.into_iter().flatten();
            Some((cells.next()?, cells.next()?))
        };
        let rows: Option<Vec<_>> = rows.into_iter().map(row).collect();
        rows.ok_or(EngineError::Answer { doing: DOING })
    }

    async fn evidence(&mut self, release: Digest, envelope: &[u8]) -> Result<(), EngineError> {
        const DOING: &str = "storing the release";
        let envelope =
            std::str::from_utf8(envelope).map_err(|_| EngineError::Unsupported { what: "binary envelope" })?;
        let (table, release) = (identifier(&self.database), text(&release.to_string()));
        let store = format!(
            "START TRANSACTION; INSERT INTO {table}.sealift_evidence (sha256, body) SELECT {release}, {} FROM DUAL \
             WHERE NOT EXISTS (SELECT 1 FROM {table}.sealift_evidence WHERE sha256 = {release}); COMMIT",
            text(envelope)
        );
        self.run(&store).await.map_err(|failure| failure.engine(DOING))
    }

    async fn wipe(&mut self) -> Result<(), EngineError> {
        const DOING: &str = "emptying the database";
        let sql = |failure: Failure| failure.engine(DOING);
        let (name, of) = (identifier(&self.database), text(&self.database));
        let defaults = format!(
            "SELECT CONCAT('CHARACTER SET ', DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME) \
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {of}"
        );
        let defaults = self.cell(&defaults).await.map_err(sql)?.ok_or(EngineError::Answer { doing: DOING })?;
        self.run(&format!("DROP DATABASE {name}; CREATE DATABASE {name} {defaults}; USE {name}")).await.map_err(sql)
    }

    async fn record(&mut self, row: &Row) -> Result<(), StepError> {
        let insert = self.insert(row)?;
        match self.run(&format!("START TRANSACTION; {insert}; COMMIT")).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.roll_back(failure).await),
        }
    }

    async fn transaction(&mut self, _work: &Work<'_>, _row: &Row) -> Result<(), StepError> {
        let message = "a script for MySQL or MariaDB cannot run in one transaction: DDL commits by itself";
        Err(StepError::RolledBack(SqlError::new(message)))
    }

    async fn reset(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        if self.stale {
            let result = self.renew().await;
            if result.is_err() {
                (self.session, self.lock) = (None, None);
            }
            result?;
        }
        let largest = work.sent().map(|(_, sql)| sql.len() as u64).max().unwrap_or_default();
        if largest >= self.largest {
            let message = format!(
                "a statement of {largest} bytes is larger than the server takes (max_allowed_packet is {})",
                self.largest
            );
            return Err(StepError::RolledBack(SqlError::new(message)));
        }
        let session = |kind| matches!(kind, Kind::Session | Kind::Opaque);
        self.stale = work.script().not_resumable || work.statements().any(|(_, found)| session(found.kind));
        let mut ready = format!("SET SESSION autocommit = 1; USE {}; ", identifier(&self.database));
        if let Some(settings) = &self.settings {
            ready.push_str(settings);
            ready.push_str("; ");
        }
        ready.push_str(&self.timeouts(work.unit().timeouts));
        self.run(&ready).await.map_err(Failure::step)?;
        let judged = match &mut self.session {
            Some(session) => self.storage.judge(session, &self.database, work.sql()).await,
            None => Err(Failure::Lost("there is no session".into())),
        };
        self.settle(judged).map_err(Failure::step)
    }

    fn shares_transaction(&self, kind: Kind) -> bool {
        kind == Kind::Dml && !self.storage.is_plain()
    }

    async fn statement(&mut self, work: &Work<'_>, index: usize, row: Option<&Row>) -> Result<(), StepError> {
        let Some((range, statement)) = work.statement(index) else {
            return Err(StepError::RolledBack(SqlError::new("there is no such statement")));
        };
        let (start, sql) = (range.start, &work.sql()[range]);
        let result = match row {
            Some(row) => self.together(sql, row).await,
            None => self.alone(sql, statement.kind).await,
        };
        self.storage.ran(statement.kind, sql);
        result.map_err(|error| at(error, start, sql))
    }

    async fn probe(&mut self, probe: &Probe) -> Result<Finding, EngineError> {
        const DOING: &str = "looking an object up";
        if probe.expect == Expect::Valid {
            return Err(EngineError::Unsupported { what: "invalid indexes" });
        }
        let parts = |name: &[String]| match name {
            [name] => Ok(("DATABASE()".to_owned(), text(name))),
            [database, name] => Ok((text(database), text(name))),
            _ => Err(EngineError::Answer { doing: DOING }),
        };
        // Where table names are case-sensitive, the catalogue still compares them without case.
        let same = |column: &str, name: &str| {
            format!("{column} = {name} AND (@@lower_case_table_names <> 0 OR BINARY {column} = BINARY {name})")
        };
        let of_table = |catalogue: &str, column: &str| {
            let (database, table) = parts(&probe.table)?;
            let name = probe.name.last().map(|name| text(name)).unwrap_or_default();
            let table = same("TABLE_NAME", &table);
            Ok::<_, EngineError>(format!(
                "{catalogue} WHERE TABLE_SCHEMA = {database} AND {table} AND {column} = {name}"
            ))
        };
        let within = |catalogue: &str, schema: &str, column: &str, more: &str| {
            let (database, name) = parts(&probe.name)?;
            Ok::<_, EngineError>(format!("{catalogue} WHERE {schema} = {database} AND {}{more}", same(column, &name)))
        };
        let from = match probe.object {
            Object::Table => within("TABLES", "TABLE_SCHEMA", "TABLE_NAME", " AND TABLE_TYPE NOT LIKE '%VIEW'")?,
            Object::View => within("VIEWS", "TABLE_SCHEMA", "TABLE_NAME", "")?,
            Object::Trigger => within("TRIGGERS", "TRIGGER_SCHEMA", "TRIGGER_NAME", "")?,
            Object::Routine => {
                let (database, name) = parts(&probe.name)?;
                format!("ROUTINES WHERE ROUTINE_SCHEMA = {database} AND ROUTINE_NAME = {name}")
            }
            Object::Index => of_table("STATISTICS", "INDEX_NAME")?,
            Object::Column => of_table("COLUMNS", "COLUMN_NAME")?,
        };
        let found = self.cell(&format!("SELECT EXISTS (SELECT 1 FROM information_schema.{from})")).await;
        match found.map_err(|failure| failure.engine(DOING))?.as_deref() {
            Some("1") => Ok(Finding::Present),
            Some("0") => Ok(Finding::Absent),
            _ => Err(EngineError::Answer { doing: DOING }),
        }
    }

    async fn close(mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}
