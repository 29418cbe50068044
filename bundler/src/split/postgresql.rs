//! PostgreSQL: statements end at semicolons outside quotes, parentheses and SQL-standard bodies.
//!
//! Two readers must agree: the lexer cuts, then `squawk`'s grammar must see exactly one statement in each piece. The grammar
//! reads piece by piece, so its time and memory grow with the largest statement and not with the file; it recurses, so it
//! runs on a thread with a large stack and gets nothing that nests too deeply. PL/pgSQL bodies are not judged here.

mod effect;

use sealift_spec::manifest::{Flavour, Kind, Mode};
use squawk_syntax::SourceFile;

use super::clause::Clause;
use super::lex::{Lexeme, Lexer, Token};
use super::{Draft, Part, Request, Role, SplitError, View, foreign};

/// Stack for the grammar.
const STACK: usize = 256 * 1024 * 1024;
/// The deepest nesting the grammar is given, counted in tokens that one another could enclose.
const DEPTH: usize = 5_000;

const RUNNER_OWNS: &str = "let the runner do it: identity, transaction and lock of the session are its own";

pub(super) fn view(draft: Draft<'_>, request: Request) -> Result<View, SplitError> {
    let line = draft.text.lines().count().max(1);
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(draft, request));
        match reader.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            // A panic of the grammar (or no memory for its stack): nothing was decided, so nothing is packed.
            Ok(Err(_)) | Err(_) => Err(SplitError::ParserFault { line }),
        }
    })
}

fn read(mut draft: Draft<'_>, request: Request) -> Result<View, SplitError> {
    let text = draft.text;
    let mut lexer = Lexer::new(Flavour::Postgresql, text, 0);
    let mut tokens = Vec::new();
    let mut types: Vec<Vec<String>> = Vec::new();
    let mut labels: Vec<Token> = Vec::new();
    let mut used: Option<usize> = None;
    while next(&mut draft, &mut lexer, &mut tokens)? {
        let clause = Clause::new(Flavour::Postgresql, text, &tokens);
        let first = clause.offset();
        let end = tokens.last().map_or(first, |token| token.end);
        if clause.done() {
            draft.push(Part::skipped(first, end, Role::Trivia), &mut lexer);
            continue;
        }
        if copies_from_stdin(clause) {
            return Err(SplitError::CopyData { line: draft.line(first) });
        }
        parse(&mut draft, &tokens)?;
        let part = classify(&mut draft, clause, end)?;
        types.extend(new_type(clause));
        match new_label(clause) {
            // A type made in the same transaction may use its labels at once.
            Some((name, label)) if !types.contains(&name) => labels.push(label),
            Some(_) => {}
            None if used.is_none() => {
                let used_here = |label: &&Token| uses(clause, &text[label.start..label.end]);
                used = labels.iter().find(used_here).map(|label| label.start);
            }
            None => {}
        }
        draft.push(part, &mut lexer);
    }
    draft.push_rest();
    finish(draft, request, used)
}

fn finish(mut draft: Draft<'_>, request: Request, used: Option<usize>) -> Result<View, SplitError> {
    let paired = draft.controls().next().is_some();
    if let Some((at, name)) = draft.alone
        && !request.no_transaction
    {
        draft.warn(at, format!("{name} cannot run in a transaction: the script runs statement by statement"));
    }
    let mode = if request.no_transaction || draft.alone.is_some() {
        draft.refuse_controls()?;
        Mode::Statements
    } else if let Some(at) = used.filter(|_| !paired) {
        draft.refuse_controls()?;
        draft.warn(at, "an enum label is added and used by the same script: the script runs statement by statement");
        Mode::Statements
    } else {
        draft.strip_outer_pair()?;
        Mode::Transaction
    };
    draft.finish(mode, None)
}

/// Collects the significant tokens of the next statement, its semicolon included. False when only trivia is left.
fn next(draft: &mut Draft<'_>, lexer: &mut Lexer<'_>, tokens: &mut Vec<Token>) -> Result<bool, SplitError> {
    tokens.clear();
    let (mut parens, mut body) = (0_usize, Body::default());
    while let Some(token) = lexer.next().map_err(|e| draft.refuse_lex(e))? {
        match token.lexeme {
            Lexeme::Space | Lexeme::Comment => continue,
            Lexeme::Mark(b'(') => parens += 1,
            Lexeme::Mark(b')') => parens = parens.saturating_sub(1),
            _ => {}
        }
        if let Some(found) = foreign::on_sight(Flavour::Postgresql, draft.text, tokens.last().copied(), token) {
            return Err(draft.refuse(found));
        }
        tokens.push(token);
        body.feed(draft.text, tokens);
        if token.lexeme == Lexeme::Mark(b';') && parens == 0 && body.depth == 0 {
            return Ok(true);
        }
    }
    Ok(!tokens.is_empty())
}

