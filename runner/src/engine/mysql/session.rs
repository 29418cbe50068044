//! One connection to MySQL or MariaDB, and what its errors mean.

use std::time::Duration;

use futures_util::TryStreamExt;
use sealift_spec::endpoint::Endpoint;
use sealift_spec::manifest::{Flavour, ServerVersion};
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Either, MySqlConnection, Row as _};

use crate::engine::{Cause, EngineError, SqlError, StepError, Target, Transport};

/// How long making a connection may take.
const CONNECTING: Duration = Duration::from_secs(15);

/// Lock wait timeout, deadlock, and a row that another transaction changed (MariaDB).
const TRANSIENT: [u16; 3] = [1205, 1213, 1020];

/// The server goes away, or has ended this session: shutdown, packet too large, killed (MariaDB, MySQL), idle.
const GOING: [u16; 5] = [1053, 1153, 1927, 3169, 4031];

/// A row of an answer, as text.
pub(super) type Texts = Vec<Option<String>>;

/// What did not succeed.
pub(super) enum Failure {
    /// The connection is gone.
    Lost(Cause),
    /// The server answered an error, with its number.
    Sql(SqlError, u16),
}

impl Failure {
    pub(super) fn engine(self, doing: &'static str) -> EngineError {
        match self {
            Self::Lost(cause) => EngineError::Lost(cause),
            Self::Sql(source, _) => EngineError::Sql { doing, source },
        }
    }

    /// For a step that leaves nothing behind.
    pub(super) fn step(self) -> StepError {
        match self {
            Self::Lost(cause) => StepError::Lost(cause),
            Self::Sql(error, _) => StepError::RolledBack(error),
        }
    }
}

/// A connection, and who is at its other end.
pub(super) struct Session {
    connection: MySqlConnection,
    /// The number of the session.
    pub(super) id: u64,
    /// The server's name for itself.
    pub(super) host: String,
    /// The server's number.
    pub(super) server: u64,
}

fn options(target: &Target) -> Result<MySqlConnectOptions, EngineError> {
    const FILES: EngineError = EngineError::Unsupported { what: "database files" };
    let database = match &target.url.endpoint {
        Endpoint::Tcp { database, .. } | Endpoint::Socket { database, .. } => database,
        Endpoint::File { .. } => return Err(FILES),
    };
    let options = MySqlConnectOptions::new()
        .username(&target.url.user)
        .database(database)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .statement_cache_capacity(0)
        .disable_statement_logging();
    let options = match &target.url.password {
        Some(password) => options.password(password.expose()),
        None => options,
    };
    Ok(match target.transport()? {
        Transport::Tls { host, port, ca } => {
            options.host(host).port(port).ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca_from_pem(ca.as_bytes().to_vec())
        }
        Transport::Loopback { host, port } => options.host(host).port(port).ssl_mode(MySqlSslMode::Disabled),
        Transport::Socket { path, .. } => options.socket(path).ssl_mode(MySqlSslMode::Disabled),
        Transport::File { .. } => return Err(FILES),
    })
}

/// The cells of a row as text, whatever their types.
fn texts(row: &MySqlRow) -> Texts {
    let cell = |index| row.try_get_unchecked::<Option<Vec<u8>>, _>(index).unwrap_or_default();
    (0..row.len()).map(|index| cell(index).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())).collect()
}

fn sort(error: sqlx::Error) -> Failure {
    let sqlx::Error::Database(answer) = &error else { return Failure::Lost(error.into()) };
    let Some(answer) = answer.try_downcast_ref::<MySqlDatabaseError>() else { return Failure::Lost(error.into()) };
    let number = answer.number();
    if GOING.contains(&number) {
        return Failure::Lost(error.into());
    }
    let state = answer.code().unwrap_or("HY000");
    let code = Some(format!("error {number}, SQLSTATE {state}"));
    let transient = TRANSIENT.contains(&number);
    Failure::Sql(SqlError { code, transient, ..SqlError::new(answer.message()) }, number)
}

impl Session {
    /// Connects.
    pub(super) async fn open(target: &Target) -> Result<Self, EngineError> {
        let options = options(target)?;
        let endpoint = target.url.endpoint.to_string();
        let connect = |source| EngineError::Connect { endpoint: endpoint.clone(), source };
        let connection = match tokio::time::timeout(CONNECTING, MySqlConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(connect(error.into())),
            Err(_) => return Err(connect(format!("no answer within {} s", CONNECTING.as_secs()).into())),
        };
        let mut session = Self { connection, id: 0, host: String::new(), server: 0 };
        const DOING: &str = "asking who answers";
        let answer = session.ask("SELECT CONNECTION_ID(), @@hostname, @@server_id").await;
        let answer = answer.map_err(|failure| failure.engine(DOING))?;
        let [id, host, server] = answer.first().map(Vec::as_slice).unwrap_or_default() else {
            return Err(EngineError::Answer { doing: DOING });
        };
        let number = |text: &Option<String>| text.as_deref()?.parse().ok();
        session.id = number(id).ok_or(EngineError::Answer { doing: DOING })?;
        session.server = number(server).ok_or(EngineError::Answer { doing: DOING })?;
        session.host = host.clone().unwrap_or_default();
        Ok(session)
    }

    /// Sends one message and returns the rows of all its statements.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<Texts>, Failure> {
        let mut rows = Vec::new();
        let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        while let Some(result) = results.try_next().await.map_err(sort)? {
            if let Either::Right(row) = result {
                rows.push(texts(&row));
            }
        }
        Ok(rows)
    }

    /// Sends one message and drops whatever rows come back.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let mut results = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(&mut self.connection);
        while results.try_next().await.map_err(sort)?.is_some() {}
        Ok(())
    }

    /// The first cell of the answer.
    pub(super) async fn cell(&mut self, sql: &str) -> Result<Option<String>, Failure> {
        Ok(self.ask(sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Ends a transaction after an error, and says whether a table without transactions keeps what it got.
    pub(super) async fn roll_back(&mut self) -> Result<bool, Failure> {
        // 1196: some non-transactional changed tables could not be rolled back.
        let warnings = self.ask("ROLLBACK; SHOW WARNINGS").await?;
        Ok(warnings.iter().any(|row| row.get(1).is_some_and(|code| code.as_deref() == Some("1196"))))
    }

    /// Ends the session in peace.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

/// Which program answers, and its version, from what it says of itself.
pub(super) fn program(version: &str) -> Option<(Flavour, ServerVersion)> {
    let lower = version.to_ascii_lowercase();
    if ["tidb", "vitess", "singlestore"].iter().any(|other| lower.contains(other)) {
        return None;
    }
    let flavour = if lower.contains("mariadb") { Flavour::Mariadb } else { Flavour::Mysql };
    let numbers = version.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let numbers: Vec<&str> = numbers.split('.').filter(|number| !number.is_empty()).take(4).collect();
    Some((flavour, numbers.join(".").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart() {
        for (text, flavour, version) in [
            ("10.11.19-MariaDB-0+deb12u1", Flavour::Mariadb, "10.11.19"),
            ("8.0.36", Flavour::Mysql, "8.0.36"),
            ("8.0.36-28.1", Flavour::Mysql, "8.0.36"),
            ("8.0.mysql_aurora.3.04.0", Flavour::Mysql, "8.0"),
        ] {
            assert_eq!(program(text), Some((flavour, version.parse().unwrap())), "{text}");
        }
        assert_eq!(program("8.0.11-TiDB-v7.5.0"), None);
        assert_eq!(program("new"), None);
    }
}
