//! SQLite: statements end at semicolons outside quotes and trigger bodies.
//!
//! The lexer cuts, then SQLite's own grammar (`sqlite3-parser`) must see exactly one command in each piece.
//!
//! The measure is what the plain `sqlite3` shell does: foreign keys are off unless the script switches them on, and a
//! `PRAGMA foreign_keys` inside a transaction does nothing. The runner sets that pragma outside its transaction, so here it
//! becomes a property of the unit. Pragmas that a transaction ignores or refuses put a script into statements mode.

use sealift_spec::manifest::{Expect, Flavour, Kind, Mode, Object};
use sqlite3_parser::lexer::sql::{Error, Parser};
use sqlite3_parser::{Bump, FallibleIterator};

use super::clause::Clause;
use super::lex::{Lexeme, Lexer, Token};
use super::{Draft, Part, Request, Role, SplitError, View, foreign};

/// A `PRAGMA foreign_keys = ..` or a statement whose effect depends on it.
enum Mark {
    Set(bool),
    Needs,
}

pub(super) fn view(draft: Draft<'_>, request: Request) -> Result<View, SplitError> {
    let line = draft.text.lines().count().max(1);
    let read = std::panic::AssertUnwindSafe(|| read(draft, request));
    // The grammar's authors do not promise that it never panics.
    std::panic::catch_unwind(read).unwrap_or(Err(SplitError::ParserFault { line }))
}

fn read(mut draft: Draft<'_>, request: Request) -> Result<View, SplitError> {
    let text = draft.text;
    let mut lexer = Lexer::new(Flavour::Sqlite, text, 0);
    let mut tokens = Vec::new();
    let mut bump = Bump::new();
    // Where foreign keys matter: (offset, index of the part, what is there).
    let mut marks: Vec<(usize, usize, Mark)> = Vec::new();
    while next(&mut draft, &mut lexer, &mut tokens)? {
        let clause = Clause::new(Flavour::Sqlite, text, &tokens);
        let first = clause.offset();
        let end = tokens.last().map_or(first, |token| token.end);
        if clause.done() {
            draft.push(Part::skipped(first, end, Role::Trivia), &mut lexer);
            continue;
        }
        bump.reset();
        parse(&mut draft, &bump, &tokens)?;
        let part = classify(&mut draft, clause, end)?;
        if let Some(on) = foreign_keys(clause) {
            marks.push((first, draft.parts.len(), Mark::Set(on)));
        } else if depends_on_foreign_keys(clause) {
            marks.push((first, draft.parts.len(), Mark::Needs));
        }
        draft.push(part, &mut lexer);
    }
    draft.push_rest();
    if let Some((at, name)) = draft.alone
        && !request.no_transaction
    {
        draft.warn(at, format!("{name} does not work in a transaction: the script runs statement by statement"));
    }
    if request.no_transaction || draft.alone.is_some() {
        draft.refuse_controls()?;
        return draft.finish(Mode::Statements, None);
    }
    draft.strip_outer_pair()?;
    let foreign_keys = settle_foreign_keys(&mut draft, &marks)?;
    draft.finish(Mode::Transaction, foreign_keys)
}

/// Collects the significant tokens of the next statement, its semicolon included. False when only trivia is left.
fn next(draft: &mut Draft<'_>, lexer: &mut Lexer<'_>, tokens: &mut Vec<Token>) -> Result<bool, SplitError> {
    tokens.clear();
    let mut trigger = false;
    while let Some(token) = lexer.next().map_err(|e| draft.refuse_lex(e))? {
        if matches!(token.lexeme, Lexeme::Space | Lexeme::Comment) {
            continue;
        }
        if tokens.is_empty() && token.lexeme == Lexeme::Mark(b'.') {
            return Err(draft.refuse(foreign::client(draft.text, token.start)));
        }
        if let Some(found) = foreign::on_sight(Flavour::Sqlite, draft.text, tokens.last().copied(), token) {
            return Err(draft.refuse(found));
        }
        tokens.push(token);
        if token.lexeme == Lexeme::Word && tokens.len() <= 6 {
            trigger = trigger || begins_trigger(draft.text, tokens);
        }
        if token.lexeme == Lexeme::Mark(b';') && (!trigger || ends_trigger(draft.text, tokens)) {
            return Ok(true);
        }
    }
    Ok(!tokens.is_empty())
}

/// `[EXPLAIN [QUERY PLAN]] CREATE [TEMP|TEMPORARY] TRIGGER`.
fn begins_trigger(text: &str, tokens: &[Token]) -> bool {
    let mut clause = Clause::new(Flavour::Sqlite, text, tokens);
    if clause.eat("EXPLAIN") {
        clause.eat("QUERY PLAN");
    }
    clause.eat("CREATE") && {
        clause.eat_all(&["TEMP", "TEMPORARY"]);
        clause.at("TRIGGER")
    }
}

