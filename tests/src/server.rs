//! Fresh databases for tests: PostgreSQL and MariaDB from `tests/servers`, SQLite in a temporary folder.
//!
//! Databases are made, filled and looked at with each engine's own client, so that a test's view of a database does not
//! come from the code under test.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tempfile::TempDir;

/// Which program stands behind a [`Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB, standing for the `mysql` engine of the formats.
    Mariadb,
    /// SQLite.
    Sqlite,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
            Self::Sqlite => "sqlite",
        })
    }
}

/// One of the servers that `tests/servers` started. Listens on 127.0.0.1 and 127.0.0.2; its certificate names `localhost`
/// and 127.0.0.1, so the second address is how a test meets a certificate for somebody else.
#[derive(Debug, Clone)]
pub struct Server {
    /// Which program it is.
    pub engine: Engine,
    /// The TCP port, on both addresses.
    pub port: u16,
    /// An account that may do everything, with [`Server::password`] over TCP.
    pub user: String,
    /// The password of [`Server::user`].
    pub password: String,
    /// PostgreSQL: the folder of the Unix socket. MariaDB: the Unix socket.
    pub socket: PathBuf,
    /// An account that needs no password over the Unix socket.
    pub socket_user: String,
    /// PEM file of the authority that signed the server's certificate.
    pub ca: PathBuf,
    /// PEM file of an authority that did not.
    pub stranger_ca: PathBuf,
}

/// Returns the PostgreSQL server.
///
/// # Panics
///
/// When the environment names none.
#[must_use]
pub fn postgresql() -> Server {
    let user = variable("SEALIFT_TEST_POSTGRESQL_USER");
    Server {
        engine: Engine::Postgresql,
        port: port("SEALIFT_TEST_POSTGRESQL_PORT"),
        password: variable("SEALIFT_TEST_POSTGRESQL_PASSWORD"),
        socket: PathBuf::from(variable("SEALIFT_TEST_POSTGRESQL_SOCKET")),
        socket_user: user.clone(),
        user,
        ca: PathBuf::from(variable("SEALIFT_TEST_CA")),
        stranger_ca: PathBuf::from(variable("SEALIFT_TEST_STRANGER_CA")),
    }
}

/// Returns the MariaDB server.
///
/// # Panics
///
/// When the environment names none.
#[must_use]
pub fn mariadb() -> Server {
    Server {
        engine: Engine::Mariadb,
        port: port("SEALIFT_TEST_MARIADB_PORT"),
        user: variable("SEALIFT_TEST_MARIADB_USER"),
        password: variable("SEALIFT_TEST_MARIADB_PASSWORD"),
        socket: PathBuf::from(variable("SEALIFT_TEST_MARIADB_SOCKET")),
        socket_user: variable("SEALIFT_TEST_MARIADB_SOCKET_USER"),
        ca: PathBuf::from(variable("SEALIFT_TEST_CA")),
        stranger_ca: PathBuf::from(variable("SEALIFT_TEST_STRANGER_CA")),
    }
}

/// Returns a new SQLite database, whose file does not exist yet.
///
/// # Panics
///
/// When no temporary folder can be made.
#[must_use]
pub fn sqlite() -> Database {
    let folder = tempfile::Builder::new().prefix("sealift-").tempdir().expect("a temporary folder");
    let path = folder.path().join("database.sqlite3");
    Database {
        engine: Engine::Sqlite,
        name: "main".to_owned(),
        url: format!("sqlite:{}", path.display()),
        socket_url: None,
        ca: None,
        home: Home::File { path, _folder: folder },
    }
}

/// Returns a new database of each engine.
///
/// # Panics
///
/// When a server is missing.
#[must_use]
pub fn one_of_each() -> [Database; 3] {
    [postgresql().fresh_database(), mariadb().fresh_database(), sqlite()]
}

impl Server {
    /// Makes an empty database that is dropped with the value.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    #[must_use]
    pub fn fresh_database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The server outlives no run, so a process id and a counter are unique enough.
        let name = format!("sealift_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.administer(&format!("CREATE DATABASE {name}"));
        Database {
            engine: self.engine,
            url: self.url("localhost", &name),
            socket_url: Some(self.socket_url(&name)),
            ca: Some(self.ca.clone()),
            home: Home::Server(self.clone()),
            name,
        }
    }

    /// Returns the URL of a database over TCP, with the password.
    #[must_use]
    pub fn url(&self, host: &str, database: &str) -> String {
        let Self { user, password, port, .. } = self;
        format!("{}://{user}:{password}@{host}:{port}/{database}", self.scheme())
    }

