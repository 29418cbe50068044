use sealift_spec::manifest::{Expect, Object};

use super::*;
use Flavour::{Mariadb, Mysql, Postgresql, Sqlite};

fn read(flavour: Flavour, sql: &str) -> Result<View, SplitError> {
    let result = view(flavour, sql.as_bytes(), Request::default());
    if let Ok(view) = &result {
        assert_tiles(view, sql.len());
    }
    result
}

fn assert_tiles(view: &View, size: usize) {
    let mut at = 0;
    for statement in &view.statements {
        assert!(statement.end > at, "an empty range at {at}");
        at = statement.end;
    }
    assert_eq!(at, size as u64, "the ranges do not reach the end");
}

/// Kind and text of each range, white space squeezed.
fn cut(flavour: Flavour, sql: &str) -> Vec<(Kind, String)> {
    let view = read(flavour, sql).unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let mut start = 0;
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    view.statements
        .iter()
        .map(|statement| {
            let end = usize::try_from(statement.end).unwrap();
            let text = squeeze(&sql[start..end]);
            start = end;
            (statement.kind, text)
        })
        .collect()
}

fn sent(flavour: Flavour, sql: &str) -> Vec<String> {
    cut(flavour, sql).into_iter().filter(|(kind, _)| *kind != Kind::Skip).map(|(_, text)| text).collect()
}

/// Each script is cut into so many statements that are sent.
fn assert_counts(flavour: Flavour, scripts: &[(&str, usize)]) {
    for (sql, count) in scripts {
        assert_eq!(sent(flavour, sql).len(), *count, "{flavour}: {sql}\n{:#?}", cut(flavour, sql));
    }
}

#[track_caller]
fn refused(flavour: Flavour, sql: &str, line: usize, words: &str) {
    let error = read(flavour, sql).expect_err(sql);
    let text = error.to_string();
    assert!(text.contains(words), "`{text}` does not say `{words}`: {sql}");
    assert_eq!(error.line(), line, "{text}: {sql}");
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
}

#[test]
fn postgresql_is_cut_where_the_server_ends_statements() {
    assert_counts(
        Postgresql,
        &[
            ("", 0),
            (" \n", 0),
            ("-- nothing\n/* at /* all */ */", 0),
            (";;", 0),
            (";; SELECT 1;;", 1),
            ("SELECT 1", 1),
            ("SELECT 1; SELECT 2", 2),
            ("SELECT ';'; SELECT 2;", 2),
            ("SELECT 'it''s;'; SELECT 2;", 2),
            ("SELECT 'a\\'; SELECT 2; --'", 2),
            ("SELECT E'it\\'s;'; SELECT 2;", 2),
            ("SELECT E'a'\n'b;' ; SELECT 2;", 2),
            ("SELECT U&'d\\0061t;' ; SELECT B'01', X'1F', N';' ;", 2),
            ("SELECT \"a;b\" FROM t; SELECT 2;", 2),
            ("SELECT \"a\"\";\" FROM t;", 1),
            ("SELECT $$a;b$$; SELECT 2;", 2),
            ("SELECT $a$ $b$ ; $b$ $$ $a$; SELECT 2;", 2),
            ("SELECT a$b$c FROM t; SELECT d$b$e FROM t;", 2),
            ("PREPARE p AS SELECT $1; SELECT 2;", 2),
            ("SELECT 1 /* ; /* ; */ ; */; SELECT 2;", 2),
            ("SELECT 1 -- ;\n; SELECT 2;", 2),
            ("SELECT 1;\r\nSELECT 2;\r\n", 2),
            ("SELECT a::text, b[1:2], c -> 'x' FROM t; SELECT 2;", 2),
            ("SELECT 5 - -3; SELECT 4 --3\n;", 2),
            ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3;", 2),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3;", 2),
            (
                "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;",
                2,
            ),
            ("DO $$ BEGIN PERFORM 1; PERFORM 2; END $$; SELECT 1;", 2),
            ("CREATE FUNCTION f() RETURNS void AS $f$ BEGIN; END $f$ LANGUAGE plpgsql; SELECT 1;", 2),
            ("CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1; SELECT 1;", 2),
            ("CREATE TABLE t (a int GENERATED ALWAYS AS (1) VIRTUAL); SELECT 1;", 2),
            ("ALTER TABLE t ADD CONSTRAINT c NOT NULL a NOT VALID; SELECT 1;", 2),
            ("SELECT 'é;', \"ü;\"; SELECT 2;", 2),
            ("COPY t FROM '/tmp/x'; SELECT 2;", 2),
            ("SELECT '${A} {{ b }} \\i :x'; -- ${C} \\d\nSELECT 2;", 2),
            ("SELECT JSON_OBJECT('a' : 1); SELECT 'a' ? 'b', x @@ y FROM t;", 2),
        ],
    );
}

#[test]
fn sqlite_is_cut_where_the_library_ends_statements() {
    assert_counts(
        Sqlite,
        &[
            ("", 0),
            ("-- nothing", 0),
            (";;", 0),
            ("SELECT 1; SELECT 2", 2),
            ("SELECT 'it''s;'; SELECT 2;", 2),
            ("SELECT [a;b], `c;d`, \"e;f\" FROM t; SELECT 2;", 2),
            ("SELECT 'a\\'; SELECT 2;", 2),
            ("SELECT x'3b'; SELECT 2;", 2),
            ("SELECT 1 /* ; /* ; */; SELECT 2;", 2),
            ("SELECT 1 -- ;\n; SELECT 2;", 2),
            ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END; SELECT 3;", 2),
            (
                "CREATE TEMP TRIGGER t AFTER INSERT ON a WHEN new.a = ';' BEGIN SELECT CASE WHEN 1 THEN 2 END; END; SELECT 3;",
                2,
            ),
            ("CREATE TABLE t (a INT) STRICT; CREATE TABLE u (a PRIMARY KEY, b) STRICT, WITHOUT ROWID;", 2),
            ("CREATE TABLE t (a INT CONSTRAINT c CHECK (a > 0) UNIQUE); SELECT 1;", 2),
            ("CREATE VIRTUAL TABLE t USING fts5(a, tokenize = 'porter;'); SELECT 1;", 2),
            ("INSERT INTO t VALUES ('${A}', ':b', '?'); SELECT 1;", 2),
            ("EXPLAIN QUERY PLAN SELECT 1; SELECT json('{}') -> 'a';", 2),
            ("--> statement-breakpoint\nSELECT 1;--> statement-breakpoint\nSELECT 2;", 2),
        ],
    );
}

