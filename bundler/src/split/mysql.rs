//! MySQL and MariaDB: a splitter that reads like the client, because no grammar is to be had.
//!
//! Every statement here runs on its own ([`Mode::Statements`]): DDL commits by itself, so no script is atomic. What stands
//! between `BEGIN` and `COMMIT` is therefore sent without them, with a warning. Kinds are claims by leading keywords: `dml`
//! may share a transaction with the record of its progress, so nothing that commits implicitly is called `dml`.
//!
//! Deliberately refused: what changes how quotes or bytes are read (`sql_mode`, character sets), tables locked against the
//! runner's own history, and two statements before one delimiter.

use sealift_spec::manifest::{Expect, Kind, Mode, Object, Probe};

use super::clause::Clause;
use super::compound::Compound;
use super::lex::{Lexeme, Lexer, Token};
use super::setting::{Settings, refuse_assignment};
use super::{Draft, Part, Role, SplitError, View, foreign};

/// What ended a piece.
enum Piece {
    /// A statement, up to here; the lexer stands behind its delimiter.
    Statement { end: usize, conditional: bool },
    /// A `DELIMITER` command.
    Command,
    /// The end of the script.
    Rest,
}

const RUNNER_OWNS: &str = "let the runner do it: identity, transactions and lock of the session are its own";

pub(super) fn view(mut draft: Draft<'_>) -> Result<View, SplitError> {
    let (flavour, text) = (draft.flavour, draft.text);
    let mut lexer = Lexer::new(flavour, text, 0);
    let mut tokens = Vec::new();
    let mut settings = Settings::default();
    loop {
        let (end, conditional) = match next(&mut draft, &mut lexer, &mut tokens)? {
            Piece::Rest => break,
            Piece::Command => continue,
            Piece::Statement { end, conditional } => (end, conditional),
        };
        let clause = Clause::new(flavour, text, &tokens);
        let first = clause.offset().min(end);
        if clause.done() {
            let end = lexer.position();
            draft.push(Part::skipped(first, end, Role::Trivia), &mut lexer);
            continue;
        }
        let mut part = classify(&mut draft, &mut settings, clause, end)?;
        if conditional {
            // A server that skips the comment would leave nothing to find.
            part.probe = None;
        }
        let behind = lexer.position();
        if behind > end && part.role == Role::Sent {
            draft.parts.push(part);
            part = Part::skipped(end, behind, Role::Dropped);
        } else {
            part.end = behind;
        }
        draft.push(part, &mut lexer);
    }
    draft.push_rest();
    strip_pairs(&mut draft)?;
    draft.finish(Mode::Statements, None)
}

/// Collects the significant tokens of the next statement; its semicolon is included, any other delimiter is not.
fn next<'a>(draft: &mut Draft<'a>, lexer: &mut Lexer<'a>, tokens: &mut Vec<Token>) -> Result<Piece, SplitError> {
    tokens.clear();
    let mut compound = Compound::new();
    let mut conditional = false;
    let mut ended: Option<usize> = None;
    let mut significant_end = lexer.position();
    while let Some(token) = lexer.next().map_err(|e| draft.refuse_lex(e))? {
        match token.lexeme {
            Lexeme::Space => continue,
            Lexeme::Comment => {
                if draft.text[token.start..token.end].starts_with("/*M!") {
                    draft.warn(token.start, "this comment runs on MariaDB");
                }
                continue;
            }
            Lexeme::Open => {
                conditional = true;
                draft.warn(token.start, "this comment is executable: whether it runs depends on the server's version");
                significant_end = token.end;
                continue;
            }
            Lexeme::Close => {
                significant_end = token.end;
                continue;
            }
            Lexeme::Delimiter | Lexeme::Mark(b';') if lexer.in_conditional() && !compound.open() => {
                return Err(SplitError::Conditional {
                    line: draft.line(token.start),
                    why: "holds the end of a statement",
                });
            }
            Lexeme::Delimiter => {
                refuse_open(draft, &compound, tokens)?;
                return Ok(Piece::Statement { end: significant_end, conditional });
            }
            _ => {}
        }
        if let Some(found) = foreign::on_sight(draft.flavour, draft.text, tokens.last().copied(), token) {
            return Err(draft.refuse(found));
        }
        if tokens.is_empty() && draft.text[token.start..].starts_with("--") {
            // At the start of a statement the client takes any `--` for a comment, the server does not: `--> breakpoint`.
            let end = draft.text[token.start..].find('\n').map_or(draft.text.len(), |found| token.start + found + 1);
            lexer.skip_to(end);
            draft.parts.push(Part::skipped(token.start, end, Role::Dropped));
            return Ok(Piece::Command);
        }
        if tokens.is_empty() && token.lexeme == Lexeme::Word {
            let word = &draft.text[token.start..token.end];
            if word.eq_ignore_ascii_case("DELIMITER") {
                return delimiter(draft, lexer, token);
            }
            if CLIENT.iter().any(|command| word.eq_ignore_ascii_case(command)) {
                return Err(draft.refuse(foreign::client(draft.text, token.start)));
            }
        }
        significant_end = token.end;
        if token.lexeme == Lexeme::Mark(b';') {
            if compound.open() {
                compound.semicolon();
            } else if lexer.delimiter().is_none() {
                tokens.push(token);
                return Ok(Piece::Statement { end: token.end, conditional });
            } else {
                ended.get_or_insert(token.end);
            }
        } else {
            if let Some(end) = ended {
                if draft.text[token.start..token.end].eq_ignore_ascii_case("DELIMITER") {
                    // A semicolon has ended it, and the delimiter it was meant to have is given up.
                    lexer.skip_to(token.start);
                    return Ok(Piece::Statement { end, conditional });
                }
                return Err(SplitError::SecondStatement { line: draft.line(token.start) });
            }
            compound.feed(draft.text, token);
        }
        tokens.push(token);
    }
    refuse_open(draft, &compound, tokens)?;
    if tokens.is_empty() && !conditional {
        return Ok(Piece::Rest);
    }
    if lexer.delimiter().is_some() && !tokens.is_empty() {
        // The client sends it at the end of its input, but a forgotten delimiter is more likely a cut file.
        draft.warn(tokens[0].start, "the last statement has no delimiter");
    }
    Ok(Piece::Statement { end: significant_end, conditional })
}

