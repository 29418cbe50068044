//! The SQL that is ours, put together so that no setting of a script can change what it means.
//!
//! Text is written as hexadecimal digits: `sql_mode` decides about quotes and backslashes, character sets about bytes. What
//! the guard of a row depends on goes through a user variable: where the binary log holds statements, a replica then
//! decides by the value and not by its own locks.

use sealift_spec::Digest;
use sealift_spec::history::Row;

/// The tables of the history, the one that is looked for last.
pub(super) const TABLES: [(&str, &str); 2] = [
    ("sealift_evidence", "sha256 CHAR(64) NOT NULL PRIMARY KEY, body MEDIUMTEXT NOT NULL"),
    ("sealift_history", "seq BIGINT UNSIGNED NOT NULL PRIMARY KEY, body MEDIUMTEXT NOT NULL, sha256 CHAR(64) NOT NULL"),
];

/// What all of them have in common.
pub(super) const TABLE_OPTIONS: &str = "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// A name in backquotes, which no setting changes.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Text, whatever it holds.
pub(super) fn text(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("CONVERT(x'{digits}' USING utf8mb4)")
}

/// The name of the lock of a database, and of the gate that whoever takes the lock passes through. Locks are the
/// server's, not the database's, and their names have at most 64 characters.
pub(super) struct LockName {
    pub(super) lock: String,
    pub(super) gate: String,
}

impl LockName {
    pub(super) fn of(database: &str) -> Self {
        let known = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let readable: String = database.chars().filter(known).take(24).collect();
        // Where table names are not case-sensitive, two spellings are one database.
        let digest = Digest::of(database.to_lowercase().as_bytes()).to_string();
        let lock = format!("sealift:{readable}:{}", &digest[..24]);
        Self { gate: format!("{lock}:g"), lock }
    }

    /// Takes the lock if it is free: 1, or 0.
    pub(super) fn take(&self) -> String {
        let Self { lock, gate } = self;
        format!("SELECT IF(GET_LOCK('{gate}', 0) = 1, GET_LOCK('{lock}', 0), 0); DO RELEASE_LOCK('{gate}')")
    }
}

/// Which session on which server may write history rows.
pub(super) struct Guard<'g> {
    pub(super) lock: &'g LockName,
    /// The number of the session.
    pub(super) connection: u64,
    /// The server's name for itself.
    pub(super) host: &'g str,
    /// The server's number.
    pub(super) server: u64,
}

/// Statements that write a row, and fail unless the guard holds, the row is the next one, and it then stands there as it was
/// written: a trigger of a script could have changed it. A subquery of two rows is an error under every `sql_mode`.
pub(super) fn insert(guard: &Guard<'_>, database: &str, row: &Row) -> String {
    let Guard { lock, connection, host, server } = guard;
    let table = format!("{}.sealift_history", identifier(database));
    format!(
        "SET @sealift_holds = (IS_USED_LOCK('{}') = CONNECTION_ID() AND CONNECTION_ID() = {connection} \
         AND @@hostname = {} AND @@server_id = {server}); \
         INSERT INTO {table} (seq, body, sha256) SELECT IF(@sealift_holds = 1 AND \
         (SELECT COALESCE(MAX(seq), 0) FROM {table}) = {before}, {seq}, (SELECT 1 UNION SELECT 2)), {body}, {sha256}; \
         SET @sealift_kept = (SELECT IF(COUNT(*) = 1, 1, (SELECT 1 UNION SELECT 2)) FROM {table} \
         WHERE seq = {seq} AND body = {body} AND sha256 = {sha256})",
        lock.lock,
        text(host),
        before = row.seq.saturating_sub(1),
        seq = row.seq,
        body = text(&row.body),
        sha256 = text(&row.sha256),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_name_fits_and_tells_databases_apart() {
        let long = "ä".repeat(64);
        for database in ["orders", "a`b'c", &long, "\u{1f600}"] {
            let name = LockName::of(database);
            assert!(name.gate.len() <= 64, "{}", name.gate);
            assert!(name.gate.bytes().all(|b| b.is_ascii_alphanumeric() || b":._-".contains(&b)), "{}", name.gate);
        }
        assert_ne!(LockName::of("orders").lock, LockName::of("order's").lock);
        assert_eq!(LockName::of("Orders").lock[33..], LockName::of("orders").lock[33..]);
    }

    #[test]
    fn nothing_in_a_row_is_read_as_sql() {
        let lock = LockName::of("a`b");
        let guard = Guard { lock: &lock, connection: 7, host: "db'1", server: 3 };
        let row = Row { seq: 2, body: "{\"a\":\"'; DROP TABLE t -- \\\"}".to_owned(), sha256: "00".to_owned() };
        let sql = insert(&guard, "a`b", &row);
        assert!(sql.contains("`a``b`.sealift_history") && sql.contains("CONVERT(x'64622731' USING utf8mb4)"), "{sql}");
        assert!(!sql.contains("DROP") && !sql.contains("db'1") && !sql.contains('\\') && !sql.contains('"'), "{sql}");
        assert_eq!(sql.matches(';').count(), 2);
    }
}