#[test]
fn mysql_is_cut_where_the_client_ends_statements() {
    let body = "BEGIN DECLARE d INT DEFAULT CASE a WHEN 1 THEN 2 END; \
        DECLARE CONTINUE HANDLER FOR SQLSTATE VALUE '02000', NOT FOUND SET d = 1; \
        DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET d = 2; END; \
        IF IF(a, 1, 2) THEN SELECT 1; ELSEIF a THEN SELECT REPEAT('x', 2); ELSE SELECT 3; END IF; \
        l: LOOP LEAVE l; END LOOP l; WHILE a DO SET a = 0; END WHILE; \
        REPEAT SET a = 1; UNTIL CASE a WHEN 1 THEN 1 END END REPEAT; \
        CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE; UPDATE t SET t.end = 1, `begin` = 2; END";
    for flavour in [Mysql, Mariadb] {
        assert_counts(
            flavour,
            &[
                ("", 0),
                ("# nothing\n-- at all\n/* here */", 0),
                (";;", 0),
                ("SELECT 1; SELECT 2", 2),
                ("SELECT 'it''s;'; SELECT 2;", 2),
                ("SELECT 'it\\'s;'; SELECT 2;", 2),
                ("SELECT 'a\\\\'; SELECT 2;", 2),
                ("SELECT \"a;\"\"b\\\";\"; SELECT 2;", 2),
                ("SELECT `a;``\\` FROM t; SELECT 2;", 2),
                ("SELECT 1 # ;\n; SELECT 2;", 2),
                ("SELECT 1 -- ;\n; SELECT 2;", 2),
                ("SELECT 1--2; SELECT 2;", 2),
                ("SELECT 1 --\n; SELECT 2;", 2),
                ("SELECT 1 /* ; /* */; SELECT 2;", 2),
                ("/*!50001 SELECT 1 */; SELECT 2;", 2),
                ("SELECT /*+ NO_MERGE(t) */ 1; SELECT 2;", 2),
                ("delimiter #\nSELECT 1#\nSELECT 2#\nDELIMITER ;\nSELECT 3;", 3),
                ("DELIMITER $$\nSELECT 1$$ SELECT 2 $$\ndelimiter ;\n", 2),
                ("DELIMITER d//\nSELECT 1 d//\nSELECT 2 from td// DELIMITER ;\n", 2),
                ("DELIMITER //\nSELECT 1;\nDELIMITER ;\nSELECT 2;", 2),
                (
                    "DELIMITER ;;\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @x = 1; END ;;\nDELIMITER ;",
                    1,
                ),
                (
                    "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET \
                     @x = 1; END */; SELECT 2;",
                    2,
                ),
                (&format!("DELIMITER //\nCREATE PROCEDURE p(IN a INT)\n{body}//\nDELIMITER ;\nSELECT 2;"), 2),
                (&format!("DELIMITER //\nCREATE PROCEDURE p(IN a INT)\n{body};\n//\nDELIMITER ;\nSELECT 2;"), 2),
                (&format!("CREATE DEFINER = a@b PROCEDURE IF NOT EXISTS p(IN a INT) COMMENT 'x' {body}; SELECT 2;"), 2),
                (&format!("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO {body}; SELECT 2;"), 2),
                (&format!("CREATE TRIGGER t AFTER UPDATE ON a FOR EACH ROW PRECEDES b {body}; SELECT 2;"), 2),
                ("CREATE TRIGGER t AFTER UPDATE ON a FOR EACH ROW IF NEW.a THEN SET @a = 1; END IF; SELECT 2;", 2),
                ("CREATE TRIGGER t AFTER UPDATE ON a FOR EACH ROW SET NEW.a = 1; SELECT 2;", 2),
                (
                    "CREATE FUNCTION f(a CHAR(2)) RETURNS SET('b;') CHARACTER SET utf8 DETERMINISTIC RETURN IF(a, 1, 2); SELECT 2;",
                    2,
                ),
                ("CREATE PROCEDURE p() SET @a = IF(1, 2, 3); SELECT 2;", 2),
                ("CREATE TABLE t (begin INT, end INT, `case` INT); SELECT end FROM t;", 2),
                ("CREATE TABLE IF NOT EXISTS t (a INT DEFAULT 1); SELECT IF(a, 1, 2) FROM t;", 2),
                ("INSERT INTO t VALUES ('${A}', ':b', '?', \\N); SELECT 2;", 2),
                ("SELECT a FROM t WHERE a = 5 % (3); SELECT @x := 1, @@version, @'y';", 2),
                ("--> statement-breakpoint\nSELECT 1;--> statement-breakpoint\nSELECT 2;", 2),
                ("LOAD DATA INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ';'; SELECT 2;", 2),
            ],
        );
    }
    assert_counts(Mariadb, &[("BEGIN NOT ATOMIC SELECT 1; SELECT 2; END; SELECT 3;", 2)]);
    assert_counts(Mariadb, &[("IF 1 THEN SELECT 1; END IF; FOR i IN 1..2 DO SELECT i; END FOR; SELECT 3;", 3)]);
    // One range of bytes, two programs.
    assert_counts(Mariadb, &[("/*M! SELECT 1 */; SELECT 2;", 2)]);
    assert_counts(Mysql, &[("/*M! SELECT 1 */; SELECT 2;", 1)]);
}