fn refuse_open(draft: &mut Draft<'_>, compound: &Compound, tokens: &[Token]) -> Result<(), SplitError> {
    match tokens.first() {
        Some(first) if compound.open() => {
            Err(SplitError::Unterminated { line: draft.line(first.start), what: "block of statements" })
        }
        _ => Ok(()),
    }
}

/// Commands of the `mysql` and `mariadb` clients; none of them begins a statement of the server.
const CLIENT: [&str; 23] = [
    "SOURCE",
    "SYSTEM",
    "CONNECT",
    "CHARSET",
    "CLEAR",
    "EDIT",
    "EGO",
    "EXIT",
    "GO",
    "NOPAGER",
    "NOTEE",
    "NOWARNING",
    "PAGER",
    "PRINT",
    "PROMPT",
    "QUIT",
    "REHASH",
    "RESETCONNECTION",
    "SANDBOX",
    "STATUS",
    "TEE",
    "WARNINGS",
    "QUERY_ATTRIBUTES",
];

/// `DELIMITER x`: up to the end of its line.
fn delimiter<'a>(draft: &mut Draft<'a>, lexer: &mut Lexer<'a>, token: Token) -> Result<Piece, SplitError> {
    let text = draft.text;
    let line_end = text[token.end..].find('\n').map_or(text.len(), |found| token.end + found + 1);
    let argument = text[token.end..line_end].split_whitespace().next().unwrap_or_default();
    let why = if lexer.in_conditional() {
        Some("stands in an executable comment")
    } else if argument.is_empty() || !text[token.end..].starts_with([' ', '\t']) {
        Some("names no delimiter")
    } else if argument.len() > 16 || argument.contains(|c: char| !c.is_ascii_graphic() || "\\'\"`".contains(c)) {
        Some("names a delimiter that could stand in other places too")
    } else {
        None
    };
    if let Some(why) = why {
        return Err(SplitError::Delimiter { line: draft.line(token.start), why });
    }
    lexer.set_delimiter(argument);
    lexer.skip_to(line_end);
    draft.parts.push(Part::skipped(token.start, line_end, Role::Dropped));
    Ok(Piece::Command)
}

/// Takes `BEGIN` and `COMMIT` out: each statement is committed with the record that it ran.
fn strip_pairs(draft: &mut Draft<'_>) -> Result<(), SplitError> {
    let mut open: Option<usize> = None;
    let mut changes = 0;
    for index in 0..draft.parts.len() {
        let Part { first, role, kind, .. } = draft.parts[index];
        match role {
            Role::Begin if open.is_some() => {
                return Err(draft.transaction(first, "BEGIN", "begins a transaction inside another one"));
            }
            Role::Begin => (open, changes) = (Some(first), 0),
            Role::Commit => {
                let Some(begin) = open.take() else {
                    return Err(draft.transaction(first, "COMMIT", "ends a transaction that the script has not begun"));
                };
                let split = if changes > 1 { "; others can see the data between two of its changes" } else { "" };
                draft.warn(
                    begin,
                    format!("BEGIN and COMMIT are not sent: each statement is committed on its own{split}"),
                );
            }
            Role::Sent if kind == Kind::Dml => changes += 1,
            _ => {}
        }
    }
    match open {
        Some(first) => Err(draft.transaction(first, "BEGIN", "begins a transaction that the script never commits")),
        None => Ok(()),
    }
}

