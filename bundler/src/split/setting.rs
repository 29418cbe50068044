//! `SET` on MySQL and MariaDB: which assignments can be replayed, and which change how quotes and bytes are read.
//!
//! Attack -> defence. `SET sql_mode = 'ANSI_QUOTES'` turns strings into names, `SET NAMES gbk` lets a byte swallow a quote, a
//! number or a variable says the same in other words: so these variables take only values that can be read here.

use std::collections::HashMap;

use super::clause::Clause;
use super::lex::{Lexeme, Token};
use super::{Draft, SplitError};

/// What is known of a user variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    /// A copy of a system variable.
    Saved,
    /// Made of constants.
    Constant,
    /// Made of data.
    Data,
}

/// The user variables of a script so far.
#[derive(Debug, Default)]
pub(super) struct Settings {
    variables: HashMap<String, Variable>,
}

/// What one assignment does.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    /// Its value can be had again without reading data.
    pub(super) constant: bool,
    /// It reaches beyond the session.
    pub(super) server: bool,
    pub(super) fault: Option<Fault>,
}

/// Why an assignment is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    SqlMode,
    Charset,
    Autocommit,
    Transaction,
}

pub(super) fn refuse_assignment(draft: &mut Draft<'_>, at: usize, fault: Fault) -> SplitError {
    let reading = "changes how quotes are read, or cannot be told not to";
    match fault {
        Fault::SqlMode => draft.forbidden(
            at,
            "SET sql_mode",
            reading,
            "write the modes as a constant, without ANSI_QUOTES, NO_BACKSLASH_ESCAPES and the modes that include them",
        ),
        Fault::Charset => {
            draft.forbidden(at, "SET NAMES", "changes how bytes are read", "save the file as UTF-8 and use utf8mb4")
        }
        Fault::Autocommit => draft.forbidden(
            at,
            "SET autocommit",
            "would leave statements uncommitted that are recorded as done",
            "drop the line: each statement is committed on its own",
        ),
        Fault::Transaction => draft.forbidden(
            at,
            "SET transaction_read_only",
            "would change the runner's own transactions",
            "drop the setting",
        ),
    }
}

const MODES: [&str; 24] = [
    "",
    "DEFAULT",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "HIGH_NOT_PRECEDENCE",
    "IGNORE_SPACE",
    "NO_AUTO_CREATE_USER",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_DIR_IN_CREATE",
    "NO_ENGINE_SUBSTITUTION",
    "NO_FIELD_OPTIONS",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ONLY_FULL_GROUP_BY",
    "PAD_CHAR_TO_FULL_LENGTH",
    "PIPES_AS_CONCAT",
    "REAL_AS_FLOAT",
    "SIMULTANEOUS_ASSIGNMENT",
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "TRADITIONAL",
];
const CHARSETS: [&str; 7] = ["utf8", "utf8mb3", "utf8mb4", "latin1", "ascii", "binary", "default"];
/// Functions whose result depends on their arguments and the session alone.
const PURE: [&str; 17] = [
    "CONCAT",
    "CONCAT_WS",
    "REPLACE",
    "IF",
    "IFNULL",
    "NULLIF",
    "COALESCE",
    "UPPER",
    "LOWER",
    "TRIM",
    "CAST",
    "CONVERT",
    "DATABASE",
    "SCHEMA",
    "VERSION",
    "UNHEX",
    "HEX",
];

fn any(list: &[&str], word: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['\'', '"', '`'])
}

impl Settings {
    /// Reads one assignment of a `SET` statement and remembers what it says.
    pub(super) fn assign(&mut self, mut clause: Clause<'_>) -> Assignment {
        if clause.eat("NAMES") || clause.eat("CHARACTER SET") || clause.eat("CHARSET") {
            let value = clause.skip().map(|token| unquoted(clause.of(token)));
            let fault = value.is_none_or(|value| !any(&CHARSETS, value)).then_some(Fault::Charset);
            return Assignment { constant: true, server: false, fault };
        }
        if clause.at_mark(b'@') && !is_mark(&clause, 1, b'@') {
            clause.skip();
            let name = clause.skip().map(|token| unquoted(clause.of(token)).to_ascii_lowercase()).unwrap_or_default();
            let value = past_equals(clause);
            let variable = self.judge(value);
            self.remember(name, variable);
            return Assignment { constant: variable != Variable::Data, ..Assignment::default() };
        }
        let mut server = false;
        while clause.eat_mark(b'@') {}
        if clause.eat_all(&["SESSION", "LOCAL"]) {
            clause.eat_mark(b'.');
        } else if clause.eat_all(&["GLOBAL", "PERSIST", "PERSIST_ONLY"]) {
            server = true;
            clause.eat_mark(b'.');
        }
        while clause.eat_mark(b'@') {}
        let name = clause.skip().map(|token| unquoted(clause.of(token)).to_ascii_lowercase()).unwrap_or_default();
        let value = past_equals(clause);
        let fault = match name.as_str() {
            _ if server => None,
            "sql_mode" => (!self.harmless_mode(value)).then_some(Fault::SqlMode),
            "character_set_client" => (!self.harmless_charset(value)).then_some(Fault::Charset),
            "autocommit" => (!any(&["1", "ON", "TRUE"], &only(value))).then_some(Fault::Autocommit),
            "transaction_read_only" | "tx_read_only" | "transaction_isolation" | "tx_isolation" | "completion_type" => {
                Some(Fault::Transaction)
            }
            _ => None,
        };
        Assignment { constant: self.judge(value) != Variable::Data, server, fault }
    }

