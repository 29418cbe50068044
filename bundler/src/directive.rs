//! `-- sealift: key=value ..` comments on top of a script (`bundle.md` section 9.2).
//!
//! Read from the comment lines before the first statement only, so that text inside a statement can never steer. `--
//! no-transaction` on the first line, as sqlx reads it, counts as the directive of that name.

use std::fmt;

use sealift_spec::name::{Person, UnitId};

/// What a script says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `author=a@example.com`.
    pub author: Option<Person>,
    /// `parents=0001,0002`; `parents=none` for a first migration.
    pub parents: Option<Vec<UnitId>>,
    /// `no-transaction`.
    pub no_transaction: bool,
    /// `foreign-keys=on|off` (SQLite).
    pub foreign_keys: Option<bool>,
    /// `lock-timeout=5s`, in milliseconds.
    pub lock_ms: Option<u32>,
    /// `statement-timeout=10min`, in milliseconds.
    pub statement_ms: Option<u32>,
}

/// A directive that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectiveError {
    /// The line, from 1.
    pub line: usize,
    /// The word.
    pub word: String,
}

impl fmt::Display for DirectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: directive `{}` is not understood", self.line, sealift_spec::text::Plain(&self.word))
    }
}

impl std::error::Error for DirectiveError {}

/// What to do about a directive that is not understood.
pub const HINT: &str = "directives are author=WHO, parents=ID,ID (or none), no-transaction, foreign-keys=on|off, lock-timeout=5s and statement-timeout=10min";

/// Reads the directives of a script.
///
/// # Errors
/// [`DirectiveError`] for a directive that does not exist, stands twice, or has a value it cannot have.
pub fn read(sql: &str) -> Result<Directives, DirectiveError> {
    let mut directives = Directives::default();
    for (index, line) in sql.lines().enumerate() {
        let line = line.trim();
        let Some(comment) = line.strip_prefix("--") else {
            if line.is_empty() {
                continue;
            }
            break;
        };
        if index == 0 && comment.trim_start().starts_with("no-transaction") {
            directives.no_transaction = true;
        }
        let Some(words) = comment.trim().strip_prefix("sealift:") else { continue };
        for word in words.split_whitespace() {
            if apply(word, &mut directives).is_none() {
                return Err(DirectiveError { line: index + 1, word: word.to_owned() });
            }
        }
    }
    Ok(directives)
}

/// The lines, from 1, where a directive stands below those that [`read`] looks at, and steers nothing.
pub fn ignored(sql: &str) -> Vec<usize> {
    let above = |line: &str| line.trim().is_empty() || line.trim().starts_with("--");
    let is_directive = |line: &str| line.split("--").skip(1).any(|rest| rest.trim_start().starts_with("sealift:"));
    let lines = sql.lines().enumerate().skip_while(|(_, line)| above(line));
    lines.filter(|(_, line)| is_directive(line)).map(|(index, _)| index + 1).collect()
}

fn apply(word: &str, directives: &mut Directives) -> Option<()> {
    fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
        slot.replace(value).is_none().then_some(())
    }
    if word == "no-transaction" {
        directives.no_transaction = true;
        return Some(());
    }
    let (key, value) = word.split_once('=')?;
    match key {
        "author" => once(&mut directives.author, value.parse().ok()?),
        "parents" if value == "none" => once(&mut directives.parents, Vec::new()),
        "parents" => {
            let ids: Option<Vec<UnitId>> = value.split(',').map(|id| id.parse().ok()).collect();
            once(&mut directives.parents, ids?)
        }
        "foreign-keys" => once(
            &mut directives.foreign_keys,
            match value {
                "on" => true,
                "off" => false,
                _ => return None,
            },
        ),
        "lock-timeout" => once(&mut directives.lock_ms, milliseconds(value)?),
        "statement-timeout" => once(&mut directives.statement_ms, milliseconds(value)?),
        _ => None,
    }
}

/// Reads `0`, `500ms`, `5s`, `10min` or `2h`.
fn milliseconds(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().ok()?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 1,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_stand_in_comments_before_the_first_statement() {
        let sql = "-- a note\n\n-- sealift: author=a@example.com no-transaction\n-- sealift: lock-timeout=5s statement-timeout=0\nSELECT 1;\n-- sealift: parents=1\n";
        let found = read(sql).unwrap();
        assert_eq!(found.author.unwrap().as_str(), "a@example.com");
        assert!(found.no_transaction);
        assert_eq!((found.lock_ms, found.statement_ms, found.parents), (Some(5_000), Some(0), None));
        assert_eq!(ignored(sql), [6]);
        assert_eq!(ignored("/* a */\nSELECT 1; -- sealift: parents=1\nSELECT '-- no';\n"), [2]);
        assert!(read("-- no-transaction\nSELECT 1").unwrap().no_transaction);
        assert!(!read("SELECT 1; -- no-transaction\n").unwrap().no_transaction);
    }

    #[test]
    fn a_directive_that_is_not_understood_is_named() {
        for word in ["autor=a", "lock-timeout=5", "parents=", "foreign-keys=maybe", "lock-timeout=9999999h"] {
            let error = read(&format!("\n-- sealift: {word}\n")).unwrap_err();
            assert_eq!((error.line, error.word.as_str()), (2, word));
        }
        assert!(read("-- sealift: author=a\n-- sealift: author=b\n").is_err());
    }
}