#[test]
fn comments_stand_with_what_they_speak_of() {
    let sql = "-- head\nSELECT 1; -- tail of one\n\n-- head of two\nSELECT 2; /* a */ -- b\r\nSELECT 3 -- end\n";
    for flavour in [Postgresql, Sqlite, Mysql] {
        let found = cut(flavour, sql);
        let expected = [
            (Kind::Dml, "-- head SELECT 1;"),
            (Kind::Skip, "-- tail of one"),
            (Kind::Dml, "-- head of two SELECT 2;"),
            (Kind::Skip, "/* a */ -- b"),
            (Kind::Dml, "SELECT 3"),
            (Kind::Skip, "-- end"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())), "{flavour}");
    }
    assert!(read(Mysql, "").unwrap().statements.is_empty());
    assert_eq!(cut(Postgresql, "-- nothing\n"), [(Kind::Skip, "-- nothing".to_owned())]);
}

#[test]
fn bytes_that_readers_take_differently_are_refused() {
    let refuse = |sql: &[u8]| view(Sqlite, sql, Request::default()).unwrap_err();
    assert_eq!(refuse(b"\xef\xbb\xbfSELECT 1;"), SplitError::ByteOrderMark { line: 1 });
    assert_eq!(refuse(b"SELECT 1;\n\xff"), SplitError::NotUtf8 { line: 2 });
    assert_eq!(refuse(b"SELECT 1;\n\0"), SplitError::Nul { line: 2 });
    assert_eq!(refuse(b"\n-- a\rSELECT 1;"), SplitError::CarriageReturn { line: 2 });
    let view = read(Postgresql, "SELECT 1;\n-- a\u{202e}b\u{200b}\nSELECT 'c\u{7}';").unwrap();
    assert_eq!(view.warnings.iter().map(|warning| warning.line).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_never_ends_is_refused() {
    for (flavour, sql) in [
        (Postgresql, "SELECT 1;\nSELECT 'a"),
        (Postgresql, "SELECT 1;\nSELECT $a$ b $b$"),
        (Postgresql, "SELECT 1;\n/* /* */"),
        (Postgresql, "SELECT 1;\nSELECT \"a"),
        (Sqlite, "SELECT 1;\nSELECT [a"),
        (Sqlite, "SELECT 1;\n/* a"),
        (Mysql, "SELECT 1;\nSELECT 'a\\'"),
        (Mysql, "SELECT 1;\n/*!50000 SELECT 1"),
        (Mysql, "SELECT 1;\nCREATE PROCEDURE p() BEGIN SELECT 1;"),
        (Mysql, "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; //"),
    ] {
        refused(flavour, sql, 2, "never ends");
    }
}

#[test]
fn invalid_sql_is_refused_where_it_stands() {
    refused(Postgresql, "SELECT 1;\nSELECT FROM WHERE;", 2, "not valid SQL");
    refused(Postgresql, "SELECT 1;\nALTER TABLE t ENGINE=InnoDB;", 2, "not valid SQL");
    refused(Sqlite, "SELECT 1;\n  DROP INDEX i ON t;", 2, "not valid SQL at column");
    refused(Sqlite, "SELECT 1;\nSELECT\n  1 1;", 3, "not valid SQL at column");
    let Err(SplitError::Syntax { column, .. }) = read(Postgresql, "SELECT 1; é SELECT;") else { panic!() };
    assert!(column > 10);
    refused(Postgresql, &format!("\nSELECT {}1{};", "(".repeat(20_000), ")".repeat(20_000)), 2, "too deeply");
    // Wide is not deep.
    let rows = vec!["(1, 'a', f(2))"; 20_000].join(", ");
    assert_eq!(sent(Postgresql, &format!("INSERT INTO t VALUES {rows};")).len(), 1);
    let body = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    refused(Postgresql, &format!("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ {body} $$;"), 1, "too deeply");
}

/// On a continuation line the server still reads backslash escapes, the grammar's lexer does not: never misread, refused.
#[test]
fn a_continued_escape_string_hides_nothing() {
    refused(Postgresql, "SELECT E'a'\n'b\\'' ; COMMIT; --'", 2, "not valid SQL");
    refused(Postgresql, "SELECT E'a'\n'b\\';' ; SELECT 2;", 2, "not valid SQL");
}

#[test]
fn client_commands_are_refused() {
    for (flavour, sql) in [
        (Postgresql, "SELECT 1;\n\\i other.sql"),
        (Postgresql, "SELECT 1;\n\\connect it's"),
        (Postgresql, "SELECT 1;\n\\! rm -rf /"),
        (Postgresql, "SELECT 1 \n\\gset"),
        (Postgresql, "SELECT 1;\nDELIMITER //\nSELECT 1 //"),
        (Sqlite, "SELECT 1;\n.read other.sql"),
        (Sqlite, "SELECT 1;\n.mode it's"),
        (Mysql, "SELECT 1;\nsource other.sql"),
        (Mysql, "SELECT 1;\n\\. other.sql"),
        (Mysql, "SELECT 1;\nSystem ls"),
        (Mysql, "SELECT 1;\n\\! ls"),
        (Mysql, "SELECT 1;\nSELECT 2\\G"),
    ] {
        refused(flavour, sql, 2, "client command");
    }
    refused(Postgresql, "SELECT 1;\nCOPY t (a) FROM stdin;\nit's\n\\.\n", 2, "COPY");
    refused(Postgresql, "COPY t FROM STDIN WITH (FORMAT csv);\n1\n", 1, "COPY");
}

#[test]
fn placeholders_are_refused() {
    for (flavour, sql, found) in [
        (Postgresql, "GRANT ALL ON t TO ${APP_USER};", "`${APP_USER}`"),
        (Postgresql, "SELECT {{ name }};", "`{{ name }}`"),
        (Postgresql, "SELECT * FROM t WHERE a = :a;", "`:a`"),
        (Postgresql, "SELECT * FROM t WHERE a = :'a b';", "`:'a b'`"),
        (Postgresql, "GRANT ALL ON t TO :DATABASE_OWNER;", "`:DATABASE_OWNER`"),
        (Postgresql, "SELECT %(name)s FROM;", "`%(name`"),
        (Postgresql, "CREATE TABLE @@PREFIX@@t (a int);", "`@@PREFIX@@t`"),
        (Postgresql, "CREATE TABLE t (a $%SERIAL%$);", "`$%SERIAL%$`"),
        (Postgresql, "SELECT <%= name %>;", "`<%= name %>`"),
        (Postgresql, "SELECT * FROM t WHERE a = $NAME;", "`$NAME`"),
        (Sqlite, "SELECT ?;", "`?`"),
        (Sqlite, "SELECT ${A};", "`${A}`"),
        (Sqlite, "SELECT :a, 1;", "`:a`"),
        (Sqlite, "SELECT @a;", "`@a`"),
        (Mysql, "SELECT ${A};", "`${A}`"),
        (Mysql, "SELECT {{ a }};", "`{{ a }}`"),
        (Mysql, "SELECT * FROM t WHERE a = ?;", "`?`"),
        (Mysql, "SELECT * FROM t WHERE a = :a;", "`:a`"),
        (Mysql, "CREATE TABLE @@P@@t (a INT);", "`@@P@@t`"),
        (Mysql, "SELECT <%= a %>;", "`<%= a %>`"),
    ] {
        refused(flavour, sql, 1, found);
    }
}

#[test]
fn the_pair_around_a_script_is_taken_out() {
    for flavour in [Postgresql, Sqlite] {
        for sql in ["BEGIN; SELECT 1; SELECT 2; COMMIT;", "begin transaction;SELECT 1;\nSELECT 2;\nEND;\n-- done\n"] {
            let view = read(flavour, sql).unwrap();
            assert_eq!(view.mode, Mode::Transaction);
            assert_eq!(sent(flavour, sql), ["SELECT 1;", "SELECT 2;"]);
        }
    }
    assert_eq!(sent(Postgresql, "SET a.b = 1; START TRANSACTION; SELECT 1; COMMIT WORK; SET a.b = 2;").len(), 3);
    assert_eq!(sent(Sqlite, "BEGIN IMMEDIATE; SELECT 1; COMMIT TRANSACTION;"), ["SELECT 1;"]);
    let escape = "COMMIT; PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE t; COMMIT; PRAGMA foreign_keys = ON; BEGIN;";
    assert_eq!(sent(Sqlite, escape), ["DROP TABLE t;"]);
    assert_eq!(read(Sqlite, escape).unwrap().foreign_keys, Some(false));
    let mysql = read(Mysql, "BEGIN;\nINSERT INTO t VALUES (1);\nUPDATE t SET a = 2;\nCOMMIT;").unwrap();
    assert_eq!(mysql.statements.iter().filter(|s| s.kind == Kind::Dml).count(), 2);
    assert!(mysql.warnings[0].text.contains("not sent") && mysql.warnings[0].text.contains("between"));
}

#[test]
fn other_transaction_control_is_refused() {
    for flavour in [Postgresql, Sqlite] {
        for (sql, line, words) in [
            ("SELECT 1;\nCOMMIT;", 2, "not begun"),
            ("SELECT 1;\nCOMMIT;\nSELECT 2;", 2, "not begun"),
            ("BEGIN;\nSELECT 1;", 1, "never commits"),
            ("BEGIN;\nSELECT 1;\nBEGIN;\nCOMMIT;", 3, "inside another"),
            ("SELECT 1;\nBEGIN;\nSELECT 2;\nCOMMIT;", 2, "whole script"),
            ("BEGIN;\nSELECT 1;\nCOMMIT;\nSELECT 2;", 3, "whole script"),
            ("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;", 4, "second transaction"),
            ("COMMIT;\nSELECT 1;\nBEGIN;", 1, "not begun"),
            ("SELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;", 3, "second transaction"),
            ("SELECT 1;\nROLLBACK;", 2, "undo"),
            ("SELECT 1;\nROLLBACK TO a;", 2, "not the script's own"),
            ("SAVEPOINT a;\nRELEASE a;\nRELEASE a;", 3, "not the script's own"),
        ] {
            refused(flavour, sql, line, words);
        }
        assert_eq!(sent(flavour, "SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE SAVEPOINT a;").len(), 4);
        for sql in ["BEGIN; SELECT 1; COMMIT;", "SAVEPOINT a; SELECT 1;", "VACUUM; BEGIN; SELECT 1; COMMIT;"] {
            let error = view(flavour, sql.as_bytes(), Request { no_transaction: true }).unwrap_err();
            assert!(matches!(error, SplitError::Transaction { .. }), "{error}");
            assert!(error.hint().is_some());
        }
    }
    for sql in [
        "ABORT;",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
        "BEGIN; SELECT 1; COMMIT AND CHAIN;",
        "COMMIT PREPARED 'a';",
        "PREPARE TRANSACTION 'a';",
        "SET TRANSACTION READ ONLY;",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
    ] {
        assert!(matches!(read(Postgresql, sql), Err(SplitError::Transaction { .. })), "{sql}");
    }
    for sql in [
        "COMMIT;",
        "BEGIN;",
        "BEGIN; START TRANSACTION;",
        "ROLLBACK;",
        "SAVEPOINT a;",
        "XA START 'a';",
        "SET TRANSACTION READ ONLY;",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
        "START TRANSACTION READ ONLY; COMMIT;",
        "BEGIN; COMMIT RELEASE;",
    ] {
        assert!(matches!(read(Mysql, sql), Err(SplitError::Transaction { .. })), "{sql}");
    }
}

#[test]
fn what_the_runner_relies_on_cannot_be_taken_away() {
    for (flavour, sql) in [
        (Postgresql, "SELECT pg_advisory_unlock(1);"),
        (Postgresql, "SELECT pg_catalog.\"pg_advisory_unlock_all\"();"),
        (Postgresql, "DO $$ BEGIN PERFORM PG_ADVISORY_UNLOCK(1); END $$;"),
        (Postgresql, "DISCARD ALL;"),
        (Postgresql, "RESET ALL;"),
        (Postgresql, "RESET ROLE;"),
        (Postgresql, "SET ROLE a;"),
        (Postgresql, "SET LOCAL \"role\" TO 'a';"),
        (Postgresql, "SET SESSION AUTHORIZATION a;"),
        (Postgresql, "RESET SESSION AUTHORIZATION;"),
        (Postgresql, "SET session_replication_role = replica;"),
        (Postgresql, "SELECT set_config('session_replication_role', 'replica', true);"),
        (Postgresql, "SELECT set_config('ro' || 'le', 'a', true);"),
        (Postgresql, "SELECT set_config(E'role', 'a', true);"),
        (Postgresql, "UPDATE pg_settings SET setting = 'a' WHERE name = 'role';"),
        (Postgresql, "DO $$ BEGIN SET session_replication_role = replica; END $$;"),
        (Postgresql, "SET standard_conforming_strings = off;"),
        (Postgresql, "SET client_encoding = 'SJIS';"),
        (Postgresql, "SET NAMES 'BIG5';"),
        (Sqlite, "ATTACH 'a.db' AS a;"),
        (Sqlite, "DETACH a;"),
        (Sqlite, "PRAGMA query_only = 1;"),
        (Sqlite, "PRAGMA foreign_keys = maybe;"),
        (Mysql, "LOCK TABLES t WRITE;"),
        (Mysql, "UNLOCK TABLES;"),
        (Mysql, "FLUSH TABLES WITH READ LOCK;"),
        (Mysql, "SELECT RELEASE_LOCK('a');"),
        (Mysql, "DO release_all_locks();"),
        (Mysql, "SET ROLE a;"),
        (Mysql, "SET autocommit = 0;"),
        (Mysql, "SET @@session.autocommit = 0;"),
        (Mysql, "SET sql_mode = 'ANSI_QUOTES';"),
        (Mysql, "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES';"),
        (Mysql, "SET @@sql_mode = ANSI;"),
        (Mysql, "SET sql_mode = 4;"),
        (Mysql, "SET sql_mode = CONCAT('ANSI_', 'QUOTES');"),
        (Mysql, "SET @a = 'ANSI_QUOTES'; SET sql_mode = @a;"),
        (Mysql, "SET @a = @@sql_mode, @a = 'ANSI_QUOTES'; SET sql_mode = @a;"),
        (Mysql, "/*!40101 SET sql_mode = 'ANSI_QUOTES' */;"),
        (Mysql, "SET NAMES gbk;"),
        (Mysql, "SET CHARACTER SET sjis;"),
        (Mysql, "SET character_set_client = big5;"),
        (Mariadb, "SET STATEMENT max_statement_time = 1 FOR LOCK TABLES t WRITE;"),
        (Mysql, "SET completion_type = 1;"),
    ] {
        let error = read(flavour, sql).expect_err(sql);
        assert!(matches!(error, SplitError::Forbidden { .. }), "{error}: {sql}");
        assert!(error.hint().is_some());
    }
    let harmless = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock(1); END $$; \
        SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET search_path TO a, b; RESET search_path; \
        SELECT pg_catalog.set_config('search_path', '', false); SET LOCAL lock_timeout = '1s'; SET TIME ZONE 'UTC';";
    assert_eq!(sent(Postgresql, harmless).len(), 8);
    let dump = "SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'; SET NAMES utf8mb4; \
        SET @saved_cs_client = @@character_set_client; SET character_set_client = utf8mb4; SET autocommit = 1; \
        SET sql_mode = (SELECT REPLACE(@@sql_mode, 'ONLY_FULL_GROUP_BY', '')); \
        SET character_set_client = @saved_cs_client; SET SQL_MODE=@OLD_SQL_MODE;";
    assert!(cut(Mysql, dump).iter().all(|(kind, _)| *kind == Kind::Session));
    assert!(!read(Mysql, dump).unwrap().not_resumable);
}

#[test]
fn executable_comments_must_read_alike_everywhere() {
    refused(Mysql, "\n/*!99999 ' */ ; DROP TABLE a; /*' */", 2, "ends elsewhere");
    refused(Mysql, "SELECT 1;\n/*!50001 SELECT 1; */", 2, "end of a statement");
    refused(Mysql, "/*!50001 SELECT /*!50002 1 */ */;", 1, "inside another");
    refused(Mysql, "/*!501 SELECT 1 */;", 1, "version");
    let view = read(Mysql, "SELECT 1;\n/*!50001 CREATE TABLE t (a INT) */;").unwrap();
    assert_eq!((view.statements[1].kind, view.statements[1].probe.clone()), (Kind::Ddl, None));
    assert_eq!(view.warnings[0].line, 2);
}

#[test]
fn delimiters_must_be_followed() {
    refused(Mysql, "SELECT 1;\nDELIMITER\nSELECT 2;", 2, "names no delimiter");
    refused(Mysql, "DELIMITER '\n", 1, "other places");
    refused(Mysql, "DELIMITER //\nSELECT 1;\nSELECT 2 //", 3, "second statement");
    let warnings = read(Mysql, "DELIMITER //\nSELECT 1").unwrap().warnings;
    assert!(warnings[0].text.contains("no delimiter"));
    let found = cut(Mysql, "DELIMITER //\nSELECT 1 //\nDELIMITER ;\n");
    let kinds: Vec<Kind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Skip, Kind::Dml, Kind::Skip, Kind::Skip]);
    assert_eq!(found[1].1, "SELECT 1");
}

