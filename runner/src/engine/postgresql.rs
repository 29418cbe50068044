//! PostgreSQL 12 and newer, by the simple query protocol.
//!
//! A transaction-mode migration is one message: BEGIN, the script, the history row, the way back to the baseline, COMMIT.
//! The row is refused by its own column unless backend, lock, transaction and history are still those that were. After an
//! error the server itself says whether the transaction that was begun has committed (`txid_status`): only a script that
//! ended it can have done that. Deliberately not here: poolers, asynchronous commit, `COPY .. FROM stdin`.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sealift_spec::Digest;
use sealift_spec::history::Row;
use sealift_spec::manifest::{Baseline, Expect, Flavour, Kind, Probe};
use sealift_spec::name::Name;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgErrorPosition, PgRow, PgSeverity, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Either, Row as _, raw_sql};
use tokio::time::{sleep, timeout};

use self::batch::{BEGIN, Batch, Guard, OURSELVES, RESET, identifier, identify, literal};
use crate::engine::{
    Cause, Engine, EngineError, Finding, Holder, ReadOnly, Server, SqlError, StepError, Target, Transport, Waiting,
};
use crate::execute::jitter;
use crate::work::Work;

mod batch;
mod catalog;

/// How long making a connection may take.
const CONNECTING: Duration = Duration::from_secs(15);
/// The longest pause between two tries to take the lock.
const POLL: Duration = Duration::from_millis(250);

/// SQLSTATE classes of errors that the server raises before it does anything: syntax and access, unsupported feature,
/// transaction state, authorisation, unknown database or schema.
const BEFORE_ANYTHING: [&str; 6] = ["42", "0A", "25", "28", "3D", "3F"];

/// One session with a PostgreSQL database.
pub struct Postgresql {
    target: Target,
    session: Option<Session>,
    key: i64,
    /// Brings the session back to the baseline, once there is one.
    settings: Option<String>,
    has_history: bool,
}

struct Session {
    connection: PgConnection,
    server: Server,
    pid: i32,
    /// Whether a script may have left settings behind.
    dirty: bool,
    /// `lock_timeout` and `statement_timeout` of the statements-mode script that runs, in the server's words.
    timeouts: Option<[String; 2]>,
}

/// What a message came to.
struct Answer {
    /// The rows, as text, of all its statements that return any.
    rows: Vec<Vec<Option<String>>>,
}

enum Failure {
    Lost(Cause),
    Sql {
        error: SqlError,
        /// The first column of the first row before the error.
        first: Option<String>,
    },
}

impl Failure {
    fn engine(self, doing: &'static str) -> EngineError {
        match self {
            Self::Lost(error) => EngineError::Lost(error),
            Self::Sql { error: source, .. } => EngineError::Sql { doing, source },
        }
    }

    fn step(self) -> StepError {
        match self {
            Self::Lost(error) => StepError::Lost(error),
            Self::Sql { error, .. } => StepError::RolledBack(error),
        }
    }
}

impl Postgresql {
    /// An engine that is not connected yet.
    pub fn new(target: Target) -> Self {
        Self { target, session: None, key: 0, settings: None, has_history: false }
    }

    fn options(&self) -> Result<PgConnectOptions, EngineError> {
        use sealift_spec::endpoint::Endpoint;
        let url = &self.target.url;
        let password = url.password.as_ref().map_or("", |password| password.expose());
        let database = match &url.endpoint {
            Endpoint::Tcp { database, .. } | Endpoint::Socket { database, .. } => database,
            Endpoint::File { .. } => return Err(EngineError::Unsupported { what: "database files" }),
        };
        // The driver reads the environment here; what it may have read is overwritten, or refused.
        let options = PgConnectOptions::new_without_pgpass()
            .username(&url.user)
            .password(password)
            .database(database)
            .application_name("sealift")
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if options.get_options().is_some() {
            return Err(EngineError::Unsupported { what: "place for settings from the environment (PGOPTIONS)" });
        }
        Ok(match self.target.transport()? {
            Transport::Tls { host, port, ca } => options
                .host(host)
                .port(port)
                .ssl_mode(PgSslMode::VerifyFull)
                .ssl_root_cert_from_pem(ca.as_bytes().to_vec()),
            Transport::Loopback { host, port } => options.host(host).port(port).ssl_mode(PgSslMode::Disable),
            Transport::Socket { path, port } => {
                options.host("localhost").socket(path).port(port).ssl_mode(PgSslMode::Disable)
            }
            Transport::File { .. } => return Err(EngineError::Unsupported { what: "database files" }),
        })
    }

