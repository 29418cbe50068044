//! From the bytes of a migration to its execution view: where each statement ends, what it is, and how the script runs.
//!
//! `bundle.md` section 4.5: the runner has no SQL parser, it sends ranges that were reviewed. So the cut is made here, once, and
//! signed. Attack -> defence. SQL that hides from reviewers in a quote, a comment or a client command: every byte lies in
//! exactly one range, each engine's own lexical rules decide where it ends ([`lex`]), a second reader (the engine's
//! grammar, where there is one) must see exactly one statement in it, and what two servers would read differently is
//! refused. A script that ends the runner's transaction, gives away its lock or changes how quotes are read: refused with
//! the way out. This module judges whether a script can run as written; whether it *should* is for lint and reviewers.
//!
//! A range runs from the end of the one before to just after its terminator, so comments stand with the statement they
//! precede; a comment behind a statement on the same line, and whatever follows the last one, is skipped.

mod clause;
mod compound;
mod error;
mod foreign;
mod lex;
mod mysql;
mod postgresql;
mod setting;
mod sqlite;

use sealift_spec::limit;
use sealift_spec::manifest::{Flavour, Kind, Mode, Probe, Statement};
use sealift_spec::text::is_deceptive;

pub use error::SplitError;
use foreign::Foreign;
use lex::{LexError, Lexer};

/// A group of a large transaction is cut when it would grow beyond this many bytes.
const GROUP_SIZE: usize = 256 * 1024;
/// A group of a large transaction is cut when it would hold more than this many statements.
const GROUP_COUNT: usize = 500;
/// Warnings after which a script is not looked at for more.
const WARNINGS: usize = 100;

/// What the directives of a file ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// `-- sealift: no-transaction`: statement by statement, although a transaction would do.
    pub no_transaction: bool,
}

/// How a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// In one transaction or statement by statement.
    pub mode: Mode,
    /// The ranges, tiling the file.
    pub statements: Vec<Statement>,
    /// Whether an interrupted run cannot be continued, because session state cannot be replayed.
    pub not_resumable: bool,
    /// SQLite: what the script itself says about foreign keys, when that belongs to the whole unit.
    pub foreign_keys: Option<bool>,
    /// What a reviewer should know.
    pub warnings: Vec<Warning>,
}

/// Something a reviewer should know about a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line, from 1.
    pub line: usize,
    /// One line of text.
    pub text: String,
}