#[test]
fn statements_that_cannot_run_in_a_transaction_run_alone() {
    for sql in [
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
        "DROP INDEX CONCURRENTLY i;",
        "REINDEX INDEX CONCURRENTLY i;",
        "REINDEX (CONCURRENTLY) TABLE t;",
        "REINDEX DATABASE d;",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY;",
        "VACUUM t;",
        "VACUUM (FULL) t;",
        "CREATE DATABASE d;",
        "DROP DATABASE d;",
        "ALTER DATABASE d SET TABLESPACE s;",
        "CREATE TABLESPACE s LOCATION '/s';",
        "ALTER SYSTEM SET a.b = 1;",
        "CLUSTER;",
        "CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION p;",
        "ALTER SUBSCRIPTION s REFRESH PUBLICATION;",
    ] {
        let view = read(Postgresql, &format!("SELECT 1; {sql}")).unwrap();
        assert_eq!((view.mode, view.statements[1].kind), (Mode::Statements, Kind::Concurrent), "{sql}");
        assert!(view.warnings[0].text.contains("statement by statement"));
    }
    for sql in [
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v;",
        "CLUSTER t USING i;",
        "REINDEX TABLE t;",
        "ALTER TYPE e ADD VALUE 'a';",
        "ALTER DATABASE d SET a.b = 1;",
        "ANALYZE;",
    ] {
        assert_eq!(read(Postgresql, sql).unwrap().mode, Mode::Transaction, "{sql}");
    }
    refused(Postgresql, "\nCREATE INDEX CONCURRENTLY ON t (a);", 2, "without a name");
    let vacuum = read(Sqlite, "SELECT 1; VACUUM;").unwrap();
    assert_eq!((vacuum.mode, vacuum.statements[1].kind), (Mode::Statements, Kind::Concurrent));
    for sql in
        ["PRAGMA journal_mode = WAL;", "PRAGMA synchronous(1);", "PRAGMA wal_checkpoint;", "PRAGMA temp_store = 2;"]
    {
        assert_eq!(read(Sqlite, sql).unwrap().mode, Mode::Statements, "{sql}");
    }
    for sql in [
        "PRAGMA user_version = 1;",
        "PRAGMA journal_mode;",
        "PRAGMA page_size = 4096;",
        "PRAGMA defer_foreign_keys = ON;",
    ] {
        assert_eq!(read(Sqlite, sql).unwrap().mode, Mode::Transaction, "{sql}");
    }
}

