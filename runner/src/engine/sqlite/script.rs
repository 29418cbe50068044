//! One script, or one statement of it, inside a transaction: what it may do to foreign keys, where it fails, what it may
//! leave in its connection.

use sealift_spec::history::Row;

use super::session::{Session, Violations, step};
use crate::engine::{SqlError, StepError};

/// A piece of SQL and where it begins in its script.
pub(super) type Part<'s> = (usize, &'s str);

/// What is asked of foreign keys that were not enforced while a script ran.
pub(super) enum Judge {
    /// Nothing: they were enforced, or the script goes on.
    Nothing,
    /// Whether every one of them points somewhere.
    After,
    /// Whether one points nowhere that did not before the transaction.
    Around,
    /// Whether one points nowhere that is not among these.
    Against(Violations),
}

/// Runs statements in the transaction that was begun, writes the row and commits. Does neither, and says so, where
/// [`Judge::After`] found a row whose foreign key points nowhere.
pub(super) async fn inside(
    session: &mut Session,
    parts: &[Part<'_>],
    limit_ms: u32,
    judge: Judge,
    defer: bool,
    row: &Row,
) -> Result<bool, StepError> {
    if defer {
        // SQLite switches it off at the end of each transaction.
        session.execute("PRAGMA defer_foreign_keys = 1").await.map_err(step)?;
    }
    let (judged, before) = match judge {
        Judge::Nothing => (false, None),
        Judge::After => (true, None),
        Judge::Around => (true, Some(session.violations().await.map_err(step)?)),
        Judge::Against(before) => (true, Some(before)),
    };
    for (start, sql) in parts {
        session.run(sql, limit_ms).await.map_err(|error| at(error, start + first_word(sql)))?;
    }
    if judged {
        let after = session.violations().await.map_err(step)?;
        match before {
            None if !after.is_empty() => return Ok(false),
            None => {}
            Some(before) => compare(&before, after)?,
        }
    }
    session.commit(row).await?;
    Ok(true)
}

/// Refuses rows that were not there before.
fn compare(before: &Violations, after: Violations) -> Result<(), StepError> {
    let more = |(row, count): &(_, u64)| *count > before.get(row).copied().unwrap_or(0);
    let new: Vec<_> = after.into_iter().filter(more).collect();
    let Some(((table, number, parent, _), _)) = new.first() else { return Ok(()) };
    let number = number.map_or_else(String::new, |number| format!(" {number}"));
    let detail = format!("row{number} of table `{table}` names a row of `{parent}` that does not exist");
    let message = match new.len() {
        1 => "the script leaves a row whose foreign key points nowhere".to_owned(),
        count => format!("the script leaves {count} rows whose foreign keys point nowhere"),
    };
    Err(StepError::RolledBack(SqlError { detail: Some(detail), ..SqlError::new(message) }))
}

/// Says at which byte of the script an error arose.
pub(super) fn at(error: StepError, offset: usize) -> StepError {
    match error {
        StepError::RolledBack(error) => StepError::RolledBack(SqlError { offset: Some(offset), ..error }),
        other => other,
    }
}

/// Where the first word of a statement stands, after white space and comments.
pub(super) fn first_word(sql: &str) -> usize {
    let mut rest = sql;
    loop {
        rest = rest.trim_start();
        let after = match rest {
            _ if rest.starts_with("--") => rest.find('\n').map(|end| end + 1),
            _ if rest.starts_with("/*") => rest.find("*/").map(|end| end + 2),
            _ => None,
        };
        match after {
            Some(after) => rest = &rest[after..],
            None => return sql.len() - rest.len(),
        }
    }
}

/// Whether a script may leave something in its connection: settings, temporary objects, attached files.
pub(super) fn leaves_something(sql: &str) -> bool {
    let sql = sql.as_bytes();
    ["pragma", "temp", "attach"]
        .iter()
        .any(|word| sql.windows(word.len()).any(|text| text.eq_ignore_ascii_case(word.as_bytes())))
}