/// Reads a script.
///
/// # Errors
/// [`SplitError`] when the script cannot be cut, or cannot run as written.
pub fn view(flavour: Flavour, sql: &[u8], request: Request) -> Result<View, SplitError> {
    let text = admit(sql)?;
    let mut draft = Draft::new(flavour, text);
    draft.warn_deceptive();
    match flavour {
        Flavour::Postgresql => postgresql::view(draft, request),
        Flavour::Mysql | Flavour::Mariadb => mysql::view(draft),
        Flavour::Sqlite => sqlite::view(draft, request),
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// Refuses bytes that different readers take for different texts.
fn admit(sql: &[u8]) -> Result<&str, SplitError> {
    if sql.starts_with(b"\xef\xbb\xbf") {
        return Err(SplitError::ByteOrderMark { line: 1 });
    }
    if let Some(at) = sql.iter().position(|byte| *byte == 0) {
        return Err(SplitError::Nul { line: line_of(sql, at) });
    }
    let text = std::str::from_utf8(sql).map_err(|e| SplitError::NotUtf8 { line: line_of(sql, e.valid_up_to()) })?;
    // PostgreSQL ends a `--` comment at a lone carriage return, SQLite and MySQL read on to the line feed, and an editor
    // may show either.
    let lone = sql.iter().enumerate().position(|(at, byte)| *byte == b'\r' && sql.get(at + 1) != Some(&b'\n'));
    match lone {
        Some(at) => Err(SplitError::CarriageReturn { line: line_of(sql, at) }),
        None => Ok(text),
    }
}

/// What a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Comments and white space.
    Trivia,
    /// A command that is not sent, such as `DELIMITER` or a setting that the runner makes itself.
    Dropped,
    /// `BEGIN` or `START TRANSACTION`.
    Begin,
    /// `COMMIT` or `END`.
    Commit,
    /// SQL for the server.
    Sent,
}

/// A range in the making.
#[derive(Debug, Clone)]
struct Part {
    /// Where its first significant token stands.
    first: usize,
    end: usize,
    role: Role,
    kind: Kind,
    lock: Option<&'static str>,
    probe: Option<Probe>,
}

impl Part {
    fn sent(first: usize, end: usize, kind: Kind) -> Self {
        Self { first, end, role: Role::Sent, kind, lock: None, probe: None }
    }

    fn skipped(first: usize, end: usize, role: Role) -> Self {
        Self { first, end, role, kind: Kind::Skip, lock: None, probe: None }
    }

    fn statement(self) -> Statement {
        let lock = self.lock.map(str::to_owned);
        Statement { end: self.end as u64, kind: self.kind, lock, probe: self.probe }
    }
}

/// A view in the making.
#[derive(Debug)]
struct Draft<'a> {
    flavour: Flavour,
    text: &'a str,
    parts: Vec<Part>,
    warnings: Vec<Warning>,
    /// The last line that was looked up, with its offset: warnings come roughly in order.
    line: (usize, usize),
    /// The first statement that cannot run in a transaction, and its name.
    alone: Option<(usize, &'static str)>,
    /// Every reason why a run could not be continued.
    volatile: Vec<(usize, &'static str)>,
    savepoints: Vec<String>,
    first_savepoint: Option<usize>,
}

impl<'a> Draft<'a> {
    fn new(flavour: Flavour, text: &'a str) -> Self {
        Self {
            flavour,
            text,
            parts: Vec::new(),
            warnings: Vec::new(),
            line: (0, 1),
            alone: None,
            volatile: Vec::new(),
            savepoints: Vec::new(),
            first_savepoint: None,
        }
    }

    fn line(&mut self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let (from, line) = if at >= self.line.0 { self.line } else { (0, 1) };
        self.line = (at, line + line_of(&self.text.as_bytes()[from..at], at - from) - 1);
        self.line.1
    }

    fn warn(&mut self, at: usize, text: impl Into<String>) {
        if self.warnings.len() < WARNINGS {
            let line = self.line(at);
            self.warnings.push(Warning { line, text: text.into() });
        }
    }

    /// Characters that hide or reorder what a reviewer sees: one warning a line.
    fn warn_deceptive(&mut self) {
        let mut last = usize::MAX;
        for (at, c) in self.text.char_indices() {
            if is_deceptive(c) && !matches!(c, '\n' | '\r' | '\t') {
                if self.warnings.len() == WARNINGS {
                    return;
                }
                let line = self.line(at);
                if line != last {
                    self.warn(at, format!("the character {} can hide or reorder text", c.escape_unicode()));
                    last = line;
                }
            }
        }
    }

    fn refuse(&mut self, foreign: Foreign) -> SplitError {
        match foreign {
            Foreign::Placeholder { at, found } => SplitError::Placeholder { line: self.line(at), found },
            Foreign::Client { at, found } => SplitError::ClientCommand { line: self.line(at), found },
        }
    }

    fn refuse_lex(&mut self, error: LexError) -> SplitError {
        match error {
            LexError::Unterminated(at, what) => SplitError::Unterminated { line: self.line(at), what },
            LexError::Conditional(at, why) => SplitError::Conditional { line: self.line(at), why },
        }
    }

    fn transaction(&mut self, at: usize, found: &'static str, why: &'static str) -> SplitError {
        let hint = match self.flavour {
            // There each statement is committed on its own already: no directive changes that.
            Flavour::Mysql | Flavour::Mariadb => {
                "remove the command: the runner sends each statement on its own, and the server commits it at once"
            }
            Flavour::Postgresql | Flavour::Sqlite => {
                "let the runner begin and commit: remove the command, split the file, \
                 or put `-- sealift: no-transaction` on top and drop all transaction commands"
            }
        };
        SplitError::Transaction { line: self.line(at), found, why, hint }
    }

    fn forbidden(&mut self, at: usize, found: &'static str, why: &'static str, hint: &'static str) -> SplitError {
        SplitError::Forbidden { line: self.line(at), found, why, hint }
    }

    /// Adds a part and, where a comment follows it on its line, that comment as a part of its own. Returns where the
    /// lexer goes on.
    fn push(&mut self, part: Part, lexer: &mut Lexer<'_>) {
        self.parts.push(part);
        if let Some(end) = lex::trailing_comment(lexer) {
            self.parts.push(Part::skipped(end, end, Role::Trivia));
            lexer.skip_to(end);
        }
    }

    /// Adds what is left of the file, where nothing is to be sent.
    fn push_rest(&mut self) {
        let end = self.text.len();
        if self.parts.last().map_or(0, |part| part.end) < end {
            self.parts.push(Part::skipped(end, end, Role::Trivia));
        }
    }

    /// A savepoint, its release, or a return to it: harmless while it names one of the script's own.
    fn savepoint(&mut self, at: usize, command: &'static str, name: Option<String>) -> Result<(), SplitError> {
        let Some(name) = name else {
            return Err(self.transaction(at, command, "names no savepoint that can be followed"));
        };
        self.first_savepoint.get_or_insert(at);
        if command == "SAVEPOINT" {
            self.savepoints.push(name);
            return Ok(());
        }
        match self.savepoints.iter().rposition(|known| *known == name) {
            Some(found) => {
                self.savepoints.truncate(if command == "RELEASE" { found } else { found + 1 });
                Ok(())
            }
            None => Err(self.transaction(at, command, "names a savepoint that is not the script's own")),
        }
    }

    /// Whether the script brings its own transaction.
    fn controls(&self) -> impl Iterator<Item = usize> {
        let control = |part: &Part| matches!(part.role, Role::Begin | Role::Commit);
        self.parts.iter().enumerate().filter(move |(_, part)| control(part)).map(|(index, _)| index)
    }

    /// For each part, whether it stands in a transaction of the script's own. A script whose first command is a COMMIT was
    /// written for a tool that has begun one already.
    fn inside(&self) -> Vec<bool> {
        let first = self.controls().next().map(|index| self.parts[index].role);
        let mut inside = first == Some(Role::Commit);
        let step = |part: &Part| {
            match part.role {
                Role::Begin => inside = true,
                Role::Commit => inside = false,
                _ => {}
            }
            inside
        };
        self.parts.iter().map(step).collect()
    }

    /// Takes out the BEGIN and COMMIT around a script and refuses any other. What was one transaction stays one: every
    /// statement that settings do not explain must stand between the same BEGIN and COMMIT. The pair may also stand inside
    /// out (`COMMIT; PRAGMA ..; BEGIN; .. COMMIT; PRAGMA ..; BEGIN;`), the way out of a tool's own transaction.
    fn strip_outer_pair(&mut self) -> Result<(), SplitError> {
        const WHOLE: &str = "does not stand around the whole script";
        const NOT_BEGUN: &str = "ends a transaction that the script has not begun";
        let first_control = self.controls().next();
        let Some(first_control) = first_control else { return Ok(()) };
        let inverted = self.parts[first_control].role == Role::Commit;
        let mut inside = inverted;
        let (mut last, mut stray, mut segment, mut filled) = (self.parts[first_control].first, false, 0, None);
        for index in 0..self.parts.len() {
            let Part { first, role, kind, .. } = self.parts[index];
            match role {
                Role::Begin if inside => {
                    return Err(self.transaction(first, "BEGIN", "begins a transaction inside another one"));
                }
                Role::Begin if stray => return Err(self.transaction(first, "BEGIN", WHOLE)),
                Role::Commit if !inside => return Err(self.transaction(first, "COMMIT", NOT_BEGUN)),
                Role::Begin | Role::Commit => {
                    (inside, last) = (role == Role::Begin, first);
                    segment += 1;
                }
                Role::Sent if kind == Kind::Session => {}
                Role::Sent if !inside && segment == 0 => stray = true,
                Role::Sent if !inside => {
                    let why = if inverted { NOT_BEGUN } else { WHOLE };
                    return Err(self.transaction(last, "COMMIT", why));
                }
                Role::Sent if filled.is_some_and(|filled| filled != segment) => {
                    return Err(self.transaction(last, "BEGIN", "begins a second transaction"));
                }
                Role::Sent => filled = Some(segment),
                Role::Trivia | Role::Dropped => {}
            }
        }
        match (inside, inverted) {
            (true, false) => Err(self.transaction(last, "BEGIN", "begins a transaction that the script never commits")),
            (false, true) => {
                let first = self.parts[first_control].first;
                Err(self.transaction(first, "COMMIT", NOT_BEGUN))
            }
            _ => Ok(()),
        }
    }

    /// In statements mode every statement is committed with its record: nothing of the script's own can hold.
    fn refuse_controls(&mut self) -> Result<(), SplitError> {
        let control = self.controls().next();
        if let Some(index) = control {
            let Part { first, role, .. } = self.parts[index];
            let found = if role == Role::Begin { "BEGIN" } else { "COMMIT" };
            let why = match self.alone {
                Some(_) => "cannot hold: the script also has a statement that cannot run in a transaction",
                None => "cannot hold in a script that runs statement by statement",
            };
            return Err(self.transaction(first, found, why));
        }
        match self.first_savepoint {
            Some(at) => {
                Err(self.transaction(at, "SAVEPOINT", "cannot hold in a script that runs statement by statement"))
            }
            None => Ok(()),
        }
    }

    /// The finished view.
    fn finish(mut self, mode: Mode, foreign_keys: Option<bool>) -> Result<View, SplitError> {
        let mut start = 0;
        for index in 0..self.parts.len() {
            let Part { first, end, .. } = self.parts[index];
            let size = (end - start) as u64;
            if size > limit::STATEMENT_SQL {
                return Err(SplitError::TooLarge { line: self.line(first), size });
            }
            start = end;
        }
        let mut not_resumable = false;
        if mode == Mode::Statements {
            not_resumable = !self.volatile.is_empty();
            for (at, what) in std::mem::take(&mut self.volatile) {
                self.warn(at, format!("{what}: an interrupted run cannot be continued"));
            }
        }
        let sent = self.parts.iter().filter(|part| part.role == Role::Sent).count();
        let large = self.text.len() as u64 > limit::GROUP_BYTES || sent > limit::GROUP_STATEMENTS;
        let parts = std::mem::take(&mut self.parts);
        let parts = if mode == Mode::Transaction && large { group(parts) } else { parts };
        if let Some(extra) = parts.get(limit::STATEMENTS) {
            return Err(SplitError::TooMany { line: self.line(extra.first), limit: limit::STATEMENTS });
        }
        let mut warnings = self.warnings;
        warnings.sort_by_key(|warning| warning.line);
        let statements = parts.into_iter().map(Part::statement).collect();
        Ok(View { mode, statements, not_resumable, foreign_keys, warnings })
    }
}

/// Packs neighbouring statements of a large transaction. Comments between them go along; what is stripped stays apart.
fn group(parts: Vec<Part>) -> Vec<Part> {
    let mut groups: Vec<Part> = Vec::new();
    let (mut start, mut count, mut open) = (0, 0, false);
    let mut held: Option<Part> = None;
    for part in parts {
        match part.role {
            Role::Trivia if open => held = Some(part),
            Role::Sent => {
                let last = groups.last_mut().filter(|_| open && count < GROUP_COUNT && part.end - start <= GROUP_SIZE);
                if let Some(group) = last {
                    held = None;
                    group.end = part.end;
                    count += 1;
                } else {
                    groups.extend(held.take());
                    start = groups.last().map_or(0, |group| group.end);
                    (count, open) = (1, true);
                    groups.push(Part::sent(part.first, part.end, Kind::Group));
                }
            }
            Role::Trivia | Role::Dropped | Role::Begin | Role::Commit => {
                groups.extend(held.take());
                groups.push(part);
                open = false;
            }
        }
    }
    groups.extend(held);
    groups
}

#[cfg(test)]
mod tests;