    fn remember(&mut self, name: String, variable: Variable) {
        let known = self.variables.entry(name).or_insert(variable);
        // A name used twice for different things is not a saved setting.
        *known = match (*known, variable) {
            (Variable::Saved, Variable::Saved) => Variable::Saved,
            (_, Variable::Data) => Variable::Data,
            _ if *known == variable => variable,
            _ => Variable::Constant,
        };
    }

    /// Variables that a statement fills from data: `SELECT .. INTO @x`, `@x := ..`.
    pub(super) fn forget_assigned(&mut self, draft: &mut Draft<'_>, clause: Clause<'_>) {
        if clause.at_any(&["SET", "CREATE", "ALTER"]) {
            return;
        }
        let tokens = clause.tokens();
        let mut into = false;
        for (index, token) in tokens.iter().enumerate() {
            match token.lexeme {
                Lexeme::Word => into = into || clause.of(*token).eq_ignore_ascii_case("INTO"),
                Lexeme::Mark(b'@') => {
                    let assigned = mark_at(tokens, index + 2, b':') && mark_at(tokens, index + 3, b'=');
                    let user = !mark_at(tokens, index + 1, b'@') && (index == 0 || !mark_at(tokens, index - 1, b'@'));
                    if let Some(name) = tokens.get(index + 1).filter(|_| user && (into || assigned)) {
                        self.remember(unquoted(clause.of(*name)).to_ascii_lowercase(), Variable::Data);
                        draft.volatile.push((token.start, "a variable set from data"));
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// What a value is made of.
    fn judge(&self, value: Clause<'_>) -> Variable {
        let tokens = value.tokens();
        if let [at, second, ..] = tokens
            && at.lexeme == Lexeme::Mark(b'@')
            && second.lexeme == Lexeme::Mark(b'@')
            && tokens.iter().all(|token| matches!(token.lexeme, Lexeme::Mark(b'@' | b'.' | b';') | Lexeme::Word))
        {
            return Variable::Saved;
        }
        for (index, token) in tokens.iter().enumerate() {
            let word = value.of(*token);
            let constant = match token.lexeme {
                Lexeme::Word if word.eq_ignore_ascii_case("FROM") => false,
                Lexeme::Word if mark_at(tokens, index + 1, b'(') => any(&PURE, word),
                Lexeme::Mark(b'@') if mark_at(tokens, index + 1, b'@') => true,
                Lexeme::Mark(b'@') if index > 0 && mark_at(tokens, index - 1, b'@') => true,
                Lexeme::Mark(b'@') => self.variable(&value, index + 1).is_some_and(|known| known != Variable::Data),
                Lexeme::Word => {
                    !any(&["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIME", "UTC_TIMESTAMP"], word)
                }
                _ => true,
            };
            if !constant {
                return Variable::Data;
            }
        }
        Variable::Constant
    }

    fn variable(&self, value: &Clause<'_>, index: usize) -> Option<Variable> {
        let token = value.tokens().get(index)?;
        self.variables.get(&unquoted(value.of(*token)).to_ascii_lowercase()).copied()
    }

    /// Whether a value is `@name` with a saved system variable in it.
    fn saved(&self, value: Clause<'_>) -> bool {
        matches!(value.tokens(), [at, _] | [at, _, _] if at.lexeme == Lexeme::Mark(b'@'))
            && self.variable(&value, 1) == Some(Variable::Saved)
    }

    fn harmless_charset(&self, value: Clause<'_>) -> bool {
        any(&CHARSETS, unquoted(&only(value))) || self.saved(value)
    }

    /// Literals of whole, harmless modes, put together with the mode that is in force.
    fn harmless_mode(&self, value: Clause<'_>) -> bool {
        const GLUE: [&str; 9] =
            ["SELECT", "REPLACE", "CONCAT", "CONCAT_WS", "TRIM", "SQL_MODE", "SESSION", "LOCAL", "GLOBAL"];
        self.saved(value)
            || value.tokens().iter().enumerate().all(|(index, token)| {
                let text = value.of(*token);
                let beside = |index: usize| mark_at(value.tokens(), index, b'@');
                match token.lexeme {
                    Lexeme::Text => unquoted(text).split(',').all(|mode| any(&MODES, mode.trim())),
                    Lexeme::Word => any(&GLUE, text) || any(&MODES, text),
                    // `@name` could hold anything, `@@sql_mode` what we have judged before.
                    Lexeme::Mark(b'@') => beside(index + 1) || (index > 0 && beside(index - 1)),
                    Lexeme::Mark(b'(' | b')' | b',' | b'.' | b';') => true,
                    _ => false,
                }
            })
    }
}

fn mark_at(tokens: &[Token], index: usize, mark: u8) -> bool {
    tokens.get(index).is_some_and(|token| token.lexeme == Lexeme::Mark(mark))
}

fn is_mark(clause: &Clause<'_>, index: usize, mark: u8) -> bool {
    mark_at(clause.tokens(), index, mark)
}

fn past_equals(mut clause: Clause<'_>) -> Clause<'_> {
    clause.eat_mark(b':');
    clause.eat_mark(b'=');
    clause
}

/// The one token a value consists of, or nothing.
fn only(mut value: Clause<'_>) -> String {
    match value.skip() {
        Some(token) if value.done() => value.of(token).to_owned(),
        _ => String::new(),
    }
}
