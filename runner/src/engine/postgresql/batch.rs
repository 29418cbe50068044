//! One message to the server: our own statements around byte ranges of a reviewed script, and the way back from an error
//! position to the script.
//!
//! The server reads a whole message by the settings that were in force when it came, so literals of ours must mean the same
//! under all of them: they are `E'..'` strings in which nothing but quotes and backslashes is doubled.

use std::ops::Range;

use sealift_spec::history::Row;
use sealift_spec::manifest::{Kind, Timeouts};

use crate::work::{Work, leading};

/// Sent for a script in one message up to this size; beyond it, statement by statement into messages of this size.
const MESSAGE: usize = 1024 * 1024;

/// A string literal that does not depend on settings.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A quoted identifier.
pub(super) fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// One message.
#[derive(Default)]
pub(super) struct Batch {
    sql: String,
    /// Where a part of the script starts in `sql`, the statements of ours before it, and its range in the script.
    parts: Vec<(usize, usize, Range<usize>)>,
    /// Statements so far, ours and the script's.
    statements: usize,
    /// Whether parts are single statements, so that completed ones can be counted.
    countable: bool,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { countable: true, ..Self::default() }
    }

    /// Adds one statement of ours.
    pub(super) fn ours(&mut self, statement: &str) {
        self.sql.push_str(statement);
        self.sql.push_str(";\n");
        self.statements += 1;
    }

    /// Adds a part of the script. A part may end in a comment, with or without a semicolon; an empty statement more is
    /// none at all.
    pub(super) fn script(&mut self, range: Range<usize>, text: &str, kind: Kind) {
        self.parts.push((self.sql.len(), self.statements, range));
        self.sql.push_str(text);
        self.sql.push_str("\n;\n");
        self.statements += 1;
        self.countable &= kind != Kind::Group;
    }

    /// Writes a row, and makes sure that it stands there as it was written.
    pub(super) fn row(&mut self, row: &Row, guard: Guard) {
        self.ours(&insert(row, guard));
        self.ours(&kept(row));
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether the statement after so many completed ones may be the script's.
    pub(super) fn is_in_script(&self, completed: usize) -> bool {
        if self.countable {
            return self.parts.iter().any(|(_, before, _)| *before == completed);
        }
        self.parts.first().is_some_and(|(_, before, _)| *before <= completed)
    }

    /// The byte of the script at a position of the server: characters, counted from 1.
    pub(super) fn offset(&self, position: usize) -> Option<usize> {
        let (at, _) = self.sql.char_indices().nth(position.checked_sub(1)?)?;
        let (start, _, range) = self.parts.iter().rev().find(|(start, ..)| *start <= at)?;
        let offset = range.start + (at - start);
        (offset <= range.end).then_some(offset)
    }

    /// The first byte of the script's statement that failed after so many statements were completed.
    pub(super) fn failed_after(&self, completed: usize) -> Option<usize> {
        let part = self.parts.iter().find(|(_, before, _)| *before == completed)?;
        let (start, _, range) = part;
        let text = &self.sql[*start..start + range.len()];
        self.countable.then_some(range.start + leading(text))
    }
}

/// Who writes a row: what must still be true when it is written.
#[derive(Clone, Copy)]
pub(super) struct Guard {
    /// The backend that took the lock.
    pub(super) pid: i32,
    /// The lock.
    pub(super) key: i64,
    /// A lock that lasts as long as the transaction that was begun, where a script runs in it.
    pub(super) nonce: Option<i64>,
}

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// The statement that identifies a transaction: its first column is the transaction's number, and the nonce's lock ends
/// with it.
pub(super) fn identify(nonce: i64, timeouts: Option<Timeouts>) -> String {
    let mut sql = format!("SELECT pg_catalog.txid_current(), pg_catalog.pg_advisory_xact_lock({nonce})");
    if let Some(Timeouts { lock_ms, statement_ms }) = timeouts {
        sql += &format!(
            ", pg_catalog.set_config('lock_timeout', '{lock_ms}', true), \
             pg_catalog.set_config('statement_timeout', '{statement_ms}', true)"
        );
    }
    sql
}

