//! What stands in scripts and is not SQL: placeholders of other tools, commands of client programs.
//!
//! Some are never valid SQL and are refused on sight. Others look like SQL (`a[1:n]`, `x::text`, `5 % (b)`); they are named
//! only after the grammar has refused the statement, so that the message says the likely cause.

use sealift_spec::manifest::Flavour;

use super::lex::{Lexeme, Token};

/// Something that is not SQL, from `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Foreign {
    Placeholder { at: usize, found: String },
    Client { at: usize, found: String },
}

fn placeholder(text: &str, at: usize) -> Foreign {
    Foreign::Placeholder { at, found: snippet(&text[at..]) }
}

/// A command up to the end of its line.
pub(super) fn client(text: &str, at: usize) -> Foreign {
    let line = text[at..].lines().next().unwrap_or_default().trim_end();
    Foreign::Client { at, found: line.chars().take(40).collect() }
}

fn snippet(rest: &str) -> String {
    let close = match rest.get(..2) {
        Some("{{") => "}}",
        Some("${" | "#{") => "}",
        Some("{%") => "%}",
        Some("<%") => "%>",
        _ => "",
    };
    let line: String = rest.lines().next().unwrap_or_default().chars().take(60).collect();
    if let Some(found) = line.find(close).filter(|_| !close.is_empty()) {
        return line[..found + close.len()].to_owned();
    }
    let mut quoted = false;
    line.chars()
        .enumerate()
        .take_while(|&(index, c)| {
            quoted ^= c == '\'';
            index == 0 || quoted || !(c.is_whitespace() || matches!(c, ';' | ',' | ')'))
        })
        .map(|(_, c)| c)
        .collect()
}

fn word_run(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

/// `%(name)s`, the Python manner.
fn python(rest: &str) -> bool {
    rest.strip_prefix("%(").is_some_and(|inner| {
        let run = word_run(inner);
        run > 0 && matches!(inner.as_bytes().get(run..run + 2), Some(b")s" | b")d"))
    })
}

/// `@@NAME@@`.
fn at_signs(rest: &str) -> bool {
    rest.strip_prefix("@@").is_some_and(|inner| {
        let run = word_run(inner);
        run > 0 && inner[run..].starts_with("@@")
    })
}

/// Whether a token can never be SQL. `before` is the significant token in front of it.
pub(super) fn on_sight(flavour: Flavour, text: &str, before: Option<Token>, token: Token) -> Option<Foreign> {
    let (at, bytes, rest) = (token.start, text.as_bytes(), &text[token.start..]);
    let next = bytes.get(at + 1).copied().unwrap_or(0);
    let touching = before.filter(|before| before.end == at);
    let previous = |mark: u8| at > 0 && bytes[at - 1] == mark;
    let mysql = matches!(flavour, Flavour::Mysql | Flavour::Mariadb);
    match token.lexeme {
        Lexeme::Mark(b'\\') if mysql && next == b'N' && word_run(&rest[1..]) == 1 => None,
        Lexeme::Mark(b'\\') => Some(client(text, at)),
        Lexeme::Mark(b'{') if previous(b'$') => Some(placeholder(text, at - 1)),
        Lexeme::Mark(b'{') if !mysql || matches!(next, b'{' | b'%') => Some(placeholder(text, at)),
        Lexeme::Mark(b'$') => Some(placeholder(text, at)),
        Lexeme::Mark(b'?' | b'@' | b':' | b'#') if flavour == Flavour::Sqlite => Some(placeholder(text, at)),
        Lexeme::Mark(b'?') if mysql => Some(placeholder(text, at)),
        Lexeme::Mark(b'<') if mysql && next == b'%' => Some(placeholder(text, at)),
        Lexeme::Mark(b'%') if mysql && python(rest) => Some(placeholder(text, at)),
        Lexeme::Mark(b'@') if mysql && at_signs(rest) => Some(placeholder(text, at)),
        Lexeme::Mark(b':') if mysql => {
            let named = next.is_ascii_alphabetic() || matches!(next, b'_' | b'\'' | b'"' | b'`');
            let label =
                touching.is_some_and(|b| matches!(b.lexeme, Lexeme::Word | Lexeme::Quoted | Lexeme::Mark(b':')));
            (named && !label).then(|| placeholder(text, at))
        }
        Lexeme::Word if mysql && rest.starts_with("$%") => Some(placeholder(text, at)),
        _ => None,
    }
}

/// What in a refused statement is probably not meant as SQL.
pub(super) fn suspect(text: &str, tokens: &[Token]) -> Option<Foreign> {
    let first = *tokens.first()?;
    let word = &text[first.start..first.end];
    if first.lexeme == Lexeme::Mark(b'.')
        || ["delimiter", "source", "go"].iter().any(|command| word.eq_ignore_ascii_case(command))
    {
        return Some(client(text, first.start));
    }
    let mut brackets = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        let rest = &text[token.start..];
        let next = rest.as_bytes().get(1).copied().unwrap_or(0);
        let before = index.checked_sub(1).map(|before| tokens[before]);
        let touching = |mark: u8| before.is_some_and(|b| b.lexeme == Lexeme::Mark(mark) && b.end == token.start);
        let found = match token.lexeme {
            Lexeme::Mark(b'[') => {
                brackets += 1;
                next == b'[' && !touching(b'[')
            }
            Lexeme::Mark(b']') => {
                brackets = brackets.saturating_sub(1);
                false
            }
            Lexeme::Mark(b':') => {
                let named = next.is_ascii_alphabetic() || matches!(next, b'_' | b'\'' | b'"');
                named && brackets == 0 && !touching(b':')
            }
            Lexeme::Mark(b'%') => {
                python(rest) || (matches!(next, b's' | b'd') && word_run(&rest[1..]) == 1) || touching(b'<')
            }
            Lexeme::Mark(b'@') => at_signs(rest),
            Lexeme::Mark(b'?') => before.is_some_and(|b| matches!(b.lexeme, Lexeme::Mark(b'(' | b',' | b'='))),
            _ => false,
        };
        if found {
            let at = if touching(b'<') { token.start - 1 } else { token.start };
            return Some(placeholder(text, at));
        }
    }
    None
}
