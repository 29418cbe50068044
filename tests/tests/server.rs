//! The harness itself: the servers are real, separate, reachable both ways, and their certificates mean something.

use std::process::{Command, Output};

use sealift_tests::server::{Engine, Server, mariadb, one_of_each, postgresql, sqlite};

#[test]
fn a_database_is_fresh_and_gone_afterwards() {
    for server in [postgresql(), mariadb()] {
        let (first, second) = (server.fresh_database(), server.fresh_database());
        first.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (7);");
        assert_eq!(first.query("SELECT a FROM t;"), "7\n", "{}", server.engine);
        let reason = second.attempt("SELECT a FROM t;").expect_err("an empty database");
        assert!(reason.contains('t'), "{reason}");
        let name = first.name.clone();
        drop(first);
        let catalogue = match server.engine {
            Engine::Postgresql => format!("SELECT count(*) FROM pg_database WHERE datname = '{name}';"),
            _ => format!("SELECT count(*) FROM information_schema.schemata WHERE schema_name = '{name}';"),
        };
        assert_eq!(second.query(&catalogue), "0\n", "{}", server.engine);
    }
}

#[test]
fn a_sqlite_database_is_a_file_of_its_own() {
    let database = sqlite();
    assert!(!database.path().exists());
    database.execute("CREATE TABLE t (a int);");
    assert!(database.path().exists());
    let path = database.path().to_owned();
    drop(database);
    assert!(!path.exists());
}

#[test]
fn a_schema_leaves_our_own_tables_out() {
    for database in one_of_each() {
        let empty = database.schema();
        if database.engine == Engine::Postgresql {
            database.execute("CREATE SCHEMA sealift; CREATE TABLE sealift.event (a int);");
        } else {
            database.execute("CREATE TABLE sealift_event (a int);");
        }
        assert_eq!(database.schema(), empty, "{}", database.engine);
        database.execute("CREATE TABLE orders (a int);");
        assert!(database.schema().contains("orders"), "{}", database.engine);
    }
}

/// Asks for one row over TCP with the server's own client, checking certificate and name.
fn select_verified(server: &Server, host: &str, ca: &std::path::Path) -> Output {
    let mut command = match server.engine {
        Engine::Postgresql => {
            let mut command = Command::new(std::env::var("SEALIFT_TEST_PSQL").expect("the path of psql"));
            let (port, user, ca) = (server.port, &server.user, ca.display());
            command.args(["-XAtqc", "SELECT 1"]).arg(format!(
                "host={host} port={port} user={user} dbname=postgres sslmode=verify-full sslrootcert={ca}"
            ));
            command
        }
        _ => {
            let mut command = Command::new(std::env::var("SEALIFT_TEST_MARIADB").expect("the path of mariadb"));
            command.args(["--no-defaults", "--host", host, "--port", &server.port.to_string(), "--user", &server.user]);
            command.arg("--ssl-ca").arg(ca).args(["--ssl-verify-server-cert", "-BNe", "SELECT 1"]);
            command
        }
    };
    command.env("PGPASSWORD", &server.password).env("MYSQL_PWD", &server.password).env("HOME", "/nonexistent");
    command.output().expect("the client can be run")
}

#[test]
fn certificates_are_checked_for_authority_and_name() {
    for server in [postgresql(), mariadb()] {
        for (host, ca, accepted) in [
            ("localhost", &server.ca, true),
            ("127.0.0.1", &server.ca, true),
            ("127.0.0.2", &server.ca, false),
            ("localhost", &server.stranger_ca, false),
        ] {
            let output = select_verified(&server, host, ca);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), accepted, "{} at {host} under {}: {said}", server.engine, ca.display());
            if !accepted {
                assert!(said.contains("certificate"), "refused for another reason: {said}");
            }
        }
    }
}