/// Back to the account that logged in and to names of the system catalog, for the rest of the transaction. The schema of
/// temporary tables stands last, where it cannot shadow anything.
pub(super) const OURSELVES: [&str; 3] =
    ["SET LOCAL SESSION AUTHORIZATION DEFAULT", "SET LOCAL ROLE NONE", "SET LOCAL search_path TO pg_catalog, pg_temp"];

/// The two halves of a lock's number as `pg_locks` shows them.
fn halves(key: i64) -> (u32, u32) {
    let key = key as u64;
    ((key >> 32) as u32, key as u32)
}

/// Writes a row if everything the guard says is still true; else the number is NULL, which the column refuses. Names resolve
/// in the system catalog only ([`OURSELVES`]).
pub(super) fn insert(row: &Row, guard: Guard) -> String {
    let keys: Vec<String> = [Some(guard.key), guard.nonce]
        .into_iter()
        .flatten()
        .map(|key| {
            let (high, low) = halves(key);
            format!("(classid = '{high}' AND objid = '{low}')")
        })
        .collect();
    format!(
        "INSERT INTO sealift.history (seq, body, sha256) SELECT CASE WHEN pg_backend_pid() = {pid} \
         AND (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted \
         AND objsubid = 1 AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         AND ({keys})) = {count} \
         AND (SELECT coalesce(max(seq), 0) FROM sealift.history) = {before} THEN {seq}::int8 END, {body}, {sha256}",
        pid = guard.pid,
        keys = keys.join(" OR "),
        count = keys.len(),
        before = row.seq - 1,
        seq = row.seq,
        body = literal(&row.body),
        sha256 = literal(&row.sha256),
    )
}

/// Fails unless the row stands there as it was written: a rule or trigger of a script could have swallowed or changed it.
/// The text is a number only where it does not matter, so that the server's error says what happened.
pub(super) fn kept(row: &Row) -> String {
    format!(
        "SELECT CASE count(*) WHEN 1 THEN 1 ELSE (count(*) || ' history rows like the one that was written: a rule or trigger \
         interferes')::int4 END FROM ONLY sealift.history WHERE seq = {} AND body = {} AND sha256 = {}",
        row.seq,
        literal(&row.body),
        literal(&row.sha256)
    )
}

/// What `DISCARD ALL` does, but for the advisory locks: one of them is ours.
pub(super) const RESET: [&str; 7] = [
    "CLOSE ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    "DEALLOCATE ALL",
    "UNLISTEN *",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
];

/// The messages that run a transaction-mode script and write its row. Usually one; the first ones end in the middle of the
/// transaction where the script is large.
pub(super) fn transaction(work: &Work<'_>, row: &Row, guard: Guard, role: Option<&str>, settings: &str) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut batch = Batch::new();
    batch.ours(BEGIN);
    batch.ours(&identify(guard.nonce.unwrap_or_default(), Some(work.unit().timeouts)));
    if let Some(role) = role {
        batch.ours(&format!("SET LOCAL ROLE {}", identifier(role)));
    }
    for (range, statement) in work.statements() {
        if statement.kind == Kind::Skip {
            continue;
        }
        if batch.sql.len() + range.len() > MESSAGE && !batch.parts.is_empty() {
            batches.push(std::mem::replace(&mut batch, Batch::new()));
        }
        batch.script(range.clone(), &work.sql()[range], statement.kind);
    }
    if batch.sql.len() > MESSAGE {
        batches.push(std::mem::replace(&mut batch, Batch::new()));
    }
    // Deferred constraints fire here, under the settings of the script, and not under ours at COMMIT.
    batch.ours("SET CONSTRAINTS ALL IMMEDIATE");
    OURSELVES.iter().for_each(|statement| batch.ours(statement));
    batch.row(row, guard);
    // A part of the transaction: undone with it, and no transaction of its own.
    RESET.iter().for_each(|statement| batch.ours(statement));
    batch.ours(settings);
    batch.ours("COMMIT");
    batches.push(batch);
    batches
}

#[cfg(test)]
mod tests {
    use sealift_spec::manifest::{Baseline, Direction, Engine, Flavour, Mode, Script, Statement, Unit};

    use super::*;

