use std::future::Future;

use sealift_spec::endpoint::ConnectionUrl;
use sealift_spec::manifest::{Direction, Engine as Program, Expect, Script, Timeouts, Unit};
use tempfile::TempDir;

use super::*;
use crate::engine::Holder;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn aim(folder: &TempDir, access: Access) -> Sqlite {
    let url = ConnectionUrl::parse(&format!("sqlite:{}/a.db", folder.path().display())).unwrap();
    Sqlite::new(Target { url, ca: None, role: None, id: None }, access)
}

async fn take(engine: &mut Sqlite, wait: Duration) -> Result<Vec<Holder>, EngineError> {
    let mut holders = Vec::new();
    engine.lock(&"orders".parse().unwrap(), wait, &mut |holder| holders.push(holder.clone())).await?;
    Ok(holders)
}

/// A database with an empty history, locked by the session that is returned.
async fn ready(folder: &TempDir) -> Sqlite {
    let mut engine = aim(folder, Access::Create);
    engine.connect().await.unwrap();
    take(&mut engine, Duration::ZERO).await.unwrap();
    engine.create_history().await.unwrap();
    engine.baseline(&Baseline(baseline::defaults(Flavour::Sqlite))).await.unwrap();
    engine
}

async fn number(engine: &mut Sqlite, sql: &str) -> i64 {
    engine.session().unwrap().number(sql).await.unwrap()
}

fn row(seq: u64) -> Row {
    Row { seq, body: format!("event {seq}"), sha256: "0".repeat(64) }
}

/// A unit whose statements are the given ones.
fn unit(mode: Mode, foreign_keys: bool, statements: &[(&str, Kind)]) -> (Unit, String) {
    let mut end = 0;
    let ranges = statements.iter().map(|(sql, kind)| {
        end += sql.len() as u64;
        Statement { end, kind: *kind, lock: None, probe: None }
    });
    let statements_of_script: Vec<_> = ranges.collect();
    let sql: String = statements.iter().map(|(sql, _)| *sql).collect();
    let up = Script {
        file: "1_a.up.sql".parse().unwrap(),
        mode,
        not_resumable: false,
        sha256: Digest::of(sql.as_bytes()),
        size: sql.len() as u64,
        statements: statements_of_script,
    };
    let unit = Unit {
        author: "a@example.com".parse().unwrap(),
        baseline: Digest::of(b""),
        down: None,
        engine: Program::Sqlite,
        flavour: Flavour::Sqlite,
        foreign_keys: Some(foreign_keys),
        id: "1".parse().unwrap(),
        name: "a".parse().unwrap(),
        parents: Vec::new(),
        project: "orders".parse().unwrap(),
        timeouts: Timeouts { lock_ms: 100, statement_ms: 60_000 },
        up,
    };
    (unit, sql)
}

/// Runs a script in one transaction.
async fn apply(engine: &mut Sqlite, foreign_keys: bool, sql: &str, seq: u64) -> Result<(), StepError> {
    let (unit, sql) = unit(Mode::Transaction, foreign_keys, &[(sql, Kind::Ddl)]);
    engine.transaction(&Work::unreviewed(&unit, Direction::Up, &sql), &row(seq)).await
}

fn rolled_back(result: Result<(), StepError>) -> SqlError {
    match result {
        Err(StepError::RolledBack(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_file_is_created_by_the_first_write_and_by_nothing_before() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        for access in [Access::Read, Access::Write] {
            assert!(matches!(aim(&folder, access).connect().await, Err(EngineError::File { .. })));
        }
        for access in [Access::Preview, Access::Create] {
            let mut engine = aim(&folder, access);
            engine.connect().await.unwrap();
            assert_eq!(engine.server().await.unwrap().read_only, None);
            assert!(engine.history().await.unwrap().is_none());
            assert!(!engine.has_objects().await.unwrap());
            engine.close().await;
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut engine = ready(&folder).await;
        assert_eq!(engine.history().await.unwrap(), Some(Vec::new()));
        assert!(!engine.has_objects().await.unwrap());
        engine.close().await;
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.db", "a.db.sealift-lock"]);
    });
}

#[test]
fn a_database_that_somebody_created_meanwhile_is_seen_under_the_lock() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut late = aim(&folder, Access::Create);
        late.connect().await.unwrap();
        let mut early = ready(&folder).await;
        early.record(&row(1)).await.unwrap();
        early.close().await;
        take(&mut late, Duration::ZERO).await.unwrap();
        assert_eq!(late.history().await.unwrap(), Some(vec![row(1)]));
    });
}