#[test]
fn a_new_enum_label_is_used_only_when_committed() {
    let mode = |sql: &str| read(Postgresql, sql).unwrap().mode;
    assert_eq!(mode("ALTER TYPE e ADD VALUE 'a'; UPDATE t SET e = 'a';"), Mode::Statements);
    assert_eq!(
        mode("ALTER TYPE s.e ADD VALUE IF NOT EXISTS 'a'; DO $$ BEGIN UPDATE t SET e = 'a'; END $$;"),
        Mode::Statements
    );
    assert_eq!(mode("ALTER TYPE e ADD VALUE 'a'; UPDATE t SET e = 'b';"), Mode::Transaction);
    assert_eq!(mode("ALTER TYPE e ADD VALUE 'a'; ALTER TYPE e ADD VALUE 'b' AFTER 'a';"), Mode::Transaction);
    assert_eq!(mode("CREATE TYPE e AS ENUM (); ALTER TYPE e ADD VALUE 'a'; SELECT 'a'::e;"), Mode::Transaction);
    assert_eq!(
        mode(
            "ALTER TYPE e ADD VALUE 'a'; CREATE FUNCTION f() RETURNS e LANGUAGE plpgsql AS $$ BEGIN RETURN 'a'; END $$;"
        ),
        Mode::Transaction
    );
    assert_eq!(mode("BEGIN; ALTER TYPE e ADD VALUE 'a'; UPDATE t SET e = 'a'; COMMIT;"), Mode::Transaction);
}