/// `BEGIN ATOMIC .. END` of SQL-standard routines, the only place where semicolons stand inside a statement unquoted.
#[derive(Default)]
struct Body {
    routine: bool,
    depth: usize,
}

impl Body {
    fn feed(&mut self, text: &str, tokens: &[Token]) {
        let word = |back: usize| {
            let token = tokens.len().checked_sub(back).map(|index| tokens[index])?;
            (token.lexeme == Lexeme::Word).then(|| &text[token.start..token.end])
        };
        let Some(last) = word(1) else { return };
        let is = |keyword: &str| last.eq_ignore_ascii_case(keyword);
        if tokens.len() <= 4 && (is("FUNCTION") || is("PROCEDURE")) {
            self.routine = word(tokens.len()).is_some_and(|first| first.eq_ignore_ascii_case("CREATE"));
        }
        if !self.routine {
            return;
        }
        if self.depth == 0 {
            if is("ATOMIC") && word(2).is_some_and(|before| before.eq_ignore_ascii_case("BEGIN")) {
                self.depth = 1;
            }
        } else if is("CASE") {
            self.depth += 1;
        } else if is("END") {
            self.depth -= 1;
        }
    }
}

/// An upper bound of how deeply a statement can nest: tokens that no comma separates may all enclose each other.
fn nesting(tokens: &[Token]) -> usize {
    let (mut open, mut sum, mut most) = (vec![0_usize], 0_usize, 0);
    for token in tokens {
        match token.lexeme {
            Lexeme::Mark(b')' | b']') => {
                if open.len() > 1 {
                    sum -= open.pop().unwrap_or(0);
                }
            }
            Lexeme::Mark(b',' | b';') => sum -= open.last_mut().map_or(0, std::mem::take),
            _ => {
                sum += 1;
                if let Some(last) = open.last_mut() {
                    *last += 1;
                }
                if matches!(token.lexeme, Lexeme::Mark(b'(' | b'[')) {
                    open.push(0);
                }
            }
        }
        most = most.max(sum);
    }
    most
}

/// The deepest nesting in the bodies a statement quotes: `squawk` reads those of SQL routines too.
fn quoted_nesting(text: &str, tokens: &[Token]) -> usize {
    let bodies = tokens.iter().filter(|token| token.lexeme == Lexeme::Text);
    bodies
        .map(|token| {
            let inner =
                text[token.start..token.end].trim_matches(|c: char| c.is_ascii_alphanumeric() || c == '$' || c == '\'');
            let mut lexer = Lexer::new(Flavour::Postgresql, inner, 0);
            let mut found = Vec::new();
            while let Ok(Some(token)) = lexer.next() {
                if !matches!(token.lexeme, Lexeme::Space | Lexeme::Comment) {
                    found.push(token);
                }
            }
            nesting(&found)
        })
        .max()
        .unwrap_or(0)
}

/// The second reader.
fn parse(draft: &mut Draft<'_>, tokens: &[Token]) -> Result<(), SplitError> {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Ok(()) };
    let (start, text) = (first.start, draft.text);
    let piece = &text[start..last.end];
    let clause = Clause::new(Flavour::Postgresql, text, tokens);
    if clause.at("SET NAMES") && tokens.len() <= 4 {
        // Valid, and judged as a setting; the grammar does not know it.
        return Ok(());
    }
    let sql = |token: &Token| clause.of(*token).trim_matches('\'').eq_ignore_ascii_case("sql");
    let routine = clause.at("CREATE") && tokens.iter().any(sql);
    if nesting(tokens) > DEPTH || (routine && quoted_nesting(text, tokens) > DEPTH) {
        return Err(SplitError::TooDeep { line: draft.line(start) });
    }
    let parse = SourceFile::parse(piece);
    let errors = parse.errors();
    let error = errors.first().map(|error| (usize::from(error.range().start()), error.message().to_owned()));
    let (at, message) = match error {
        Some(found) => found,
        None if parse.tree().stmts().count() == 1 => return Ok(()),
        None => (0, "not exactly one statement".to_owned()),
    };
    if let Some(found) = foreign::suspect(text, tokens) {
        return Err(draft.refuse(found));
    }
    let at = (start + at).min(text.len());
    let line_start = text.as_bytes()[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |found| found + 1);
    let column = 1 + text.get(line_start..at).map_or(0, |before| before.chars().count());
    Err(SplitError::Syntax { line: draft.line(at), column, message })
}

fn copies_from_stdin(mut clause: Clause<'_>) -> bool {
    clause.eat("COPY") && clause.has_pair("FROM", "STDIN")
}