    fn lost() -> Cause {
        "there is no session".into()
    }

    fn guard(&self, nonce: Option<i64>) -> Guard {
        Guard { pid: self.session.as_ref().map_or(0, |session| session.pid), key: self.key, nonce }
    }

    /// Sends one message and reads everything that comes back. Rows of scripts are read and dropped.
    async fn send(&mut self, batch: &Batch) -> Result<Answer, Failure> {
        let Some(session) = &mut self.session else { return Err(Failure::Lost(Self::lost())) };
        let mut answer = Answer { rows: Vec::new() };
        let mut completed = 0;
        let error = {
            let mut results = raw_sql(AssertSqlSafe(batch.sql())).fetch_many(&mut session.connection);
            loop {
                match results.try_next().await {
                    Ok(None) => return Ok(answer),
                    Ok(Some(Either::Left(_))) => completed += 1,
                    Ok(Some(Either::Right(row))) => {
                        if !batch.is_in_script(completed) {
                            answer.rows.push(texts(&row));
                        }
                    }
                    Err(error) => break error,
                }
            }
        };
        match read(&error, batch, completed) {
            Some(error) => {
                let first = answer.rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
                Err(Failure::Sql { error, first })
            }
            None => {
                self.session = None;
                Err(Failure::Lost(cause(error)))
            }
        }
    }

    async fn ask(&mut self, statements: &[&str]) -> Result<Answer, Failure> {
        let mut batch = Batch::new();
        statements.iter().for_each(|statement| batch.ours(statement));
        self.send(&batch).await
    }

    /// Ends what is left of a transaction after an error, and asks whether it had been committed.
    async fn roll_back(&mut self, transaction: Option<String>) -> Result<bool, Failure> {
        let number = transaction.and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { return self.ask(&["ROLLBACK"]).await.map(|_| false) };
        let status = format!("SELECT pg_catalog.txid_status({number})");
        let answer = self.ask(&["ROLLBACK", &status]).await?;
        Ok(answer.rows.first().and_then(|row| row.first()?.as_deref()) == Some("committed"))
    }