#[test]
fn foreign_keys_are_a_property_of_the_unit() {
    let keys = |sql: &str| read(Sqlite, sql).unwrap().foreign_keys;
    assert_eq!(keys("SELECT 1;"), None);
    assert_eq!(keys("PRAGMA foreign_keys;"), None);
    assert_eq!(keys("PRAGMA foreign_keys = OFF; DROP TABLE t; PRAGMA foreign_keys = ON;"), Some(false));
    assert_eq!(
        keys("PRAGMA foreign_keys = 'off'; DROP TABLE t; PRAGMA foreign_keys(1); CREATE INDEX i ON u (a);"),
        Some(false)
    );
    assert_eq!(keys("PRAGMA main.foreign_keys = 1; DELETE FROM t;"), Some(true));
    assert_eq!(keys("PRAGMA foreign_keys = ON; CREATE TABLE t (a);"), Some(true));
    assert_eq!(keys("BEGIN; PRAGMA foreign_keys = ON; DELETE FROM t; COMMIT;"), None);
    let sql = "PRAGMA foreign_keys = OFF; BEGIN; DROP TABLE t; COMMIT; PRAGMA foreign_keys = ON;";
    assert_eq!((keys(sql), sent(Sqlite, sql).len()), (Some(false), 1));
    refused(Sqlite, "DROP TABLE t;\nPRAGMA foreign_keys = ON;\nDELETE FROM u;", 3, "foreign keys");
    let view =
        view(Sqlite, b"DROP TABLE t; PRAGMA foreign_keys = ON; DELETE FROM u;", Request { no_transaction: true })
            .unwrap();
    assert_eq!((view.foreign_keys, view.statements[1].kind), (None, Kind::Session));
}

