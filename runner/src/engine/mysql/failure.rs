//! What an error of a statement means: what of it may remain, and where in the script it points.

use sealift_spec::manifest::Kind;

use crate::engine::{SqlError, StepError};

/// Errors that come before a statement has done anything: privileges, no database, syntax, lock wait, deadlock.
const BEFORE: [u16; 9] = [1044, 1046, 1049, 1064, 1142, 1143, 1205, 1213, 1227];

/// A routine that does not exist.
const NO_ROUTINE: u16 = 1305;

/// What a failed statement may leave behind.
pub(super) fn remains(kind: Kind, sql: &str, error: &SqlError, number: u16, piecemeal: bool) -> Option<&'static str> {
    if kind == Kind::Opaque {
        // Any error can come from inside a routine, after it has committed something; unless it is the one that was called
        // that is missing.
        let missing = error.message.strip_suffix(" does not exist").and_then(|text| text.rsplit('.').next());
        let called = number == NO_ROUTINE && missing.is_some_and(|name| sql.contains(name));
        return (!called).then_some("what a routine did before it failed may be committed");
    }
    if BEFORE.contains(&number) {
        return None;
    }
    let words = sql[first_word(sql)..].split_whitespace().map(str::to_ascii_uppercase);
    let words: Vec<_> = words.take(2).collect();
    let (first, second) = (words.first().map_or("", String::as_str), words.get(1).map_or("", String::as_str));
    let list = match first {
        "DROP" | "GRANT" | "REVOKE" => true,
        "CREATE" | "ALTER" | "RENAME" => matches!(second, "USER" | "ROLE"),
        _ => false,
    };
    (piecemeal && list && sql.contains(',')).then_some("some objects of its list may have been changed")
}

/// Where the first word of a statement stands, after white space and comments that are not executed.
fn first_word(sql: &str) -> usize {
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        let line = rest.starts_with('#') || rest.starts_with("--");
        let block = rest.starts_with("/*") && !rest.starts_with("/*!") && !rest.starts_with("/*M!");
        let after = match (line, block) {
            (true, _) => rest.find('\n').map(|end| end + 1),
            (_, true) => rest.find("*/").map(|end| end + 2),
            _ => None,
        };
        match after {
            Some(after) => rest = &rest[after..],
            None => return sql.len() - rest.len(),
        }
    }
}

/// The byte a syntax error points at: the server counts the lines of what it was sent, without white space in front.
fn line_of(message: &str, sql: &str) -> Option<usize> {
    let line: usize = message.rsplit_once(" at line ")?.1.parse().ok()?;
    let text = sql.trim_start();
    let before = sql.len() - text.len();
    let mut starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let start = starts.nth(line.checked_sub(1)?)?;
    let indent = text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len();
    (line > 1).then_some(before + start + indent)
}

/// Says at which byte of the script an error arose.
pub(super) fn at(error: StepError, start: usize, sql: &str) -> StepError {
    let place = |error: SqlError| {
        let offset = start + line_of(&error.message, sql).unwrap_or_else(|| first_word(sql));
        SqlError { offset: Some(offset), ..error }
    };
    match error {
        StepError::RolledBack(error) => StepError::RolledBack(place(error)),
        StepError::Remains { error, what } => StepError::Remains { error: place(error), what },
        lost => lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_remain_is_said() {
        for (kind, sql, message, number, found) in [
            (Kind::Ddl, "-- x\nDROP TABLE a, b", "", 1051, true),
            (Kind::Ddl, "DROP TABLE a, b", "", 1142, false),
            (Kind::Ddl, "DROP TABLE a", "", 1051, false),
            (Kind::Ddl, "ALTER TABLE t ADD a INT, ADD b INT", "", 1060, false),
            (Kind::Ddl, "CREATE USER a, b", "", 1396, true),
            (Kind::Opaque, "CALL p()", "Duplicate entry", 1062, true),
            (Kind::Opaque, "CALL p()", "You have an error in your SQL syntax", 1064, true),
            (Kind::Opaque, "CALL p()", "PROCEDURE orders.p does not exist", 1305, false),
            (Kind::Opaque, "CALL p()", "PROCEDURE orders.inner does not exist", 1305, true),
        ] {
            let error = SqlError::new(message);
            assert_eq!(remains(kind, sql, &error, number, true).is_some(), found, "{sql} {number}");
        }
        assert_eq!(remains(Kind::Ddl, "DROP TABLE a, b", &SqlError::new(""), 1051, false), None);
    }

    #[test]
    fn an_error_points_into_the_script() {
        let sql = "\n# x\nCREATE TABLE t (\n  a INT,\n  b WRONG\n)";
        let failed = |message: &str| StepError::RolledBack(SqlError::new(message));
        let offset = |error| match at(error, 100, sql) {
            StepError::RolledBack(error) => error.offset.map(|offset| &sql[offset - 100..]),
            _ => None,
        };
        assert_eq!(offset(failed("syntax error near 'WRONG' at line 4")), Some("b WRONG\n)"));
        assert_eq!(offset(failed("no such thing")), Some(&sql[5..]));
        assert_eq!(offset(failed("near 'x' at line 9")), Some(&sql[5..]));
    }
}