#[test]
fn the_lock_keeps_the_second_runner_out_and_names_the_first() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let first = ready(&folder).await;
        let mut second = aim(&folder, Access::Write);
        second.connect().await.unwrap();
        let refused = take(&mut second, Duration::from_millis(300)).await.unwrap_err();
        let EngineError::Held { holder, waited } = refused else { panic!("{refused:?}") };
        assert_eq!(holder.pid, Some(u64::from(std::process::id())));
        assert!(waited >= Duration::from_millis(300));
        assert!(rolled_back(second.record(&row(1)).await).message.contains("lock"));
        first.close().await;
        assert_eq!(take(&mut second, Duration::ZERO).await.unwrap(), []);
        second.record(&row(1)).await.unwrap();
    });
}

#[test]
fn a_row_that_is_not_the_next_one_is_refused() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        engine.record(&row(1)).await.unwrap();
        for seq in [1, 3] {
            assert!(rolled_back(engine.record(&row(seq)).await).message.contains("moved"));
            assert!(rolled_back(apply(&mut engine, false, "CREATE TABLE t (a)", seq).await).message.contains("moved"));
        }
        assert!(!engine.has_objects().await.unwrap());
        assert_eq!(engine.history().await.unwrap(), Some(vec![row(1)]));
    });
}

#[test]
fn a_failing_script_leaves_nothing_and_says_where() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let (unit, sql) = unit(
            Mode::Transaction,
            false,
            &[
                ("CREATE TABLE t (a);", Kind::Ddl),
                ("-- bad\nBEGIN;", Kind::Skip),
                ("\n/* x */ INSERT INTO u VALUES (1);", Kind::Dml),
            ],
        );
        let error = rolled_back(engine.transaction(&Work::unreviewed(&unit, Direction::Up, &sql), &row(1)).await);
        assert_eq!(error.offset, sql.find("INSERT"));
        assert_eq!(error.message, "no such table: u");
        assert!(!engine.has_objects().await.unwrap());
        apply(&mut engine, false, "CREATE TABLE t (a)", 1).await.unwrap();
        assert!(engine.has_objects().await.unwrap());
    });
}

#[test]
fn a_script_cannot_end_its_transaction() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        for sql in [
            "CREATE TABLE t (a); COMMIT;",
            "CREATE TABLE t (a); COMMIT; BEGIN; CREATE TABLE u (a);",
            "CREATE TABLE t (a); ROLLBACK;",
            "CREATE TABLE t (a); ROLLBACK; BEGIN IMMEDIATE;",
            "ROLLBACK; CREATE TABLE t (a);",
            "ROLLBACK; VACUUM; CREATE TABLE t (a);",
        ] {
            let error = rolled_back(apply(&mut engine, false, sql, 1).await);
            assert!(error.message.contains("transaction"), "{sql}: {error}");
            assert!(!engine.has_objects().await.unwrap(), "{sql}");
            assert_eq!(engine.history().await.unwrap(), Some(Vec::new()), "{sql}");
        }
        engine.record(&row(1)).await.unwrap();
    });
}

#[test]
fn foreign_keys_are_enforced_as_the_unit_says() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let schema = "CREATE TABLE p (a INTEGER PRIMARY KEY);\
             CREATE TABLE c (b INTEGER PRIMARY KEY, a REFERENCES p ON DELETE CASCADE);\
             INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2);";
        apply(&mut engine, false, schema, 1).await.unwrap();
        // The rebuild that lost child rows with keys enforced.
        let rebuild = "CREATE TABLE n (a INTEGER PRIMARY KEY, x); INSERT INTO n (a) SELECT a FROM p; DROP TABLE p;\
             ALTER TABLE n RENAME TO p;";
        apply(&mut engine, false, rebuild, 2).await.unwrap();
        assert_eq!(number(&mut engine, "SELECT count(*) FROM c").await, 2);
        // Enforced: the cascade happens.
        apply(&mut engine, true, "DELETE FROM p WHERE a = 1", 3).await.unwrap();
        assert_eq!(number(&mut engine, "SELECT count(*) FROM c").await, 1);
        // Not enforced: a lost parent is refused.
        let error = rolled_back(apply(&mut engine, false, "DELETE FROM p WHERE a = 2", 4).await);
        assert_eq!(error.detail.as_deref(), Some("row 2 of table `c` names a row of `p` that does not exist"));
        assert_eq!(number(&mut engine, "SELECT count(*) FROM p").await, 1);
        // What was broken before may stay, more may not come.
        engine.session().unwrap().execute("INSERT INTO c VALUES (7, 77)").await.unwrap();
        apply(&mut engine, false, "CREATE TABLE other (a)", 4).await.unwrap();
        let error = rolled_back(apply(&mut engine, false, "INSERT INTO c VALUES (8, 88), (9, 99)", 5).await);
        assert!(error.message.contains("2 rows"), "{error}");
        // A key that cannot be judged hides no other one.
        let unjudged = "CREATE TABLE q (a); CREATE TABLE d (a REFERENCES q (a)); INSERT INTO d VALUES (5);";
        apply(&mut engine, false, unjudged, 5).await.unwrap();
        rolled_back(apply(&mut engine, false, "INSERT INTO c VALUES (8, 88)", 6).await);
        // Inside the transaction the setting cannot be changed.
        apply(&mut engine, true, "PRAGMA foreign_keys = OFF; DELETE FROM p WHERE a = 2", 6).await.unwrap();
        assert_eq!(number(&mut engine, "SELECT count(*) FROM c WHERE b = 2").await, 0);
    });
}

