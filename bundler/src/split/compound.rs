//! MySQL and MariaDB: whether a semicolon ends a statement or stands inside the body of a stored program.
//!
//! Bodies come in two styles: behind a `DELIMITER` command, and bare, as drivers send them. Both need to know which `BEGIN`,
//! `IF` or `CASE` opens a block: `IF(..)` and `REPEAT(..)` are functions too, `END` and `BEGIN` are names too, `CASE` is an
//! expression too. So this follows where a statement of a body starts; only there do these words open or close blocks.

use super::lex::{Lexeme, Token};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// `PROCEDURE` or `FUNCTION`: the body follows the parameter list and the characteristics.
    Routine,
    /// The body follows `FOR EACH ROW`.
    Trigger,
    /// The body follows `DO`.
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing seen yet.
    Lead,
    /// `BEGIN` at the start: a transaction, unless `NOT ATOMIC` follows.
    Begin,
    /// After `CREATE`, before the kind of object.
    Create,
    Header(Header),
    /// After `FOR EACH ROW`: so many tokens of `FOLLOWS other` are still to come.
    Row(u8),
    /// A statement of a body starts here.
    Start,
    /// Inside a statement; how many tokens of it were seen, up to two.
    Plain(u8),
    /// Inside a condition that ends at this keyword.
    Condition(&'static str),
    /// In `DECLARE ..`.
    Declare,
    /// In `DECLARE .. HANDLER`, before `FOR`.
    Handler,
    /// In the list of conditions of a handler; whether another one must come.
    HandlerFor(bool),
    /// After `END`: its keyword, a label, or the semicolon.
    End,
}

/// Follows the tokens of one statement.
#[derive(Debug)]
pub(super) struct Compound {
    state: State,
    /// Open blocks. Which ones they are does not matter: the server checks that `END IF` closes an `IF`.
    blocks: usize,
    parens: usize,
    cases: usize,
    /// A routine's parameter list is behind us.
    parameters: bool,
    /// The word before, upper case, as far as it is asked for.
    before: Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Dot,
    Not,
    Returns,
    Character,
    Each,
    Other,
}

impl Compound {
    pub(super) fn new() -> Self {
        Self { state: State::Lead, blocks: 0, parens: 0, cases: 0, parameters: false, before: Before::Other }
    }

    /// Whether a block is open.
    pub(super) fn open(&self) -> bool {
        self.blocks > 0
    }

    /// A semicolon inside a block: the next statement of the body starts.
    pub(super) fn semicolon(&mut self) {
        (self.state, self.parens, self.cases) = (State::Start, 0, 0);
    }

    pub(super) fn feed(&mut self, text: &str, token: Token) {
        match token.lexeme {
            Lexeme::Mark(b'(') => self.parens += 1,
            Lexeme::Mark(b')') => {
                self.parens = self.parens.saturating_sub(1);
                self.parameters |= self.parens == 0;
            }
            _ => {}
        }
        let word = if token.lexeme == Lexeme::Word && self.before != Before::Dot {
            text[token.start..token.end].to_ascii_uppercase()
        } else {
            String::new()
        };
        self.step(&word, token);
        self.before = match (token.lexeme, word.as_str()) {
            (Lexeme::Mark(b'.'), _) => Before::Dot,
            (_, "NOT") => Before::Not,
            (_, "RETURNS") => Before::Returns,
            (_, "CHARACTER" | "CHAR") => Before::Character,
            (_, "EACH") => Before::Each,
            _ => Before::Other,
        };
    }