fn classify(
    draft: &mut Draft<'_>,
    settings: &mut Settings,
    clause: Clause<'_>,
    end: usize,
) -> Result<Part, SplitError> {
    let at = clause.offset();
    if let Some(role) = control(draft, clause)? {
        return Ok(Part::skipped(at, end, role));
    }
    refuse_locks(draft, clause)?;
    let kind = if clause.at("SET") { set(draft, settings, clause)? } else { kind(clause) };
    if let Some(what) = volatile(clause) {
        draft.volatile.push((at, what));
    }
    settings.forget_assigned(draft, clause);
    let mut part = Part::sent(at, end, kind);
    part.probe = probe(clause);
    Ok(part)
}

/// Transaction commands: pairs are taken out, everything else is refused.
fn control(draft: &mut Draft<'_>, mut clause: Clause<'_>) -> Result<Option<Role>, SplitError> {
    let at = clause.offset();
    let begin = (clause.at("BEGIN") && !clause.at("BEGIN NOT")) || clause.at("START TRANSACTION");
    if begin || clause.at("COMMIT") {
        let _ = clause.eat("START");
        clause.skip();
        clause.eat_all(&["WORK", "AND NO CHAIN", "NO RELEASE"]);
        let found = if begin { "BEGIN" } else { "COMMIT" };
        return match (clause.done(), begin) {
            (true, true) => Ok(Some(Role::Begin)),
            (true, false) => Ok(Some(Role::Commit)),
            (false, _) => Err(draft.transaction(at, found, "has options that cannot hold statement by statement")),
        };
    }
    for (words, found) in [
        ("ROLLBACK", "ROLLBACK"),
        ("SAVEPOINT", "SAVEPOINT"),
        ("RELEASE", "RELEASE SAVEPOINT"),
        ("XA", "XA"),
        ("SET TRANSACTION", "SET TRANSACTION"),
        ("SET SESSION TRANSACTION", "SET TRANSACTION"),
        ("SET LOCAL TRANSACTION", "SET TRANSACTION"),
    ] {
        if clause.at(words) {
            return Err(draft.transaction(at, found, "cannot hold in a script that runs statement by statement"));
        }
    }
    Ok(None)
}

/// What would give away the runner's lock or lock out its history.
fn refuse_locks(draft: &mut Draft<'_>, clause: Clause<'_>) -> Result<(), SplitError> {
    let at = clause.offset();
    if clause.at_any(&["LOCK", "UNLOCK"]) || (clause.at("FLUSH") && clause.has_pair("READ", "LOCK")) {
        let found = if clause.at("UNLOCK") { "UNLOCK TABLES" } else { "LOCK TABLES" };
        let why = "keeps the runner from writing its history";
        return Err(draft.forbidden(at, found, why, "drop the line (`mysqldump --skip-add-locks` writes none)"));
    }
    let stored = clause.at("CREATE") || clause.at("ALTER");
    for token in clause.tokens().iter().filter(|token| !stored && token.lexeme == Lexeme::Word) {
        let word = clause.of(*token);
        if ["RELEASE_LOCK", "RELEASE_ALL_LOCKS"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            let hint = "drop the call: the runner keeps everybody else out while it works";
            return Err(draft.forbidden(token.start, "RELEASE_LOCK", "could give up the runner's lock", hint));
        }
    }
    Ok(())
}

/// `SET`: constant assignments to the session are replayed, everything else is not.
fn set(draft: &mut Draft<'_>, settings: &mut Settings, mut clause: Clause<'_>) -> Result<Kind, SplitError> {
    let at = clause.offset();
    clause.eat("SET");
    if clause.at("PASSWORD") || clause.at("DEFAULT ROLE") {
        return Ok(Kind::Ddl);
    }
    if clause.at("ROLE") {
        return Err(draft.forbidden(at, "SET ROLE", "changes who the session is", RUNNER_OWNS));
    }
    if clause.at("RESOURCE GROUP") {
        return Ok(Kind::Opaque);
    }
    if clause.eat("STATEMENT") {
        // MariaDB: SET STATEMENT name = value FOR statement.
        while !clause.at("FOR") && clause.skip().is_some() {}
        clause.eat("FOR");
        if control(draft, clause)?.is_some() {
            return Err(draft.transaction(at, "SET STATEMENT", "hides a transaction command"));
        }
        refuse_locks(draft, clause)?;
        return if clause.at("SET") { set(draft, settings, clause) } else { Ok(kind(clause)) };
    }
    let mut kind = Kind::Session;
    for assignment in clause.parts() {
        let found = settings.assign(assignment);
        if let Some(fault) = found.fault {
            return Err(refuse_assignment(draft, at, fault));
        }
        if found.server && kind == Kind::Session {
            kind = Kind::Opaque;
        }
        if !found.constant {
            draft.volatile.push((at, "a variable set from data"));
            kind = Kind::Dml;
        }
    }
    Ok(kind)
}