    /// Returns the URL of a database over the Unix socket, without a password.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let (user, socket) = (&self.socket_user, self.socket.display());
        match self.engine {
            Engine::Postgresql => {
                format!("postgresql://{user}@:{}/{database}?socket={socket}", self.port)
            }
            _ => format!("mysql://{user}@/{database}?socket={socket}"),
        }
    }

    fn scheme(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "postgresql",
            _ => "mysql",
        }
    }

    fn administer(&self, sql: &str) {
        let database = match self.engine {
            Engine::Postgresql => "postgres",
            _ => "mysql",
        };
        if let Err(reason) = feed(self.client(database), sql) {
            panic!("{}: `{sql}` failed: {reason}", self.engine);
        }
    }

    fn client(&self, database: &str) -> Command {
        match self.engine {
            Engine::Postgresql => {
                let mut command = tool("SEALIFT_TEST_PSQL");
                command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "--username", &self.socket_user, "--dbname", database]);
                command.args(["--port", &self.port.to_string(), "--host"]).arg(&self.socket);
                command
            }
            _ => {
                let mut command = tool("SEALIFT_TEST_MARIADB");
                command.args(["--no-defaults", "--batch", "--skip-column-names", "--user", &self.socket_user]);
                command.arg("--socket").arg(&self.socket).arg(database);
                command
            }
        }
    }

    fn dump(&self, database: &str) -> Command {
        match self.engine {
            Engine::Postgresql => {
                let mut command = tool("SEALIFT_TEST_PG_DUMP");
                command.args(["--schema-only", "--exclude-schema=sealift", "--username", &self.socket_user]);
                command.args(["--port", &self.port.to_string(), "--host"]).arg(&self.socket).arg(database);
                command
            }
            _ => {
                let mut command = tool("SEALIFT_TEST_MARIADB_DUMP");
                command.args(["--no-defaults", "--no-data", "--routines", "--triggers", "--events", "--skip-comments"]);
                command.args(["--user", &self.socket_user]).arg("--socket").arg(&self.socket).arg(database);
                command
            }
        }
    }
}

/// A database that nobody else uses, gone when the value is.
#[derive(Debug)]
pub struct Database {
    /// Which program it lives in.
    pub engine: Engine,
    /// Its name on the server; `main` for SQLite.
    pub name: String,
    /// Its URL: over TCP with a password, or `sqlite:` and a path.
    pub url: String,
    /// Its URL over the Unix socket, without a password.
    pub socket_url: Option<String>,
    /// PEM file of the authority that signed the server's certificate.
    pub ca: Option<PathBuf>,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Server(Server),
    File { path: PathBuf, _folder: TempDir },
}

impl Database {
    /// Returns the server it lives on.
    ///
    /// # Panics
    ///
    /// For SQLite.
    #[must_use]
    pub fn server(&self) -> &Server {
        match &self.home {
            Home::Server(server) => server,
            Home::File { .. } => panic!("SQLite has no server"),
        }
    }

    /// Returns the path of a SQLite database.
    ///
    /// # Panics
    ///
    /// For the other engines.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.home {
            Home::File { path, .. } => path,
            Home::Server(server) => panic!("a {} database has no path", server.engine),
        }
    }

    /// Runs SQL with the engine's own client and returns its rows: columns separated by `|` (MariaDB: tabs), a row a line.
    ///
    /// # Panics
    ///
    /// When the client fails.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        match self.attempt(sql) {
            Ok(rows) => rows,
            Err(reason) => panic!("{}: `{sql}` failed: {reason}", self.engine),
        }
    }

    /// Runs SQL with the engine's own client, for its effect.
    ///
    /// # Panics
    ///
    /// When the client fails.
    pub fn execute(&self, sql: &str) {
        let _rows = self.query(sql);
    }

    /// Runs SQL with the engine's own client.
    ///
    /// # Errors
    ///
    /// What the client said when it failed.
    pub fn attempt(&self, sql: &str) -> Result<String, String> {
        let client = match &self.home {
            Home::Server(server) => server.client(&self.name),
            Home::File { path, .. } => {
                let mut command = bare("sqlite3");
                command.args(["-batch", "-bail", "-init", "/dev/null"]).arg(path);
                command
            }
        };
        feed(client, sql)
    }

    /// Returns the schema as the engine's own tool writes it, without Sealift's tables.
    ///
    /// # Panics
    ///
    /// When the tool fails.
    #[must_use]
    pub fn schema(&self) -> String {
        match &self.home {
            Home::Server(server) => {
                let mut dump = server.dump(&self.name);
                if server.engine == Engine::Mariadb {
                    let tables = self.query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()");
                    for table in tables.lines().filter(|table| table.starts_with("sealift_")) {
                        dump.arg(format!("--ignore-table={}.{table}", self.name));
                    }
                }
                let text = feed(dump, "").unwrap_or_else(|reason| panic!("{}: dump failed: {reason}", self.engine));
                // Lines that differ from one dump of the same schema to the next.
                let keep = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
                text.lines().filter(keep).flat_map(|line| [line, "\n"]).collect()
            }
            Home::File { .. } => self.query(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'sealift\\_%' ESCAPE '\\' ORDER BY type, name",
            ),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Home::Server(server) = &self.home {
            let sql = match server.engine {
                Engine::Postgresql => format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
                _ => format!("DROP DATABASE IF EXISTS {}", self.name),
            };
            // A test that stopped the server is past caring, and a panic while panicking would hide the first one.
            if !thread::panicking() {
                server.administer(&sql);
            } else {
                let _ = feed(server.client("postgres"), &sql);
            }
        }
    }
}

fn variable(name: &str) -> String {
    match env::var(name) {
        Ok(value) => value,
        Err(_) => panic!("{name} is not set: run ./test, or eval \"$(tests/servers start)\""),
    }
}

fn port(name: &str) -> u16 {
    variable(name).parse().unwrap_or_else(|_| panic!("{name} is not a port"))
}

/// One of the engines' own programs, by the variable that holds its path.
fn tool(variable_name: &str) -> Command {
    bare(variable(variable_name))
}

/// A command that inherits nothing but PATH.
fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a command with `input` on its standard input, and returns its standard output, or its standard error if it failed.
fn feed(mut command: Command, input: &str) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` cannot be run: {error} (./test installs what is missing)"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // Written beside the reading, since a client may print more than a pipe holds before it has read everything. One that
    // stops at an error closes the pipe early, which its exit status reports.
    let writer = thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("`{program}`: {error}"));
    writer.join().expect("the writer does not panic");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