    /// Sends the messages of one transaction and settles what an error means.
    async fn run(&mut self, batches: &[Batch]) -> Result<(), StepError> {
        let mut transaction = None;
        for batch in batches {
            match self.send(batch).await {
                Ok(answer) => {
                    let first = answer.rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
                    transaction = transaction.or(first);
                }
                Err(Failure::Lost(error)) => return Err(StepError::Lost(error)),
                Err(Failure::Sql { error, first }) => {
                    return Err(match self.roll_back(transaction.or(first)).await {
                        Ok(false) => StepError::RolledBack(error),
                        Ok(true) => {
                            let what =
                                "the script ended the transaction it ran in, and what came before that is committed";
                            StepError::Remains { error, what: what.to_owned() }
                        }
                        Err(failure) => failure.step(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The statement that puts a session on the baseline, after a reset.
    fn settings(baseline: &Baseline, major: u32) -> String {
        let mut calls: Vec<String> = baseline
            .0
            .iter()
            .map(|(name, value)| format!("pg_catalog.set_config({}, {}, false)", literal(name), literal(value)))
            .collect();
        // What belongs to the runner and no script's business: a commit is durable, an idle session is kept, and one whose
        // client is gone ends soon, so that its lock is free.
        calls.push(
            "pg_catalog.set_config('synchronous_commit', CASE WHEN pg_catalog.current_setting('synchronous_commit') \
             OPERATOR(pg_catalog.=) 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, false)"
                .to_owned(),
        );
        let mut own = vec![
            ("idle_in_transaction_session_timeout", "0"),
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ];
        if major >= 14 {
            own.extend([("idle_session_timeout", "0"), ("client_connection_check_interval", "5s")]);
        }
        calls.extend(own.iter().map(|(name, value)| format!("pg_catalog.set_config('{name}', '{value}', false)")));
        format!("SELECT {}", calls.join(", "))
    }

    /// Puts a session that a statements-mode script used back on the baseline.
    async fn clean(&mut self) -> Result<(), Failure> {
        let dirty = self.session.as_ref().is_some_and(|session| session.dirty);
        let Some(settings) = self.settings.clone().filter(|_| dirty) else { return Ok(()) };
        let mut statements = RESET.to_vec();
        statements.push(&settings);
        self.ask(&statements).await?;
        if let Some(session) = &mut self.session {
            session.dirty = false;
        }
        Ok(())
    }

    /// A statement that runs outside of any transaction of ours.
    async fn alone(&mut self, work: &Work<'_>, index: usize) -> Result<(), StepError> {
        let Some((range, statement)) = work.statement(index) else {
            return Err(StepError::RolledBack(SqlError::new("the script has no such statement")));
        };
        let probe = statement.probe.as_ref();
        let concurrent = statement.kind == Kind::Concurrent;
        let before = if concurrent { self.without_timeouts().await.map_err(Failure::step)? } else { None };
        let mut batch = Batch::new();
        let text = &work.sql()[range.clone()];
        batch.script(range, text, statement.kind);
        let result = self.send(&batch).await;
        if let Some(before) = before.filter(|_| self.session.is_some()) {
            self.ask(&[&before]).await.map_err(Failure::step)?;
        }
        match result {
            Ok(_) => match probe.filter(|probe| concurrent && probe.expect == Expect::Valid) {
                Some(probe) => self.valid(probe).await,
                None => Ok(()),
            },
            Err(Failure::Lost(error)) => Err(StepError::Lost(error)),
            Err(Failure::Sql { error, .. }) => Err(match statement.kind {
                Kind::Concurrent => self.after_failure(probe, error).await,
                // Only a transaction command or a procedure can have committed anything.
                Kind::Opaque if may_commit(text) => {
                    let what = "code that may commit by itself failed; what it had committed stays".to_owned();
                    StepError::Remains { error, what }
                }
                _ => StepError::RolledBack(error),
            }),
        }
    }

    /// Switches both timeouts off, unless the script has set them itself; returns what puts them back.
    async fn without_timeouts(&mut self) -> Result<Option<String>, Failure> {
        const NAMES: [&str; 2] = ["lock_timeout", "statement_timeout"];
        let answer = self
            .ask(&[
                "SELECT pg_catalog.current_setting('lock_timeout'), pg_catalog.current_setting('statement_timeout')",
            ])
            .await?;
        let unit = self.session.as_ref().and_then(|session| session.timeouts.clone());
        let found = answer.rows.into_iter().next().unwrap_or_default();
        let ours: Vec<(&str, String)> = NAMES
            .into_iter()
            .zip(found.into_iter().flatten())
            .zip(unit.into_iter().flatten())
            .filter_map(|((name, found), unit)| (found == unit).then_some((name, unit)))
            .collect();
        if ours.is_empty() {
            return Ok(None);
        }
        let set = |value: &dyn Fn(&str) -> String| {
            let calls = ours
                .iter()
                .map(|(name, unit)| format!("pg_catalog.set_config('{name}', {}, false)", literal(&value(unit))));
            format!("SELECT {}", calls.collect::<Vec<_>>().join(", "))
        };
        self.ask(&[&set(&|_| "0".to_owned())]).await?;
        Ok(Some(set(&str::to_owned)))
    }

    /// A concurrent build that the server calls done is done only when the index is valid.
    async fn valid(&mut self, probe: &Probe) -> Result<(), StepError> {
        let what = match self.probe(probe).await {
            Ok(Finding::Present) => return Ok(()),
            Ok(Finding::Invalid | Finding::Building) => "the index is there and not valid",
            Ok(Finding::Absent) => "no index of that name is there",
            Err(EngineError::Lost(error)) => return Err(StepError::Lost(error)),
            Err(error) => return Err(StepError::Lost(error.into())),
        };
        let error = SqlError::new("the server reported success, and the index is not usable all the same");
        Err(StepError::Remains { error, what: what.to_owned() })
    }

    /// What a failed concurrent statement has left behind.
    async fn after_failure(&mut self, probe: Option<&Probe>, error: SqlError) -> StepError {
        let Some(probe) = probe else {
            let class = error.code.as_deref().and_then(|code| code.get(..2)).unwrap_or_default();
            if BEFORE_ANYTHING.contains(&class) {
                return StepError::RolledBack(error);
            }
            let what = "a statement outside of any transaction failed; part of its effect may be there".to_owned();
            return StepError::Remains { error, what };
        };
        match self.probe(probe).await {
            Ok(Finding::Invalid | Finding::Building) if probe.expect != Expect::Absent => {
                let what = format!("the index `{}` is there and not valid", probe.name.join("."));
                StepError::Remains { error, what }
            }
            Ok(_) => StepError::RolledBack(error),
            Err(EngineError::Lost(cause)) => StepError::Lost(cause),
            Err(_) => StepError::Remains { error, what: "what it left could not be looked up".to_owned() },
        }
    }
}

impl Engine for Postgresql {
    async fn connect(&mut self) -> Result<(), EngineError> {
        self.session = None;
        let options = self.options()?;
        let endpoint = self.target.url.endpoint.to_string();
        let failed = |source| EngineError::Connect { endpoint: endpoint.clone(), source };
        let connection = match timeout(CONNECTING, options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(failed(cause(error))),
            Err(_) => return Err(failed("the server did not answer in time".into())),
        };
        let server = Server { flavour: Flavour::Postgresql, version: zero(), read_only: None };
        self.session = Some(Session { connection, server, pid: 0, dirty: false, timeouts: None });
        let doing = "asking the server what it is";
        // Until the baseline is set, every name is one of the system catalog.
        let answer = self.ask(&["SET search_path TO pg_catalog, pg_temp", catalog::FACTS]).await;
        let answer = answer.map_err(|failure| failure.engine(doing))?;
        let [Some(version), Some(recovery), Some(read_only), Some(pid)] =
            answer.rows.first().map_or(&[][..], Vec::as_slice)
        else {
            return Err(EngineError::Answer { doing });
        };
        let session = self.session.as_mut().ok_or(EngineError::Answer { doing })?;
        // `15.18 (Debian 15.18-0+deb12u1)`, `17beta2`
        let numbers: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        session.server.version = numbers.parse().map_err(|_| EngineError::Answer { doing })?;
        session.server.read_only = match (recovery.as_str(), read_only.as_str()) {
            ("t", _) => Some(ReadOnly::Replica),
            (_, "on") => Some(ReadOnly::Setting),
            _ => None,
        };
        session.pid = pid.parse().map_err(|_| EngineError::Answer { doing })?;
        Ok(())
    }

    async fn server(&mut self) -> Result<Server, EngineError> {
        self.session.as_ref().map(|session| session.server.clone()).ok_or_else(|| EngineError::Lost(Self::lost()))
    }

    async fn lock(&mut self, project: &Name, wait: Duration, waiting: Waiting<'_>) -> Result<(), EngineError> {
        let digest =
            Digest::of_parts([b"sealift lock v1\0".as_slice(), project.as_str().as_bytes(), b"\0sealift\0history"]);
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        self.key = i64::from_be_bytes(first);
        let doing = "taking the lock";
        let take = format!("SELECT pg_catalog.pg_try_advisory_lock({})", self.key);
        let (began, mut holder) = (Instant::now(), Holder::default());
        loop {
            let answer = self.ask(&[&take, catalog::STRANGERS]).await.map_err(|failure| failure.engine(doing))?;
            if answer.text() == Some("t") {
                return answer.rows.iter().try_for_each(|row| stranger(row));
            }
            let answer = self.ask(&[&catalog::holder(self.key)]).await.map_err(|failure| failure.engine(doing))?;
            if let Some([pid, application, host, user, since]) = answer.rows.first().map(Vec::as_slice) {
                let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
                holder = Holder {
                    pid: pid.as_ref().and_then(|pid| pid.parse().ok()),
                    application: named(application),
                    host: named(host),
                    user: named(user),
                    since: named(since),
                };
            }
            if began.elapsed() >= wait {
                return Err(EngineError::Held { holder, waited: began.elapsed() });
            }
            waiting(&holder);
            sleep(jitter(POLL)).await;
        }
    }

    async fn history(&mut self) -> Result<Option<Vec<Row>>, EngineError> {
        let doing = "reading the history";
        let answer = match self.ask(&[catalog::HISTORY]).await {
            Ok(answer) => answer,
            // No such schema, or no such table.
            Err(Failure::Sql { error, .. }) if matches!(error.code.as_deref(), Some("3F000" | "42P01")) => {
                return Ok(None);
            }
            Err(failure) => return Err(failure.engine(doing)),
        };
        let mut rows = Vec::with_capacity(answer.rows.len());
        for row in answer.rows {
            let mut columns = row.into_iter().flatten();
            let (Some(seq), Some(body), Some(sha256)) = (columns.next(), columns.next(), columns.next()) else {
                return Err(EngineError::Answer { doing });
            };
            let seq = seq.parse().map_err(|_| EngineError::Answer { doing })?;
            rows.push(Row { seq, body, sha256 });
        }
        self.has_history = true;
        Ok(Some(rows))
    }

    async fn has_objects(&mut self) -> Result<bool, EngineError> {
        let doing = "looking whether the database is empty";
        let answer = self.ask(&[catalog::OBJECTS]).await.map_err(|failure| failure.engine(doing))?;
        match answer.text() {
            Some("t") => Ok(true),
            Some("f") => Ok(false),
            _ => Err(EngineError::Answer { doing }),
        }
    }

    async fn create_history(&mut self) -> Result<(), EngineError> {
        if self.has_history {
            return Ok(());
        }
        let doing = "creating the history tables";
        let statements: Vec<&str> =
            [BEGIN].into_iter().chain(OURSELVES).chain(catalog::TABLES).chain([catalog::STRANGERS]).collect();
        let result = match self.ask(&statements).await {
            // Somebody else may have made them a moment ago.
            Ok(answer) => answer.rows.iter().try_for_each(|row| stranger(row)),
            Err(failure @ Failure::Lost(_)) => return Err(failure.engine(doing)),
            Err(failure) => Err(failure.engine(doing)),
        };
        let last = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.ask(&[last]).await.map_err(|failure| failure.engine(doing))?;
        self.has_history = result.is_ok();
        result
    }

    async fn baseline(&mut self, baseline: &Baseline) -> Result<(), EngineError> {
        let doing = "putting the session on its baseline";
        let known = sealift_spec::baseline::defaults(Flavour::Postgresql);
        if let Some(name) = baseline.0.keys().find(|name| !known.contains_key(*name)) {
            return Err(EngineError::UnknownSetting { name: name.clone() });
        }
        let session = self.session.as_ref().ok_or_else(|| EngineError::Lost(Self::lost()))?;
        let major = session.server.version.to_string().split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let settings = Self::settings(baseline, major);
        let names: Vec<String> =
            baseline.0.keys().map(|name| format!("pg_catalog.current_setting({})", literal(name))).collect();
        let back = format!("SELECT {}", names.join(", "));
        let mut statements = RESET.to_vec();
        statements.push(&settings);
        if !names.is_empty() {
            statements.push(&back);
        }
        let answer = self.ask(&statements).await.map_err(|failure| failure.engine(doing))?;
        let found = if names.is_empty() { &[][..] } else { answer.rows.last().map_or(&[][..], Vec::as_slice) };
        for ((name, expected), found) in baseline.0.iter().zip(found) {
            let found = found.clone().unwrap_or_default();
            if found != *expected {
                return Err(EngineError::Setting { name: name.clone(), expected: expected.clone(), found });
            }
            // The driver, and our own reading, rely on these two.
            if name == "client_encoding" && found != "UTF8" {
                return Err(EngineError::Unsupported { what: "client encoding but UTF8" });
            }
            if name == "standard_conforming_strings" && found != "on" {
                return Err(EngineError::Unsupported { what: "quoting but the standard's" });
            }
        }
        self.settings = Some(settings);
        Ok(())
    }

    async fn envelopes(&mut self) -> Result<Vec<(String, String)>, EngineError> {
        let doing = "reading the evidence";
        let answer = self.ask(&[catalog::EVIDENCE]).await.map_err(|failure| failure.engine(doing))?;
        let row = |row: Vec<Option<String>>| {
            let mut columns = row.into_iter().flatten();
            Some((columns.next()?, columns.next()?))
        };
        let rows: Option<Vec<_>> = answer.rows.into_iter().map(row).collect();
        rows.ok_or(EngineError::Answer { doing })
    }

    async fn evidence(&mut self, release: Digest, envelope: &[u8]) -> Result<(), EngineError> {
        let doing = "storing the release";
        let envelope = std::str::from_utf8(envelope).map_err(|_| EngineError::Answer { doing })?;
        let insert = format!(
            "INSERT INTO sealift.evidence (sha256, body) VALUES ({}, {}) ON CONFLICT DO NOTHING",
            literal(&release.to_string()),
            literal(envelope)
        );
        let statements: Vec<&str> = [BEGIN].into_iter().chain(OURSELVES).chain([insert.as_str(), "COMMIT"]).collect();
        match self.ask(&statements).await {
            Ok(_) => Ok(()),
            Err(Failure::Sql { error, .. }) => {
                self.roll_back(None).await.map_err(|failure| failure.engine(doing))?;
                Err(EngineError::Sql { doing, source: error })
            }
            Err(failure) => Err(failure.engine(doing)),
        }
    }

    async fn wipe(&mut self) -> Result<(), EngineError> {
        // Every schema was made by migrations: the database was empty when it was bound.
        let schemas = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' \
             AND nspname <> 'information_schema' LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP; END $$";
        let public = "CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC";
        let path = "SET LOCAL search_path TO pg_catalog, pg_temp";
        let answer = self.ask(&[BEGIN, path, schemas, public, "COMMIT"]).await;
        answer.map(drop).map_err(|failure| failure.engine("emptying the database"))
    }

    async fn record(&mut self, row: &Row) -> Result<(), StepError> {
        let mut batch = Batch::new();
        batch.ours(BEGIN);
        OURSELVES.iter().for_each(|statement| batch.ours(statement));
        batch.ours("SET LOCAL lock_timeout TO '10s'");
        batch.row(row, self.guard(None));
        batch.ours("COMMIT");
        self.run(&[batch]).await
    }

    async fn transaction(&mut self, work: &Work<'_>, row: &Row) -> Result<(), StepError> {
        if let Some(error) = copies(work) {
            return Err(StepError::RolledBack(error));
        }
        self.clean().await.map_err(Failure::step)?;
        let Some(settings) = self.settings.clone() else {
            return Err(StepError::RolledBack(SqlError::new("there is no session baseline")));
        };
        let guard = self.guard(Some(nonce()?));
        self.run(&batch::transaction(work, row, guard, self.target.role.as_deref(), &settings)).await
    }

    async fn reset(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        if let Some(error) = copies(work) {
            return Err(StepError::RolledBack(error));
        }
        let Some(session) = &mut self.session else { return Err(StepError::Lost(Self::lost())) };
        session.dirty = true;
        self.clean().await.map_err(Failure::step)?;
        if let Some(session) = &mut self.session {
            session.dirty = true;
        }
        let timeouts = work.unit().timeouts;
        let mut statements = vec![format!(
            "SELECT pg_catalog.set_config('lock_timeout', '{}', false), \
             pg_catalog.set_config('statement_timeout', '{}', false)",
            timeouts.lock_ms, timeouts.statement_ms
        )];
        statements.extend(self.target.role.as_ref().map(|role| format!("SET ROLE {}", identifier(role))));
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let answer = self.ask(&statements).await.map_err(Failure::step)?;
        let set: Vec<String> = answer.rows.into_iter().flatten().flatten().collect();
        if let Some(session) = &mut self.session {
            session.timeouts = <[String; 2]>::try_from(set).ok();
        }
        Ok(())
    }

    /// Everything but what cannot run in a transaction, or may hold transaction commands of its own.
    fn shares_transaction(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Ddl | Kind::Dml)
    }

    async fn statement(&mut self, work: &Work<'_>, index: usize, row: Option<&Row>) -> Result<(), StepError> {
        let Some(row) = row else { return self.alone(work, index).await };
        let Some((range, statement)) = work.statement(index) else {
            return Err(StepError::RolledBack(SqlError::new("the script has no such statement")));
        };
        let guard = self.guard(Some(nonce()?));
        let mut batch = Batch::new();
        batch.ours(BEGIN);
        batch.ours(&identify(guard.nonce.unwrap_or_default(), None));
        batch.script(range.clone(), &work.sql()[range], statement.kind);
        batch.ours("SET CONSTRAINTS ALL IMMEDIATE");
        OURSELVES.iter().for_each(|statement| batch.ours(statement));
        batch.row(row, guard);
        batch.ours("COMMIT");
        self.run(&[batch]).await
    }

    async fn probe(&mut self, probe: &Probe) -> Result<Finding, EngineError> {
        let doing = "looking for the effect of a statement";
        let Some(resolve) = catalog::resolve(probe) else {
            return Err(EngineError::Unsupported { what: "sure way to find a routine by its name" });
        };
        let answer = self.ask(&[&resolve]).await.map_err(|failure| failure.engine(doing))?;
        let Some(oid) = answer.text().map(str::parse::<u32>) else { return Ok(Finding::Absent) };
        let oid = oid.map_err(|_| EngineError::Answer { doing })?;
        let look = catalog::look(probe, oid);
        let path = "SET LOCAL search_path TO pg_catalog, pg_temp";
        let answer = self.ask(&["BEGIN READ ONLY", path, &look, "COMMIT"]).await;
        let answer = answer.map_err(|failure| failure.engine(doing))?;
        match answer.text() {
            Some("present") => Ok(Finding::Present),
            Some("absent") => Ok(Finding::Absent),
            Some("invalid") => Ok(Finding::Invalid),
            Some("building") => Ok(Finding::Building),
            _ => Err(EngineError::Answer { doing }),
        }
    }

    async fn close(self) {
        if let Some(session) = self.session {
            // A server that does not answer would keep us waiting for nothing.
            let _ = timeout(Duration::from_secs(5), session.connection.close()).await;
        }
    }
}

impl Answer {
    /// The first column of the first row.
    fn text(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

fn zero() -> sealift_spec::manifest::ServerVersion {
    match "0".parse() {
        Ok(version) => version,
        Err(_) => unreachable!("`0` is a version"),
    }
}

fn nonce() -> Result<i64, StepError> {
    let random = getrandom::u64().map_err(|error| StepError::RolledBack(SqlError::new(error.to_string())))?;
    Ok(random as i64)
}

/// The columns of a row in the text form in which the simple protocol sends them.
fn texts(row: &PgRow) -> Vec<Option<String>> {
    let column = |index| row.try_get_raw(index).ok().and_then(|value| value.as_str().ok().map(str::to_owned));
    (0..row.len()).map(column).collect()
}

/// An answer of the server as our error; `None` when the connection is gone.
fn read(error: &sqlx::Error, batch: &Batch, completed: usize) -> Option<SqlError> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) {
        return None;
    }
    let offset = match error.position() {
        Some(PgErrorPosition::Original(position)) => batch.offset(position),
        _ => batch.failed_after(completed),
    };
    let guarded =
        error.schema() == Some("sealift") && error.table() == Some("history") && error.column() == Some("seq");
    let message = if guarded { GUARDED.to_owned() } else { error.message().to_owned() };
    Some(SqlError {
        message,
        code: Some(error.code().to_owned()),
        detail: error.detail().filter(|_| !guarded).map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        offset,
        transient: matches!(error.code(), "55P03" | "40P01" | "40001"),
    })
}

const GUARDED: &str = "the history row was refused: the lock, the transaction or the history is no longer what it was";

/// What is behind an error of the driver, without the layers that say nothing.
fn cause(error: sqlx::Error) -> Cause {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => SqlError { code: Some(error.code().to_owned()), ..SqlError::new(error.message()) }.into(),
            None => error,
        },
        sqlx::Error::Io(error) => error.into(),
        sqlx::Error::Tls(error) => error,
        sqlx::Error::Configuration(error) => error,
        error => error.into(),
    }
}

fn stranger(row: &[Option<String>]) -> Result<(), EngineError> {
    match row {
        [Some(what), Some(owner)] => Err(EngineError::Foreign { what: what.clone(), owner: owner.clone() }),
        _ => Ok(()),
    }
}

/// `COPY .. FROM stdin` takes its data outside of SQL, which this version does not send.
fn copies(work: &Work<'_>) -> Option<SqlError> {
    let (range, _) = work.statements().find(|(_, statement)| statement.kind == Kind::Copy)?;
    let offset = Some(range.start);
    Some(SqlError { offset, ..SqlError::new("COPY .. FROM stdin cannot be run by this version") })
}

/// Whether code in a `DO` or `CALL` might commit: it can only by these words.
fn may_commit(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["commit", "rollback", "call", "execute"].iter().any(|word| text.contains(word))
}