    fn unit(sql: &str, statements: &[(u64, Kind)]) -> Unit {
        let statements =
            statements.iter().map(|(end, kind)| Statement { end: *end, kind: *kind, lock: None, probe: None });
        let up = Script {
            file: "a.up.sql".parse().unwrap(),
            mode: Mode::Transaction,
            not_resumable: false,
            sha256: sealift_spec::Digest::of(sql.as_bytes()),
            size: sql.len() as u64,
            statements: statements.collect(),
        };
        Unit {
            author: "anna".parse().unwrap(),
            baseline: Baseline(Default::default()).digest(),
            down: None,
            engine: Engine::Postgresql,
            flavour: Flavour::Postgresql,
            foreign_keys: None,
            id: "1".parse().unwrap(),
            name: "x".parse().unwrap(),
            parents: Vec::new(),
            project: "orders".parse().unwrap(),
            timeouts: Timeouts { lock_ms: 1, statement_ms: 2 },
            up,
        }
    }

    fn batches(unit: &Unit, sql: &str) -> Vec<Batch> {
        let row = Row { seq: 3, body: r#"{"a":"\\'"}"#.to_owned(), sha256: "00".to_owned() };
        let guard = Guard { pid: 7, key: -1, nonce: Some(5) };
        transaction(&Work::unreviewed(unit, Direction::Up, sql), &row, guard, Some("a\"b"), "SELECT 1")
    }

    #[test]
    fn literals_do_not_depend_on_settings() {
        assert_eq!(literal(r"a'b\c"), r"E'a''b\\c'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn positions_lead_back_to_the_script() {
        let sql = "-- ä\nBEGIN;\nSELECT 'ö', x;\nCOMMIT;\nSELECT y";
        let statements = [(13, Kind::Skip), (30, Kind::Dml), (38, Kind::Skip), (sql.len() as u64, Kind::Dml)];
        let unit = unit(sql, &statements);
        let [batch] = &batches(&unit, sql)[..] else { panic!("one message") };
        assert!(!batch.sql().contains("\nBEGIN;\nSELECT 'ö'"));
        for needle in ["x;", "y"] {
            let at = batch.sql().find(&format!(" {needle}")).unwrap() + 1;
            let position = batch.sql()[..at].chars().count() + 1;
            assert_eq!(batch.offset(position), sql.find(needle), "{needle}");
        }
        // A position in a statement of ours is no place in the script.
        let ours = batch.sql().find("sealift.history").unwrap();
        assert_eq!(batch.offset(batch.sql()[..ours].chars().count() + 1), None);
        assert_eq!(batch.offset(1), None);
    }

    #[test]
    fn an_error_without_a_position_is_placed_by_counting() {
        let sql = "SELECT 1;\n -- two\n SELECT 2;";
        let unit = unit(sql, &[(9, Kind::Dml), (sql.len() as u64, Kind::Dml)]);
        let [batch] = &batches(&unit, sql)[..] else { panic!("one message") };
        // BEGIN, the identification and the role come first.
        assert_eq!((batch.failed_after(2), batch.failed_after(3)), (None, Some(0)));
        assert_eq!(batch.failed_after(4), sql.find("SELECT 2"));
        assert_eq!(batch.failed_after(5), None);
    }

    #[test]
    fn a_comment_at_the_end_of_a_script_hides_nothing_of_ours() {
        let sql = "SELECT 1 -- no semicolon";
        let unit = unit(sql, &[(sql.len() as u64, Kind::Dml)]);
        let [batch] = &batches(&unit, sql)[..] else { panic!("one message") };
        assert!(batch.sql().contains("-- no semicolon\n;\nSET CONSTRAINTS ALL IMMEDIATE;\n"));
    }

    #[test]
    fn a_large_script_is_several_messages_of_one_transaction() {
        let sql = format!("{}{}", "SELECT 1;".repeat(200_000), "SELECT 2;");
        let half = sql.len() as u64 / 18 * 9;
        let unit = unit(&sql, &[(half, Kind::Group), (sql.len() as u64, Kind::Group)]);
        let batches = batches(&unit, &sql);
        assert_eq!(batches.len(), 2);
        let all: String = batches.iter().map(Batch::sql).collect();
        let count = |needle: &str| all.matches(needle).count();
        assert_eq!((count("BEGIN "), count("COMMIT;"), count("sealift.history (")), (1, 1, 1));
        assert!(batches[0].sql().starts_with("BEGIN ") && batches[1].sql().ends_with("COMMIT;\n"));
    }
}