    fn step(&mut self, word: &str, token: Token) {
        match self.state {
            State::Lead => match word {
                "CREATE" => self.state = State::Create,
                "BEGIN" => self.state = State::Begin,
                // MariaDB takes these outside stored programs too.
                "IF" | "CASE" | "LOOP" | "REPEAT" | "WHILE" | "FOR" => self.start(word),
                _ => self.state = State::Plain(1),
            },
            State::Begin if word == "NOT" => {
                self.blocks += 1;
                self.state = State::Start;
            }
            State::Begin => self.state = State::Plain(2),
            State::Create => match word {
                "PROCEDURE" | "FUNCTION" => self.state = State::Header(Header::Routine),
                "TRIGGER" => self.state = State::Header(Header::Trigger),
                "EVENT" => self.state = State::Header(Header::Event),
                "TABLE" | "VIEW" | "INDEX" | "DATABASE" | "SCHEMA" | "USER" | "ROLE" | "SERVER" | "SEQUENCE" => {
                    self.state = State::Plain(2);
                }
                _ => {}
            },
            State::Header(header) => self.header(header, word),
            State::Row(more) if more > 0 => self.state = State::Row(more - 1),
            State::Row(_) if matches!(word, "FOLLOWS" | "PRECEDES") => self.state = State::Row(1),
            State::Row(_) | State::Start => self.start(word),
            State::Plain(1) if token.lexeme == Lexeme::Mark(b':') && self.blocks > 0 => self.state = State::Start,
            State::Plain(_) => {
                self.state = State::Plain(2);
                self.case(word);
            }
            State::Condition(keyword) => {
                if word == keyword && self.cases == 0 && self.parens == 0 {
                    match keyword {
                        "END" => self.close(),
                        _ => self.state = State::Start,
                    }
                } else {
                    self.case(word);
                }
            }
            State::Declare if word == "HANDLER" => self.state = State::Handler,
            State::Declare => self.case(word),
            State::Handler if word == "FOR" => self.state = State::HandlerFor(true),
            State::Handler => {}
            State::HandlerFor(true) => {
                let more = matches!(word, "SQLSTATE" | "VALUE" | "NOT");
                self.state = State::HandlerFor(more);
            }
            State::HandlerFor(false) if token.lexeme == Lexeme::Mark(b',') => self.state = State::HandlerFor(true),
            State::HandlerFor(false) => {
                // `SQLSTATE VALUE '..'` and `NOT FOUND` are one condition each; whatever else follows is the statement.
                self.start(word);
            }
            State::End => {}
        }
    }

    /// Finds the first token of a body.
    fn header(&mut self, header: Header, word: &str) {
        if self.parens > 0 {
            return;
        }
        match header {
            Header::Trigger if word == "ROW" && self.before == Before::Each => self.state = State::Row(0),
            Header::Event if word == "DO" => self.state = State::Start,
            Header::Routine if self.parameters => match word {
                "BEGIN" | "IF" | "CASE" | "LOOP" | "REPEAT" | "WHILE" | "FOR" => self.start(word),
                // `RETURNS SET(..)` and `CHARACTER SET` are part of a type.
                "SET" if matches!(self.before, Before::Returns | Before::Character) => {}
                "SET" | "RETURN" | "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "CALL" | "WITH" => {
                    self.state = State::Plain(2);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// The first word of a statement inside a body.
    fn start(&mut self, word: &str) {
        self.parens = 0;
        self.cases = 0;
        self.state = match word {
            "BEGIN" | "LOOP" | "REPEAT" => {
                self.blocks += 1;
                State::Start
            }
            "IF" | "CASE" => {
                self.blocks += 1;
                State::Condition("THEN")
            }
            "WHILE" | "FOR" => {
                self.blocks += 1;
                State::Condition("DO")
            }
            "ELSEIF" | "WHEN" => State::Condition("THEN"),
            // `BEGIN NOT ATOMIC`.
            "ELSE" | "NOT" | "ATOMIC" => State::Start,
            "UNTIL" => State::Condition("END"),
            "END" => return self.close(),
            "DECLARE" => State::Declare,
            _ => State::Plain(1),
        };
    }

    fn close(&mut self) {
        self.blocks = self.blocks.saturating_sub(1);
        self.state = State::End;
    }

    /// `CASE .. END` as an expression.
    fn case(&mut self, word: &str) {
        match word {
            "CASE" => self.cases += 1,
            "END" => self.cases = self.cases.saturating_sub(1),
            _ => {}
        }
    }
}