/// A trigger ends at `; END ;`, the rule of SQLite's own `sqlite3_complete`.
fn ends_trigger(text: &str, tokens: &[Token]) -> bool {
    matches!(tokens, [.., before, end, _]
        if before.lexeme == Lexeme::Mark(b';') && end.lexeme == Lexeme::Word && text[end.start..end.end].eq_ignore_ascii_case("END"))
}

/// The second reader.
fn parse(draft: &mut Draft<'_>, bump: &Bump, tokens: &[Token]) -> Result<(), SplitError> {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Ok(()) };
    let (start, text) = (first.start, draft.text);
    let mut parser = Parser::new(bump, &text.as_bytes()[start..last.end]);
    let (message, position) = match (parser.next(), parser.next()) {
        (Ok(Some(_)), Ok(None)) => return Ok(()),
        (Err(Error::ParserError(error, at)), _) | (Ok(Some(_)), Err(Error::ParserError(error, at))) => {
            (error.to_string(), at.map(|at| (at.line, at.column)))
        }
        (Err(Error::BadNumber(at) | Error::MalformedHexInteger(at)), _) => {
            ("not a number".to_owned(), at.map(|at| (at.line, at.column)))
        }
        (Err(Error::MalformedBlobLiteral(at)), _) => ("not a blob".to_owned(), at.map(|at| (at.line, at.column))),
        (Err(_), _) => ("not a token of SQLite".to_owned(), None),
        _ => ("not exactly one statement".to_owned(), None),
    };
    if let Some(found) = foreign::suspect(text, tokens) {
        return Err(draft.refuse(found));
    }
    let (line, column) = position.unwrap_or((1, 1));
    let before = text[..start].rfind('\n').map_or(start, |feed| start - feed - 1);
    let column = if line == 1 { before + column } else { column };
    Err(SplitError::Syntax { line: draft.line(start) + line - 1, column, message })
}

fn classify(draft: &mut Draft<'_>, clause: Clause<'_>, end: usize) -> Result<Part, SplitError> {
    let at = clause.offset();
    if let Some(role) = control(draft, clause)? {
        return Ok(match role {
            Role::Sent => Part::sent(at, end, Kind::Session),
            _ => Part::skipped(at, end, role),
        });
    }
    if clause.at_any(&["ATTACH", "DETACH"]) {
        let found = if clause.at("ATTACH") { "ATTACH" } else { "DETACH" };
        let why = "reaches a database file that the runner has not locked";
        return Err(draft.forbidden(
            at,
            found,
            why,
            "change one database per migration; ship rows as INSERT statements",
        ));
    }
    if clause.at("PRAGMA") {
        return pragma(draft, clause, end);
    }
    let mut part = Part::sent(at, end, kind(clause));
    if clause.at("VACUUM") {
        part.kind = Kind::Concurrent;
        draft.alone.get_or_insert((at, "VACUUM"));
    }
    let mut made = clause;
    if made.eat("CREATE") && made.at_any(&["TEMP", "TEMPORARY"]) {
        draft.volatile.push((at, "a temporary object"));
    }
    part.probe = probe(clause);
    Ok(part)
}

/// Transaction commands: the outer pair, savepoints (sent), everything else refused.
fn control(draft: &mut Draft<'_>, mut clause: Clause<'_>) -> Result<Option<Role>, SplitError> {
    let at = clause.offset();
    if clause.eat("BEGIN") {
        return Ok(Some(Role::Begin));
    }
    if clause.eat("COMMIT") || clause.eat("END") {
        return Ok(Some(Role::Commit));
    }
    // SQLite compares savepoint names without regard to case.
    let name = |clause: &mut Clause<'_>| {
        clause.eat("SAVEPOINT");
        clause.name().map(|name| name.join(".").to_ascii_lowercase())
    };
    let command = if clause.eat("SAVEPOINT") {
        "SAVEPOINT"
    } else if clause.eat("RELEASE") {
        "RELEASE"
    } else if clause.eat("ROLLBACK") {
        clause.eat("TRANSACTION");
        if !clause.eat("TO") {
            return Err(draft.transaction(at, "ROLLBACK", "would undo the runner's transaction"));
        }
        "ROLLBACK TO"
    } else {
        return Ok(None);
    };
    let name = name(&mut clause);
    draft.savepoint(at, command, name).map(|()| Some(Role::Sent))
}