const DDL: [&str; 22] = [
    "CREATE",
    "ALTER",
    "DROP",
    "RENAME",
    "TRUNCATE",
    "GRANT",
    "REVOKE",
    "ANALYZE",
    "OPTIMIZE",
    "REPAIR",
    "CHECK",
    "CACHE",
    "FLUSH",
    "RESET",
    "INSTALL",
    "UNINSTALL",
    "IMPORT",
    "PURGE",
    "CHECKSUM",
    "COMMENT",
    "UPGRADE",
    "BACKUP",
];
const DML: [&str; 14] = [
    "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "REPLACE", "SHOW", "EXPLAIN", "DESCRIBE",
    "DESC", "LOAD", "HELP",
];

fn kind(clause: Clause<'_>) -> Kind {
    if clause.at("USE") {
        Kind::Session
    } else if clause.at("LOAD INDEX") || clause.at_any(&DDL) {
        Kind::Ddl
    } else if clause.at_mark(b'(') || clause.at_any(&DML) {
        Kind::Dml
    } else {
        Kind::Opaque
    }
}

/// State that lives in the session and cannot be made again from the script's settings alone.
fn volatile(mut clause: Clause<'_>) -> Option<&'static str> {
    if clause.at_any(&["PREPARE", "EXECUTE", "DEALLOCATE"]) {
        return Some("a prepared statement");
    }
    if clause.at("HANDLER") {
        return Some("a table handler");
    }
    if clause.eat("CREATE") {
        clause.eat("OR REPLACE");
        return clause.at("TEMPORARY").then_some("a temporary table");
    }
    None
}

/// What to look up after a crash, where presence alone tells. `IF [NOT] EXISTS` and `OR REPLACE` prove nothing.
fn probe(mut clause: Clause<'_>) -> Option<Probe> {
    if clause.eat("CREATE") {
        if clause.eat("DEFINER") {
            // user@host, in any quotes.
            while !clause.at_any(&["PROCEDURE", "FUNCTION", "TRIGGER", "VIEW", "SQL", "EVENT"])
                && clause.skip().is_some()
            {}
        }
        if clause.eat("ALGORITHM") {
            clause.eat_mark(b'=');
            clause.skip();
            if clause.at("DEFINER") {
                return None;
            }
        }
        if clause.eat("SQL SECURITY") {
            clause.skip();
        }
        clause.eat_all(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        let object = object(&mut clause)?;
        if clause.at("IF NOT EXISTS") {
            return None;
        }
        let probe = clause.probe(Expect::Present, object)?;
        if !matches!(object, Object::Index | Object::Trigger) {
            return Some(probe);
        }
        while !clause.at("ON") && clause.skip().is_some() {}
        return clause.on_table(probe);
    }
    if clause.eat("DROP") {
        let object = object(&mut clause)?;
        if clause.at("IF EXISTS") {
            return None;
        }
        let probe = clause.probe(Expect::Absent, object)?;
        if object == Object::Index {
            return clause.on_table(probe);
        }
        clause.eat_all(&["CASCADE", "RESTRICT"]);
        return clause.done().then_some(probe);
    }
    if clause.eat("ALTER TABLE") {
        if clause.at("IF EXISTS") {
            return None;
        }
        let table = clause.name()?;
        return index_probe(clause, &table).or_else(|| clause.column_probe(table));
    }
    None
}

fn object(clause: &mut Clause<'_>) -> Option<Object> {
    let known = [
        ("TABLE", Object::Table),
        ("VIEW", Object::View),
        ("INDEX", Object::Index),
        ("TRIGGER", Object::Trigger),
        ("PROCEDURE", Object::Routine),
        ("FUNCTION", Object::Routine),
    ];
    known.into_iter().find(|(word, _)| clause.eat(word)).map(|(_, object)| object)
}

/// `ALTER TABLE .. ADD INDEX name` or `DROP INDEX name` as the only action.
fn index_probe(mut clause: Clause<'_>, table: &[String]) -> Option<Probe> {
    if clause.parts().len() > 1 {
        return None;
    }
    let expect = if clause.eat("ADD") {
        clause.eat_all(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        Expect::Present
    } else if clause.eat("DROP") {
        Expect::Absent
    } else {
        return None;
    };
    if !(clause.eat("INDEX") || clause.eat("KEY")) || clause.at("IF") || clause.at("USING") {
        return None;
    }
    let mut probe = clause.probe(expect, Object::Index)?;
    probe.table = table.to_vec();
    Some(probe)
}