#[test]
fn nothing_of_a_script_is_left_for_the_next_one() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let sql = "PRAGMA recursive_triggers = 1; PRAGMA legacy_alter_table = 1; PRAGMA ignore_check_constraints = 1;\
             CREATE TEMP TABLE sealift_history (seq, body, sha256); CREATE TEMP TABLE t (a); CREATE TABLE m (a)";
        apply(&mut engine, false, sql, 1).await.unwrap();
        assert_eq!(number(&mut engine, "SELECT count(*) FROM main.sealift_history").await, 1);
        let error = rolled_back(apply(&mut engine, false, "INSERT INTO t VALUES (1)", 2).await);
        assert_eq!(error.message, "no such table: t");
        for name in ["recursive_triggers", "legacy_alter_table", "ignore_check_constraints"] {
            assert_eq!(number(&mut engine, &format!("PRAGMA {name}")).await, 0, "{name}");
        }
    });
}

#[test]
fn a_statement_that_runs_too_long_is_stopped() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let endless = "CREATE TABLE t AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
             SELECT count(*) FROM n";
        let (mut unit, sql) = unit(Mode::Transaction, false, &[(endless, Kind::Ddl)]);
        unit.timeouts.statement_ms = 30;
        let error = rolled_back(engine.transaction(&Work::unreviewed(&unit, Direction::Up, &sql), &row(1)).await);
        assert!(error.message.contains("30 ms"), "{error}");
        apply(&mut engine, false, "CREATE TABLE t (a)", 1).await.unwrap();
    });
}

#[test]
fn a_busy_database_is_a_reason_to_try_again() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let mut other = Session::open(Some(&folder.path().join("a.db")), Opening::Write).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let error = rolled_back(apply(&mut engine, false, "CREATE TABLE t (a)", 1).await);
        assert!(error.transient, "{error}");
        other.execute("ROLLBACK").await.unwrap();
        // A reader keeps COMMIT waiting.
        other.execute("BEGIN; SELECT * FROM sealift_history").await.unwrap();
        let error = rolled_back(apply(&mut engine, false, "CREATE TABLE t (a)", 1).await);
        assert!(error.transient, "{error}");
        other.execute("ROLLBACK").await.unwrap();
        apply(&mut engine, false, "CREATE TABLE t (a)", 1).await.unwrap();
    });
}

#[test]
fn statements_run_one_by_one_and_share_their_transactions() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let schema = "CREATE TABLE p (a INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);\
             CREATE TABLE c (a REFERENCES p); INSERT INTO c VALUES (1);";
        apply(&mut engine, false, schema, 1).await.unwrap();
        let statements = [
            ("CREATE TABLE n (a INTEGER PRIMARY KEY);", Kind::Ddl),
            (" DROP TABLE p;", Kind::Ddl),
            (" VACUUM;", Kind::Concurrent),
            (" PRAGMA synchronous = OFF;", Kind::Session),
            (" ALTER TABLE n RENAME TO p;", Kind::Ddl),
        ];
        let (unit, sql) = unit(Mode::Statements, false, &statements);
        let work = Work::unreviewed(&unit, Direction::Up, &sql);
        engine.reset(&work).await.unwrap();
        engine.statement(&work, 0, Some(&row(2))).await.unwrap();
        // In the middle of a script a key may point nowhere.
        engine.statement(&work, 1, Some(&row(3))).await.unwrap();
        assert!(!engine.shares_transaction(Kind::Concurrent));
        engine.statement(&work, 2, None).await.unwrap();
        engine.statement(&work, 3, None).await.unwrap();
        engine.record(&row(4)).await.unwrap();
        assert_eq!(number(&mut engine, "PRAGMA synchronous").await, 2);
        // At its end it may not.
        let error = rolled_back(engine.statement(&work, 4, Some(&row(5))).await);
        assert!(error.message.contains("points nowhere"), "{error}");
        engine.session().unwrap().execute("INSERT INTO n VALUES (1)").await.unwrap();
        engine.statement(&work, 4, Some(&row(5))).await.unwrap();
        assert_eq!(engine.history().await.unwrap().unwrap().len(), 5);
    });
}