#[test]
fn kinds_follow_what_a_statement_does() {
    use Kind::{Ddl, Dml, Opaque, Session};
    for (flavour, sql, kind) in [
        (Postgresql, "(SELECT 1);", Dml),
        (Postgresql, "WITH a AS (SELECT 1) DELETE FROM t;", Dml),
        (Postgresql, "SELECT 1 INTO t;", Ddl),
        (Postgresql, "TRUNCATE t;", Dml),
        (Postgresql, "GRANT SELECT ON t TO a;", Ddl),
        (Postgresql, "COMMENT ON TABLE t IS 'a';", Ddl),
        (Postgresql, "DO $$ BEGIN END $$;", Opaque),
        (Postgresql, "CALL p();", Opaque),
        (Postgresql, "SET a.b = 1;", Session),
        (Postgresql, "SELECT set_config('a.b', 'c', false);", Session),
        (Postgresql, "SELECT set_config('a.b', c, false) FROM t;", Dml),
        (Sqlite, "REPLACE INTO t VALUES (1);", Dml),
        (Sqlite, "ALTER TABLE t RENAME TO u;", Ddl),
        (Sqlite, "PRAGMA legacy_alter_table = ON;", Session),
        (Sqlite, "PRAGMA foreign_key_check;", Dml),
        (Sqlite, "PRAGMA user_version = 2;", Ddl),
        (Mysql, "TRUNCATE t;", Ddl),
        (Mysql, "GRANT SELECT ON t TO a;", Ddl),
        (Mysql, "ANALYZE TABLE t;", Ddl),
        (Mysql, "RENAME TABLE a TO b;", Ddl),
        (Mysql, "REPLACE INTO t VALUES (1);", Dml),
        (Mysql, "CALL p();", Opaque),
        (Mysql, "FROBNICATE t;", Opaque),
        (Mysql, "USE a;", Session),
        (Mysql, "SET @a = 1 + 2, foreign_key_checks = 0;", Session),
        (Mysql, "SET @a = (SELECT MAX(a) FROM t);", Dml),
        (Mysql, "SET @a = NOW();", Dml),
        (Mysql, "SET GLOBAL a = 1;", Opaque),
        (Mysql, "SET PASSWORD = 'a';", Ddl),
        (Mariadb, "SET STATEMENT a = 1 FOR DELETE FROM t;", Dml),
    ] {
        assert_eq!(cut(flavour, sql)[0].0, kind, "{flavour}: {sql}");
    }
}

#[test]
fn locks_are_those_of_the_manual() {
    for (sql, lock) in [
        ("CREATE INDEX i ON t (a);", Some("share")),
        ("CREATE INDEX CONCURRENTLY i ON t (a);", Some("share update exclusive")),
        ("DROP TABLE t;", Some("access exclusive")),
        ("INSERT INTO t VALUES (1);", Some("row exclusive")),
        ("CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f();", Some("share row exclusive")),
        ("ALTER TABLE t ADD COLUMN a int, VALIDATE CONSTRAINT c;", Some("access exclusive")),
        ("ALTER TABLE t VALIDATE CONSTRAINT c;", Some("share update exclusive")),
        (
            "ALTER TABLE ONLY t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (a) NOT VALID;",
            Some("share row exclusive"),
        ),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v;", Some("exclusive")),
        ("VACUUM FULL t;", Some("access exclusive")),
        ("SELECT 1;", None),
        ("CREATE TABLE t (a int);", None),
    ] {
        assert_eq!(read(Postgresql, sql).unwrap().statements[0].lock.as_deref(), lock, "{sql}");
    }
}

