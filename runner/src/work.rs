//! SQL text that may run: one script of a reviewed unit, and nothing else.
//!
//! The only door by which SQL reaches an engine. A [`Work`] is made from a [`Reviewed`] unit, so it cannot be made from a
//! file, a string or an unreviewed unit; it borrows the verified bytes and never copies or edits them.

use std::fmt;
use std::ops::Range;

use sealift_spec::manifest::{Direction, Kind, Script, Statement, Unit};
use sealift_verifier::bundle::Reviewed;

/// A reviewed script, ready to run in one direction.
#[derive(Clone, Copy)]
pub struct Work<'b> {
    unit: &'b Unit,
    direction: Direction,
    script: &'b Script,
    sql: &'b str,
}

/// Why a reviewed script cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkError {
    /// The unit has no script for this direction.
    NoScript,
    /// The script is not UTF-8, from this byte on.
    NotText {
        /// The offset of the first byte that is not.
        offset: u64,
    },
    /// A statement ends inside a character.
    SplitCharacter {
        /// The offset it ends at.
        offset: u64,
    },
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScript => f.write_str("there is no script for this direction"),
            Self::NotText { offset } => write!(f, "the script is not UTF-8 text from byte {offset} on"),
            Self::SplitCharacter { offset } => write!(f, "a statement ends inside a character, at byte {offset}"),
        }
    }
}

impl std::error::Error for WorkError {}

impl<'b> Work<'b> {
    /// Takes the script of a reviewed unit that runs in a direction.
    ///
    /// # Errors
    /// [`WorkError`] when there is none, or it is not text.
    pub fn new(reviewed: &Reviewed<'b>, direction: Direction) -> Result<Self, WorkError> {
        let (script, bytes) = reviewed.script(direction).ok_or(WorkError::NoScript)?;
        Self::over(reviewed.unit(), direction, script, bytes)
    }

    /// The same without a review, for the unit tests of this crate only.
    #[cfg(test)]
    pub(crate) fn unreviewed(unit: &'b Unit, direction: Direction, sql: &'b str) -> Self {
        Self::over(unit, direction, unit.script(direction).unwrap(), sql.as_bytes()).unwrap()
    }

    fn over(unit: &'b Unit, direction: Direction, script: &'b Script, bytes: &'b [u8]) -> Result<Self, WorkError> {
        let sql = std::str::from_utf8(bytes).map_err(|e| WorkError::NotText { offset: e.valid_up_to() as u64 })?;
        match script.statements.iter().find(|statement| !sql.is_char_boundary(statement.end as usize)) {
            Some(statement) => Err(WorkError::SplitCharacter { offset: statement.end }),
            None => Ok(Self { unit, direction, script, sql }),
        }
    }

    /// The unit it belongs to.
    pub fn unit(&self) -> &'b Unit {
        self.unit
    }

    /// Forwards or back.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How the script runs.
    pub fn script(&self) -> &'b Script {
        self.script
    }

    /// The whole text of the script.
    pub fn sql(&self) -> &'b str {
        self.sql
    }

    /// The statements in order, `skip` ones included, with the byte range of each.
    pub fn statements(&self) -> impl Iterator<Item = (Range<usize>, &'b Statement)> + use<'b> {
        self.script.ranges().map(|(range, statement)| (range.start as usize..range.end as usize, statement))
    }

    /// A statement by its index, with its byte range. The index comes from [`Work::statements`] or from history, where
    /// it has been checked against the number of statements.
    pub fn statement(&self, index: usize) -> Option<(Range<usize>, &'b Statement)> {
        let statement = self.script.statements.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.script.statements[before].end as usize);
        Some((start..statement.end as usize, statement))
    }

    /// The parts of the script that are sent: everything but `skip`.
    pub fn sent(&self) -> impl Iterator<Item = (Range<usize>, &'b str)> + use<'b> {
        let sql = self.sql;
        self.statements()
            .filter(|(_, statement)| statement.kind != Kind::Skip)
            .map(move |(range, _)| (range.clone(), &sql[range]))
    }

    /// Where a byte of the script stands, for people.
    pub fn place(&self, offset: usize) -> Place {
        let before = self.sql.get(..offset.min(self.sql.len())).unwrap_or(self.sql);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: self.script.file.to_string(),
            line: before.matches('\n').count() as u64 + 1,
            column: before[line_start..].chars().count() as u64 + 1,
        }
    }

    /// A statement from its first word on, by its index: where it stands, and its text. White space and line comments
    /// before it are passed over.
    pub fn words(&self, index: usize) -> Option<(Place, &'b str)> {
        let (range, _) = self.statement(index)?;
        let at = range.start + leading(&self.sql[range.clone()]);
        Some((self.place(at), self.sql[at..range.end].trim_end()))
    }
}

/// How many bytes of white space and line comments come before the first word; 0 where there is none.
pub(crate) fn leading(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        match text[at..].strip_prefix("--").and_then(|comment| comment.find('\n')) {
            Some(end) => at += 2 + end,
            None => return if at < text.len() { at } else { 0 },
        }
    }
}

/// A place in a script, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line.
    pub line: u64,
    /// The character in that line.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_after_white_space_and_line_comments() {
        for (text, at) in [("a", 0), ("  a", 2), ("-- x\n\n -- y\n a", 13), ("-- only a comment", 0), ("", 0)] {
            assert_eq!(leading(text), at, "{text:?}");
        }
    }
}