/// The enum that `CREATE TYPE` makes.
fn new_type(mut clause: Clause<'_>) -> Option<Vec<String>> {
    if clause.eat("CREATE TYPE") { clause.name() } else { None }
}

/// The enum that `ALTER TYPE .. ADD VALUE` extends, and the label.
fn new_label(mut clause: Clause<'_>) -> Option<(Vec<String>, Token)> {
    if !clause.eat("ALTER TYPE") {
        return None;
    }
    let name = clause.name()?;
    if !clause.eat("ADD VALUE") {
        return None;
    }
    clause.eat("IF NOT EXISTS");
    Some((name, *clause.tokens().first()?))
}

/// Whether a statement speaks of a label, itself or in a body that is read at once. Bodies of functions in PL/pgSQL are
/// read when they are called.
fn uses(clause: Clause<'_>, literal: &str) -> bool {
    let later = clause.at("CREATE") && clause.has("LANGUAGE") && {
        let plain = |token: &Token| clause.of(*token).trim_matches('\'').eq_ignore_ascii_case("plpgsql");
        clause.tokens().iter().any(plain)
    };
    clause.tokens().iter().filter(|token| token.lexeme == Lexeme::Text).any(|token| {
        let text = clause.of(*token);
        text == literal || (!later && text.starts_with('$') && text.contains(literal))
    })
}

fn classify(draft: &mut Draft<'_>, clause: Clause<'_>, end: usize) -> Result<Part, SplitError> {
    let at = clause.offset();
    if let Some(role) = control(draft, clause)? {
        return Ok(match role {
            Role::Sent => Part::sent(at, end, Kind::Session),
            _ => Part::skipped(at, end, role),
        });
    }
    refuse_session(draft, clause)?;
    refuse_calls(draft, clause)?;
    if let Some(what) = effect::volatile(clause) {
        draft.volatile.push((at, what));
    }
    let mut part = Part::sent(at, end, effect::kind(clause));
    if let Some(name) = effect::alone(clause) {
        part.kind = Kind::Concurrent;
        draft.alone.get_or_insert((at, name));
    }
    part.lock = effect::lock(clause);
    effect::probe(draft, clause, &mut part)?;
    Ok(part)
}

/// Transaction commands: the outer pair, savepoints (sent), everything else refused.
fn control(draft: &mut Draft<'_>, mut clause: Clause<'_>) -> Result<Option<Role>, SplitError> {
    let at = clause.offset();
    let begin = clause.eat("BEGIN") || clause.eat("START TRANSACTION");
    if begin || clause.eat("COMMIT") || clause.eat("END") {
        clause.eat_all(&["WORK", "TRANSACTION"]);
        clause.eat("AND NO CHAIN");
        let found = if begin { "BEGIN" } else { "COMMIT" };
        return match (clause.done(), begin) {
            (true, true) => Ok(Some(Role::Begin)),
            (true, false) => Ok(Some(Role::Commit)),
            (false, _) => {
                Err(draft.transaction(at, found, "has options that the runner's own transaction would not have"))
            }
        };
    }
    let to = |clause: &mut Clause<'_>| {
        clause.eat("SAVEPOINT");
        clause.name().map(|name| name.join("."))
    };
    let savepoint = clause.eat("SAVEPOINT");
    if savepoint || clause.eat("RELEASE") {
        let command = if savepoint { "SAVEPOINT" } else { "RELEASE" };
        let name = to(&mut clause);
        return draft.savepoint(at, command, name).map(|()| Some(Role::Sent));
    }
    if clause.eat("ROLLBACK") || clause.eat("ABORT") {
        clause.eat_all(&["WORK", "TRANSACTION"]);
        if clause.eat("TO") {
            let name = to(&mut clause);
            return draft.savepoint(at, "ROLLBACK TO", name).map(|()| Some(Role::Sent));
        }
        return Err(draft.transaction(at, "ROLLBACK", "would undo the runner's transaction"));
    }
    if clause.at("PREPARE TRANSACTION") {
        return Err(draft.transaction(at, "PREPARE TRANSACTION", "would take the transaction away from the runner"));
    }
    if clause.at("SET TRANSACTION") || clause.at("SET SESSION CHARACTERISTICS") {
        return Err(draft.transaction(at, "SET TRANSACTION", "would change the runner's transactions"));
    }
    Ok(None)
}