#[test]
fn probes_name_what_is_plainly_visible() {
    let name = |text: &str| text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for (flavour, sql, expect, object, named, table) in [
        (Postgresql, "CREATE TABLE S.\"T\"\"x\" (a int);", Expect::Present, Object::Table, "s.T\"x", ""),
        (Postgresql, "CREATE INDEX CONCURRENTLY IF NOT EXISTS I ON s.t (a);", Expect::Valid, Object::Index, "i", "s.t"),
        (Postgresql, "DROP INDEX CONCURRENTLY s.i;", Expect::Absent, Object::Index, "s.i", ""),
        (Postgresql, "DROP MATERIALIZED VIEW v CASCADE;", Expect::Absent, Object::View, "v", ""),
        (Postgresql, "ALTER TABLE ONLY t ADD COLUMN a int DEFAULT f(1, 2);", Expect::Present, Object::Column, "a", "t"),
        (Postgresql, "ALTER TABLE t DROP a;", Expect::Absent, Object::Column, "a", "t"),
        (
            Postgresql,
            "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f();",
            Expect::Present,
            Object::Trigger,
            "g",
            "t",
        ),
        (Sqlite, "CREATE UNIQUE INDEX [I] ON t (a);", Expect::Present, Object::Index, "I", "t"),
        (Sqlite, "ALTER TABLE 't' ADD a;", Expect::Present, Object::Column, "a", "t"),
        (Mysql, "CREATE TABLE `S`.T (a INT);", Expect::Present, Object::Table, "S.T", ""),
        (Mysql, "DROP INDEX i ON t;", Expect::Absent, Object::Index, "i", "t"),
        (Mysql, "ALTER TABLE t ADD UNIQUE KEY i (a, b);", Expect::Present, Object::Index, "i", "t"),
        (
            Mysql,
            "CREATE DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW v AS SELECT 1;",
            Expect::Present,
            Object::View,
            "v",
            "",
        ),
        (Mysql, "DROP PROCEDURE p;", Expect::Absent, Object::Routine, "p", ""),
        (
            Mysql,
            "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1;",
            Expect::Present,
            Object::Trigger,
            "g",
            "t",
        ),
    ] {
        let request = Request { no_transaction: true };
        let probe = view(flavour, sql.as_bytes(), request).unwrap().statements[0].probe.clone();
        assert_eq!(probe, Some(Probe { expect, object, name: name(named), table: name(table) }), "{sql}");
    }
    for (flavour, sql) in [
        (Postgresql, "CREATE TABLE IF NOT EXISTS t (a int);"),
        (Postgresql, "CREATE TEMP TABLE t (a int);"),
        (Postgresql, "CREATE OR REPLACE VIEW v AS SELECT 1;"),
        (Postgresql, "DROP TABLE a, b;"),
        (Postgresql, "DROP TABLE IF EXISTS a;"),
        (Postgresql, "ALTER TABLE t ADD COLUMN a int, DROP COLUMN b;"),
        (Postgresql, "ALTER TABLE t ADD CHECK (a > 0);"),
        (Postgresql, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int;"),
        (Postgresql, "CREATE INDEX IF NOT EXISTS i ON t (a);"),
        (Postgresql, "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql RETURN 1;"),
        (Postgresql, "CREATE INDEX ON t (a);"),
        (Mysql, "CREATE OR REPLACE VIEW v AS SELECT 1;"),
        (Mysql, "ALTER TABLE t ADD COLUMN (a INT, b INT);"),
        (Mysql, "ALTER TABLE t ADD PRIMARY KEY (a);"),
        (Mysql, "CREATE TEMPORARY TABLE t (a INT);"),
        (Sqlite, "CREATE TABLE IF NOT EXISTS t (a);"),
    ] {
        assert_eq!(read(flavour, sql).unwrap().statements[0].probe, None, "{sql}");
    }
}

#[test]
fn state_that_cannot_be_replayed_is_told() {
    for (flavour, sql) in [
        (Postgresql, "CREATE TEMP TABLE t (a int);"),
        (Postgresql, "SELECT 1 AS a INTO TEMP t;"),
        (Postgresql, "PREPARE p AS SELECT 1;"),
        (Sqlite, "CREATE TEMPORARY TABLE t (a);"),
        (Mysql, "CREATE TEMPORARY TABLE t (a INT);"),
        (Mysql, "SET @a = (SELECT MAX(a) FROM t);"),
        (Mysql, "SELECT MAX(a) INTO @a FROM t;"),
        (Mysql, "SELECT @a := MAX(a) FROM t;"),
        (Mysql, "PREPARE p FROM 'SELECT 1';"),
        (Mysql, "SET @a = @unknown;"),
    ] {
        let found = view(flavour, sql.as_bytes(), Request { no_transaction: true }).unwrap();
        assert!(found.not_resumable && found.warnings.iter().any(|w| w.text.contains("cannot be continued")), "{sql}");
    }
    assert!(!read(Postgresql, "CREATE TEMP TABLE t (a int);").unwrap().not_resumable);
    let constant = "SET @a = 1; SET @b = CONCAT(@a, 'x'), @c = DATABASE(); CREATE TABLE t (a INT);";
    assert!(!read(Mysql, constant).unwrap().not_resumable);
}

#[test]
fn large_transactions_are_packed_into_groups() {
    let rows = 3_000;
    for flavour in [Postgresql, Sqlite] {
        let sql = format!("BEGIN;\n{}COMMIT;\n", "INSERT INTO t VALUES (1); -- one\n".repeat(rows));
        let view = read(flavour, &sql).unwrap();
        let kinds: Vec<Kind> = view.statements.iter().map(|statement| statement.kind).collect();
        assert_eq!(
            (kinds[0], kinds.iter().filter(|kind| **kind == Kind::Group).count()),
            (Kind::Skip, rows / GROUP_COUNT)
        );
        assert!(kinds.iter().all(|kind| matches!(kind, Kind::Skip | Kind::Group)));
    }
    let large = format!("INSERT INTO t VALUES ('{}');\n", "x".repeat(200 * 1024)).repeat(6);
    let groups = read(Sqlite, &large).unwrap().statements;
    assert_eq!(groups.iter().filter(|statement| statement.kind == Kind::Group).count(), 6);
    let small = read(Sqlite, &"SELECT 1;".repeat(limit::GROUP_STATEMENTS)).unwrap();
    assert!(small.statements.iter().all(|statement| statement.kind == Kind::Dml));
}

#[test]
fn limits_hold_in_statements_mode() {
    let most = "SELECT 1;".repeat(limit::STATEMENTS);
    assert_eq!(read(Mysql, &most).unwrap().statements.len(), limit::STATEMENTS);
    refused(Mysql, &format!("{most}\nSELECT 1;"), 2, "more than 10000");
    let huge = format!("SELECT 1;\nSELECT '{}';", "x".repeat(usize::try_from(limit::STATEMENT_SQL).unwrap()));
    refused(Mysql, &huge, 2, "67108");
}

/// Truncated and mutated scripts: whatever is accepted tiles, nothing panics.
#[test]
fn hostile_scripts_neither_panic_nor_leave_gaps() {
    let seeds = [
        "BEGIN; SELECT E'a\\'' 'b', $x$ ; $x$, \"c\"\"\" /* /* ; */ */ -- d\n; COMMIT; -- e\n",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN 1 THEN 2 END; END; ALTER TYPE e ADD VALUE 'a';",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT [b;], `c` , x'00'; END; PRAGMA foreign_keys=OFF; DROP TABLE t;",
        "DELIMITER d//\nCREATE PROCEDURE p(a INT) BEGIN IF a THEN SELECT 1; END IF; END d//\nDELIMITER ;\n/*!50001 SELECT 1 */;",
        "SET @a=@@sql_mode, sql_mode='x'; /*M! SELECT 'é' */; SELECT \\N, @x:=1 # c\n; ALTER TABLE t ADD INDEX i (a);",
        "SAVEPOINT a; ROLLBACK TO a; COPY t FROM stdin;\n1\t2\n\\.\nSELECT ${a}, {{b}}, :c, %(d)s, ?;\r\n",
    ];
    let pieces = [
        "'",
        "\"",
        "`",
        "$$",
        "$x$",
        "/*",
        "*/",
        "/*!",
        "--",
        "#",
        ";",
        "(",
        ")",
        "[",
        "]",
        "\\",
        "\n",
        "\r\n",
        "é",
        "@",
        "BEGIN ",
        "END ",
        "CASE ",
        "DELIMITER ;\n",
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let mut accepted = 0;
    for seed in seeds {
        let cuts = seed.char_indices().map(|(at, _)| seed[..at].to_owned());
        let mut scripts: Vec<String> = cuts.collect();
        for _ in 0..150 {
            let mut script = seed.to_owned();
            for _ in 0..=next(3) {
                let mut at = next(script.len());
                while !script.is_char_boundary(at) {
                    at -= 1;
                }
                if next(3) == 0 {
                    script.remove(at);
                } else {
                    script.insert_str(at, pieces[next(pieces.len())]);
                }
            }
            scripts.push(script);
        }
        for script in scripts {
            for flavour in [Postgresql, Sqlite, Mysql, Mariadb] {
                match read(flavour, &script) {
                    Ok(_) => accepted += 1,
                    Err(SplitError::ParserFault { .. }) => panic!("a parser failed on {script:?}"),
                    Err(_) => {}
                }
            }
        }
    }
    assert!(accepted > 500, "only {accepted} scripts were read at all");
}
