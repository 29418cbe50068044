//! Whether what a statement changes can be rolled back, as far as it can be known without reading SQL.
//!
//! A statement shares its transaction with the record of its progress only where that means something. MyISAM rows survive
//! the rollback; if the process dies between them and COMMIT, they would be written twice. So a script counts as plain, and
//! its statements run with their progress written before and after, as soon as a database that it mentions has a table
//! in an engine without transactions, or a statement of the run names such an engine. Tables that only a trigger, a view
//! or a routine in a third database leads to are not seen.

use std::collections::BTreeMap;

use sealift_spec::manifest::Kind;

use super::session::{Failure, Session};
use super::sql::text;

/// What is known of the server's tables.
#[derive(Default)]
pub(super) struct Storage {
    /// Databases, and whether each has a table without transactions, once that was looked up.
    databases: Option<BTreeMap<String, Option<bool>>>,
    /// A statement of this run named an engine that we do not know to have transactions.
    named: bool,
    /// The script that runs may write where nothing is rolled back.
    plain: bool,
}

impl Storage {
    /// Whether the script that runs may write where nothing is rolled back.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Looks at the databases that a script mentions, each once in a run.
    pub(super) async fn judge(&mut self, session: &mut Session, own: &str, script: &str) -> Result<(), Failure> {
        if self.databases.is_none() {
            let names = session.ask("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await?;
            let names = names.into_iter().filter_map(|row| row.into_iter().next().flatten());
            self.databases = Some(names.map(|name| (name, None)).collect());
            let engine = session.cell("SELECT @@default_storage_engine").await?.unwrap_or_default();
            self.named |= !engine.eq_ignore_ascii_case("InnoDB");
        }
        self.plain = self.named;
        for (name, known) in self.databases.iter_mut().flatten() {
            let theirs = ["information_schema", "performance_schema", "sys"].contains(&name.as_str());
            if theirs || !(name == own || mentions(script, name)) {
                continue;
            }
            let plain = match known {
                Some(plain) => *plain,
                None => {
                    let answer = session.cell(&tables_without_transactions(name)).await?;
                    *known.insert(answer.as_deref() != Some("0"))
                }
            };
            self.plain |= plain;
        }
        Ok(())
    }

    /// Takes note of a statement that has run.
    pub(super) fn ran(&mut self, kind: Kind, sql: &str) {
        match kind {
            // It may have made anything.
            Kind::Opaque => {
                self.databases = None;
                self.plain = true;
            }
            Kind::Dml | Kind::Skip => {}
            _ if names_other_engine(sql) => (self.named, self.plain) = (true, true),
            _ => {}
        }
    }
}

fn tables_without_transactions(database: &str) -> String {
    format!(
        "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
         AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW', 'SEQUENCE') AND COALESCE(ENGINE, '') NOT IN \
         (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'))",
        text(database)
    )
}

/// Whether a text contains a word, in any case.
fn mentions(text: &str, word: &str) -> bool {
    find(text, word).is_some()
}

fn find(text: &str, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.windows(word.len().max(1)).position(|found| found.eq_ignore_ascii_case(word))
}

/// Whether a statement says `ENGINE = x`, or sets `..storage_engine = x`, for another x than InnoDB.
fn names_other_engine(sql: &str) -> bool {
    let mut rest = sql;
    while let Some(at) = find(rest, "engine") {
        let word_before = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '$' || c == '_');
        let inside = word_before && !rest[..at].to_ascii_lowercase().ends_with("storage_");
        rest = &rest[at + "engine".len()..];
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || "=:`'\"".contains(c));
        if inside || value.len() == rest.len() || value.is_empty() {
            continue;
        }
        let name = value.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        if !name.eq_ignore_ascii_case("InnoDB") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_engines_are_noticed() {
        for sql in [
            "CREATE TABLE t (a INT) ENGINE=MyISAM",
            "CREATE TABLE t (a INT) engine aria",
            "ALTER TABLE t ENGINE = 'MEMORY'",
            "SET SESSION default_storage_engine = MyISAM",
            "CREATE TABLE t (a INT) ENGINE=InnoDB /* no */ PARTITION p ENGINE = MyISAM",
        ] {
            assert!(names_other_engine(sql), "{sql}");
        }
        for sql in [
            "CREATE TABLE t (a INT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
            "CREATE TABLE t (a INT) ENGINE = `innodb`",
            "CREATE TABLE t (search_engine INT, engine_id INT)",
            "SET default_storage_engine=InnoDB",
            "DROP TABLE engine",
        ] {
            assert!(!names_other_engine(sql), "{sql}");
        }
    }

    #[test]
    fn a_name_is_found_in_any_case_and_place() {
        assert!(mentions("INSERT INTO `Other`.t VALUES (1)", "other"));
        assert!(!mentions("INSERT INTO t VALUES (1)", "other"));
        assert!(!mentions("", "other"));
    }
}