/// Pragmas, one by one, by SQLite's documentation.
fn pragma(draft: &mut Draft<'_>, mut clause: Clause<'_>, end: usize) -> Result<Part, SplitError> {
    let whole = clause;
    let at = clause.offset();
    clause.eat("PRAGMA");
    let name = clause.name().and_then(|mut name| name.pop()).unwrap_or_default().to_ascii_lowercase();
    let writes = !clause.done();
    let part = |kind| Ok(Part::sent(at, end, kind));
    match name.as_str() {
        // Set by the runner around the transaction; in statements mode it stays and is sent.
        "foreign_keys" if writes => {
            if foreign_keys(whole).is_none() {
                return Err(draft.forbidden(
                    at,
                    "PRAGMA foreign_keys",
                    "has a value that is neither on nor off",
                    "write ON or OFF",
                ));
            }
            part(Kind::Session)
        }
        "query_only" if writes => Err(draft.forbidden(
            at,
            "PRAGMA query_only",
            "would keep the runner from writing its history",
            "drop the setting",
        )),
        // Refused inside a transaction (the last one where temporary tables are open).
        "journal_mode" | "synchronous" | "temp_store" if writes => {
            draft.alone.get_or_insert((at, "this PRAGMA"));
            part(Kind::Session)
        }
        "wal_checkpoint" => {
            draft.alone.get_or_insert((at, "this PRAGMA"));
            part(Kind::Dml)
        }
        // Kept in the file, transactional.
        "user_version" | "application_id" | "schema_version" | "default_cache_size" if writes => part(Kind::Ddl),
        // Work on pages or statistics, or reports.
        "incremental_vacuum" | "optimize" | "integrity_check" | "quick_check" | "foreign_key_check"
        | "shrink_memory" | "table_info" | "table_xinfo" | "table_list" | "index_info" | "index_xinfo"
        | "index_list" | "foreign_key_list" => part(Kind::Dml),
        _ => part(if writes { Kind::Session } else { Kind::Dml }),
    }
}

/// What `PRAGMA foreign_keys = ..` sets.
fn foreign_keys(mut clause: Clause<'_>) -> Option<bool> {
    if !clause.eat("PRAGMA") {
        return None;
    }
    let mut name = clause.name()?;
    if !name.pop()?.eq_ignore_ascii_case("foreign_keys") || !(clause.eat_mark(b'=') || clause.eat_mark(b'(')) {
        return None;
    }
    let value = clause.skip()?;
    let value = clause.of(value).trim_matches(['\'', '"']).to_ascii_lowercase();
    match value.as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Statements that do something else with foreign keys enforced: cascades, implicit deletes, stricter ALTER TABLE. A
/// plain INSERT is not among them: when it breaks a key, the check before COMMIT finds it.
fn depends_on_foreign_keys(mut clause: Clause<'_>) -> bool {
    if clause.eat("INSERT") {
        return clause.at("OR REPLACE") || clause.has("CONFLICT");
    }
    if clause.at("ALTER TABLE") {
        return clause.has("REFERENCES");
    }
    clause.at_any(&["DELETE", "UPDATE", "REPLACE", "WITH"]) || clause.at("DROP TABLE")
}

/// Takes `PRAGMA foreign_keys` out of a transaction-mode script: one setting must suit every statement.
fn settle_foreign_keys(draft: &mut Draft<'_>, marks: &[(usize, usize, Mark)]) -> Result<Option<bool>, SplitError> {
    let inside = draft.inside();
    let (mut now, mut first_set, mut needed) = (false, None, None);
    for (at, index, mark) in marks {
        match mark {
            Mark::Set(on) => {
                draft.parts[*index].role = Role::Dropped;
                draft.parts[*index].kind = Kind::Skip;
                if inside[*index] {
                    if *on != now {
                        draft.warn(*at, "PRAGMA foreign_keys does nothing between BEGIN and COMMIT");
                    }
                } else {
                    now = *on;
                    first_set.get_or_insert(*on);
                }
            }
            Mark::Needs if needed.is_some_and(|needed| needed != now) => {
                return Err(SplitError::ForeignKeys { line: draft.line(*at) });
            }
            Mark::Needs => needed = Some(now),
        }
    }
    Ok(first_set.map(|first| needed.unwrap_or(first)))
}

fn kind(clause: Clause<'_>) -> Kind {
    if clause.at_any(&["CREATE", "ALTER", "DROP", "REINDEX", "ANALYZE", "VACUUM"]) {
        return Kind::Ddl;
    }
    Kind::Dml
}

/// What to look up after a crash, where presence alone tells.
fn probe(mut clause: Clause<'_>) -> Option<sealift_spec::manifest::Probe> {
    let object = |clause: &mut Clause<'_>| {
        if clause.eat("TABLE") {
            Some(Object::Table)
        } else if clause.eat("VIEW") {
            Some(Object::View)
        } else if clause.eat("INDEX") {
            Some(Object::Index)
        } else {
            clause.eat("TRIGGER").then_some(Object::Trigger)
        }
    };
    if clause.eat("CREATE") {
        clause.eat_all(&["UNIQUE", "VIRTUAL"]);
        let object = object(&mut clause)?;
        if clause.at("IF NOT EXISTS") {
            return None;
        }
        let probe = clause.probe(Expect::Present, object)?;
        return match object {
            Object::Table | Object::View => Some(probe),
            _ => {
                while !clause.at("ON") && clause.skip().is_some() {}
                clause.on_table(probe)
            }
        };
    }
    if clause.eat("DROP") {
        let object = object(&mut clause)?;
        return if clause.at("IF EXISTS") { None } else { clause.probe(Expect::Absent, object) };
    }
    if clause.eat("ALTER TABLE") {
        let table = clause.name()?;
        return clause.column_probe(table);
    }
    None
}