#[test]
fn probes_find_what_is_there() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let schema = "CREATE TABLE t (a, \"b c\" AS (a + 1)); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT 1;\
             CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;";
        apply(&mut engine, false, schema, 1).await.unwrap();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (object, name, table, found) in [
            (Object::Table, &["T"][..], &[][..], Finding::Present),
            (Object::Table, &["main", "t"], &[], Finding::Present),
            (Object::Table, &["v"], &[], Finding::Absent),
            (Object::View, &["v"], &[], Finding::Present),
            (Object::Index, &["i"], &["t"], Finding::Present),
            (Object::Index, &["i"], &["u"], Finding::Absent),
            (Object::Trigger, &["r"], &[], Finding::Present),
            (Object::Column, &["B C"], &["t"], Finding::Present),
            (Object::Column, &["d"], &["t"], Finding::Absent),
            (Object::Column, &["a"], &["u"], Finding::Absent),
        ] {
            let probe = Probe { expect: Expect::Present, object, name: words(name), table: words(table) };
            assert_eq!(engine.probe(&probe).await.unwrap(), found, "{probe:?}");
        }
    });
}

#[test]
fn only_settings_of_the_list_are_taken_and_they_must_hold() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let with = |name: &str, value: &str| {
            let mut baseline = Baseline(baseline::defaults(Flavour::Sqlite));
            baseline.0.insert(name.to_owned(), value.to_owned());
            baseline
        };
        let unknown = engine.baseline(&with("writable_schema", "1")).await;
        assert!(matches!(unknown, Err(EngineError::UnknownSetting { name }) if name == "writable_schema"));
        let odd = engine.baseline(&with("trusted_schema", "1; DROP TABLE sealift_history")).await;
        assert!(matches!(odd, Err(EngineError::Setting { name, .. }) if name == "trusted_schema"));
        engine.baseline(&with("defer_foreign_keys", "on")).await.unwrap();
        let schema = "CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p);";
        apply(&mut engine, true, schema, 1).await.unwrap();
        apply(&mut engine, true, "INSERT INTO c VALUES (1); INSERT INTO p VALUES (1);", 2).await.unwrap();
    });
}

#[test]
fn an_envelope_is_stored_once() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        for _ in 0..2 {
            engine.evidence(Digest::of(b"release"), b"{}").await.unwrap();
        }
        assert_eq!(number(&mut engine, "SELECT count(*) FROM sealift_evidence").await, 1);
    });
}

#[test]
fn an_abandoned_statement_ends_by_itself() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let run = apply(&mut engine, false, endless, 1);
        assert!(tokio::time::timeout(Duration::from_millis(50), run).await.is_err());
        // The write lock of the old connection is given up as soon as nobody waits for it.
        engine.connect().await.unwrap();
        take(&mut engine, Duration::ZERO).await.unwrap();
        engine.record(&row(1)).await.unwrap();
    });
}

#[test]
fn what_a_dead_writer_left_does_not_keep_readers_out() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = ready(&folder).await;
        engine.record(&row(1)).await.unwrap();
        // As if the process had died now: the file is already changed, and the journal says how it was.
        let big = "BEGIN; PRAGMA cache_size = 1; CREATE TABLE t (a); INSERT INTO t SELECT randomblob(100000); \
             INSERT INTO t SELECT randomblob(100000); DELETE FROM sealift_history;";
        engine.session().unwrap().execute(big).await.unwrap();
        let dead = tempfile::tempdir().unwrap();
        for name in ["a.db", "a.db-journal"] {
            std::fs::copy(folder.path().join(name), dead.path().join(name)).unwrap();
        }
        let mut reader = aim(&dead, Access::Read);
        reader.connect().await.unwrap();
        assert_eq!(reader.history().await.unwrap(), Some(vec![row(1)]));
        assert!(!reader.has_objects().await.unwrap());
        assert!(reader.session().unwrap().execute("CREATE TABLE t (a)").await.is_err());
    });
}

#[test]
fn a_file_that_cannot_be_the_database_is_refused() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("a.db")).unwrap();
        assert!(matches!(aim(&folder, Access::Create).connect().await, Err(EngineError::File { .. })));
        std::fs::remove_file(folder.path().join("a.db")).unwrap();
        std::fs::create_dir(folder.path().join("a.db")).unwrap();
        assert!(matches!(aim(&folder, Access::Create).connect().await, Err(EngineError::File { .. })));
        std::fs::remove_dir(folder.path().join("a.db")).unwrap();
        std::fs::write(folder.path().join("a.db"), "this is text, and of some length, but no database").unwrap();
        let mut engine = aim(&folder, Access::Write);
        engine.connect().await.unwrap();
        assert!(matches!(engine.history().await, Err(EngineError::Sql { .. })));
    });
}

#[test]
fn the_first_word_is_found_behind_comments() {
    for (sql, word) in [("a", 0), (" -- x\n /* y */\tb", 15), ("-- only", 0), ("/* open", 0)] {
        assert_eq!(first_word(sql), word, "{sql}");
    }
}