/// Settings that say who the session is, which triggers fire, or how bytes and quotes are read.
fn refuse_setting(draft: &mut Draft<'_>, at: usize, name: &str, value: Option<&str>) -> Result<(), SplitError> {
    let is = |expected: &[&str]| value.is_some_and(|value| expected.iter().any(|e| value.eq_ignore_ascii_case(e)));
    match name {
        "role" => Err(draft.forbidden(at, "SET ROLE", "changes who the session is", RUNNER_OWNS)),
        "session_authorization" => {
            Err(draft.forbidden(at, "SET SESSION AUTHORIZATION", "changes who the session is", RUNNER_OWNS))
        }
        "session_replication_role" => Err(draft.forbidden(
            at,
            "session_replication_role",
            "switches off triggers and foreign keys, those that guard the history too",
            "disable the one trigger that is in the way, or load rows in an order that satisfies it",
        )),
        "standard_conforming_strings" if !is(&["on", "true", "yes", "1", "default"]) => Err(draft.forbidden(
            at,
            "standard_conforming_strings",
            "changes how quotes are read, so what was reviewed is not what runs",
            "write backslash escapes in E'..' strings",
        )),
        "client_encoding" | "names" if !is(&["utf8", "utf-8", "unicode", "default"]) => Err(draft.forbidden(
            at,
            "client_encoding",
            "changes how bytes are read, so what was reviewed is not what runs",
            "save the file as UTF-8 and drop the setting",
        )),
        _ => Ok(()),
    }
}

fn refuse_session(draft: &mut Draft<'_>, mut clause: Clause<'_>) -> Result<(), SplitError> {
    let at = clause.offset();
    if clause.at("DISCARD") {
        return Err(draft.forbidden(at, "DISCARD", "would give up the runner's lock and settings", RUNNER_OWNS));
    }
    let reset = clause.eat("RESET");
    if reset && clause.at("ALL") {
        return Err(draft.forbidden(at, "RESET ALL", "would give up the runner's settings", RUNNER_OWNS));
    }
    if reset || clause.eat("SET") {
        if !clause.at("SESSION AUTHORIZATION") {
            clause.eat_all(&["SESSION", "LOCAL"]);
        }
        if clause.eat("SESSION AUTHORIZATION") {
            return refuse_setting(draft, at, "session_authorization", None);
        }
        let Some(name) = clause.name() else { return Ok(()) };
        let _ = clause.eat_mark(b'=') || clause.eat("TO");
        let word = clause.tokens().first().map(|token| clause.of(*token).trim_matches('\''));
        let value = if reset { Some("default") } else { word };
        return refuse_setting(draft, at, &name.join(".").to_ascii_lowercase(), value);
    }
    Ok(())
}

const HIDDEN: &str = "names its setting by an expression, so nobody can see which one";

/// Functions that give away the lock or reach settings by another door. Bodies of routines are judged when they run.
fn refuse_calls(draft: &mut Draft<'_>, clause: Clause<'_>) -> Result<(), SplitError> {
    if clause.at("CREATE") || clause.at("COMMENT") {
        return Ok(());
    }
    let names = ["pg_advisory_unlock", "session_replication_role"];
    let runs_text = clause.at("DO");
    for (index, token) in clause.tokens().iter().enumerate() {
        let text = clause.of(*token);
        let holds = |needle: &str| text.len() >= needle.len() && text.to_ascii_lowercase().contains(needle);
        match token.lexeme {
            Lexeme::Word | Lexeme::Quoted if holds(names[0]) => return Err(unlock(draft, token.start)),
            Lexeme::Text if runs_text && holds(names[0]) => return Err(unlock(draft, token.start)),
            Lexeme::Text if runs_text && holds(names[1]) => refuse_setting(draft, token.start, names[1], None)?,
            // The view is another door to `set_config`.
            Lexeme::Word | Lexeme::Quoted
                if clause.at("UPDATE") && text.trim_matches('"').eq_ignore_ascii_case("pg_settings") =>
            {
                return Err(draft.forbidden(token.start, "UPDATE pg_settings", HIDDEN, "write a SET statement"));
            }
            Lexeme::Word | Lexeme::Quoted if text.trim_matches('"').eq_ignore_ascii_case("set_config") => {
                let mut call = Clause::new(Flavour::Postgresql, draft.text, &clause.tokens()[index + 1..]);
                if call.eat_mark(b'(') {
                    let name = call.literal().filter(|_| call.eat_mark(b','));
                    let value = call.literal().filter(|_| call.at_mark(b','));
                    let Some(name) = name else {
                        return Err(draft.forbidden(
                            token.start,
                            "set_config",
                            HIDDEN,
                            "name the setting in a literal",
                        ));
                    };
                    refuse_setting(draft, token.start, &name.to_ascii_lowercase(), value)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn unlock(draft: &mut Draft<'_>, at: usize) -> SplitError {
    let hint = "take `pg_advisory_xact_lock`, which ends with the transaction";
    draft.forbidden(at, "pg_advisory_unlock", "could give up the runner's lock", hint)
}
