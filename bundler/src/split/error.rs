//! Why a script is refused, and the way out.

use std::fmt;

use sealift_spec::text::Snippet;

/// Why a script cannot be cut into statements that run as written. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SplitError {
    /// The bytes are not UTF-8.
    NotUtf8 {
        /// The line of the first byte that is not.
        line: usize,
    },
    /// The file begins with a byte-order mark.
    ByteOrderMark {
        /// Always the first line.
        line: usize,
    },
    /// The file holds a NUL byte.
    Nul {
        /// Its line.
        line: usize,
    },
    /// A carriage return without a line feed: to some readers a line ends there, to others a comment goes on.
    CarriageReturn {
        /// Its line, counting line feeds only.
        line: usize,
    },
    /// A quote, comment or block that never ends.
    Unterminated {
        /// The line it begins on.
        line: usize,
        /// What it is.
        what: &'static str,
    },
    /// The engine's grammar does not accept a statement.
    Syntax {
        /// The line of the error.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// The parser's own words.
        message: String,
    },
    /// A statement nests deeper than the parser can safely follow.
    TooDeep {
        /// The line it begins on.
        line: usize,
    },
    /// The parser gave up on a statement. A fault of ours, not of the script.
    ParserFault {
        /// The line of the statement.
        line: usize,
    },
    /// A command of a client program, not SQL.
    ClientCommand {
        /// Its line.
        line: usize,
        /// The command as written.
        found: String,
    },
    /// `COPY .. FROM stdin` with data in the file.
    CopyData {
        /// Its line.
        line: usize,
    },
    /// A placeholder that some other tool was meant to replace.
    Placeholder {
        /// Its line.
        line: usize,
        /// The placeholder as written.
        found: String,
    },
    /// The script steers transactions in a way that cannot be kept together with the history of the run.
    Transaction {
        /// Its line.
        line: usize,
        /// The command.
        found: &'static str,
        /// What is wrong with it.
        why: &'static str,
        /// The way out, which is not the same on every engine.
        hint: &'static str,
    },
    /// A statement that would undo what the runner relies on, or that would not do here what it does elsewhere.
    Forbidden {
        /// Its line.
        line: usize,
        /// The statement.
        found: &'static str,
        /// What it would do.
        why: &'static str,
        /// The way out.
        hint: &'static str,
    },
    /// An executable comment that servers read differently.
    Conditional {
        /// Its line.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A `DELIMITER` command that cannot be followed.
    Delimiter {
        /// Its line.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two statements before one delimiter.
    SecondStatement {
        /// The line of the second one.
        line: usize,
    },
    /// A concurrent index without a name could not be found again after a crash.
    UnnamedIndex {
        /// Its line.
        line: usize,
    },
    /// The script needs foreign keys both enforced and not.
    ForeignKeys {
        /// The line of the first statement that disagrees with an earlier one.
        line: usize,
    },
    /// More statements (or groups) than a script may hold.
    TooMany {
        /// The line of the first one too many.
        line: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A statement is larger than allowed.
    TooLarge {
        /// The line it begins on.
        line: usize,
        /// Its size in bytes.
        size: u64,
    },
}

impl SplitError {
    /// The line of the script, from 1.
    pub fn line(&self) -> usize {
        match *self {
            Self::NotUtf8 { line }
            | Self::ByteOrderMark { line }
            | Self::Nul { line }
            | Self::CarriageReturn { line }
            | Self::Unterminated { line, .. }
            | Self::Syntax { line, .. }
            | Self::TooDeep { line }
            | Self::ParserFault { line }
            | Self::ClientCommand { line, .. }
            | Self::CopyData { line }
            | Self::Placeholder { line, .. }
            | Self::Transaction { line, .. }
            | Self::Forbidden { line, .. }
            | Self::Conditional { line, .. }
            | Self::Delimiter { line, .. }
            | Self::SecondStatement { line }
            | Self::UnnamedIndex { line }
            | Self::ForeignKeys { line }
            | Self::TooMany { line, .. }
            | Self::TooLarge { line, .. } => line,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotUtf8 { .. } => "save the file as UTF-8",
            Self::ByteOrderMark { .. } => "save the file as UTF-8 without a byte-order mark",
            Self::Nul { .. } => "remove the byte; in SQL write binary data in hexadecimal",
            Self::CarriageReturn { .. } => "save the file with line feeds, or with carriage returns and line feeds",
            Self::Unterminated { .. } | Self::Syntax { .. } => return None,
            Self::TooDeep { .. } => "split the statement, or generate it without nesting every term in the one before",
            Self::ParserFault { .. } => "please report this with the statement",
            Self::ClientCommand { .. } => "a migration holds SQL only: write what the command does as SQL, or drop it",
            Self::CopyData { .. } => "write the rows as INSERT statements (`pg_dump --inserts`)",
            Self::Placeholder { .. } => {
                "write the value itself: the runner sends what was reviewed and replaces nothing"
            }
            Self::Transaction { hint, .. } | Self::Forbidden { hint, .. } => hint,
            Self::Conditional { .. } => "write plain SQL for the one server this migration is for",
            Self::Delimiter { .. } => "write `DELIMITER //` and later `DELIMITER ;`, each on a line of its own",
            Self::SecondStatement { .. } => "end each statement with the delimiter that is in force",
            Self::UnnamedIndex { .. } => "name the index",
            Self::ForeignKeys { .. } => "put the statements that need the other setting into a migration of their own",
            Self::TooMany { .. } => "split the file, or insert several rows per statement",
            Self::TooLarge { .. } => "split the statement",
        })
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line())?;
        match self {
            Self::NotUtf8 { .. } => f.write_str("the file is not UTF-8"),
            Self::ByteOrderMark { .. } => f.write_str("the file begins with a byte-order mark"),
            Self::Nul { .. } => f.write_str("the file holds a NUL byte"),
            Self::CarriageReturn { .. } => f.write_str("a carriage return without a line feed"),
            Self::Unterminated { what, .. } => write!(f, "this {what} never ends"),
            Self::Syntax { column, message, .. } => {
                write!(f, "not valid SQL at column {column}: {}", Snippet(message))
            }
            Self::TooDeep { .. } => f.write_str("the statement nests too deeply to be read safely"),
            Self::ParserFault { .. } => f.write_str("the parser failed on this statement"),
            Self::ClientCommand { found, .. } => write!(f, "`{}` is a client command, not SQL", Snippet(found)),
            Self::CopyData { .. } => f.write_str("`COPY .. FROM stdin` with data in the file cannot be packed yet"),
            Self::Placeholder { found, .. } => write!(f, "`{}` is an unresolved placeholder", Snippet(found)),
            Self::Transaction { found, why, .. } => write!(f, "`{found}` {why}"),
            Self::Forbidden { found, why, .. } => write!(f, "`{found}` {why}"),
            Self::Conditional { why, .. } => write!(f, "the executable comment {why}"),
            Self::Delimiter { why, .. } => write!(f, "`DELIMITER` {why}"),
            Self::SecondStatement { .. } => f.write_str("a second statement before the delimiter"),
            Self::UnnamedIndex { .. } => f.write_str("a concurrent index without a name"),
            Self::ForeignKeys { .. } => {
                f.write_str("the script needs foreign keys enforced here and not enforced elsewhere")
            }
            Self::TooMany { limit, .. } => write!(f, "more than {limit} statements"),
            Self::TooLarge { size, .. } => write!(f, "the statement has {size} bytes"),
        }
    }
}

impl std::error::Error for SplitError {}
