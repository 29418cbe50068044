//! Reading a statement by its words: keywords, names, and what stands outside parentheses.
//!
//! The grammars decide whether a statement is valid; this only asks what an already accepted one begins with.

use sealift_spec::manifest::{Expect, Flavour, Object, Probe};

use super::lex::{Lexeme, Token};

/// The significant tokens of one statement, read from the left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clause<'a> {
    text: &'a str,
    tokens: &'a [Token],
    flavour: Flavour,
}

impl<'a> Clause<'a> {
    pub(super) fn new(flavour: Flavour, text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens, flavour }
    }

    pub(super) fn tokens(&self) -> &'a [Token] {
        self.tokens
    }

    pub(super) fn of(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// Where the next token starts, or where the last one ended.
    pub(super) fn offset(&self) -> usize {
        self.tokens.first().map_or(self.text.len(), |token| token.start)
    }

    /// Whether nothing is left but a semicolon.
    pub(super) fn done(&self) -> bool {
        self.tokens.iter().all(|token| token.lexeme == Lexeme::Mark(b';'))
    }

    pub(super) fn skip(&mut self) -> Option<Token> {
        let (&first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn nth_is(&self, index: usize, keyword: &str) -> bool {
        self.tokens
            .get(index)
            .is_some_and(|&token| token.lexeme == Lexeme::Word && self.of(token).eq_ignore_ascii_case(keyword))
    }

    /// Whether the next words are these, separated by spaces in `keywords`.
    pub(super) fn at(&self, keywords: &str) -> bool {
        keywords.split(' ').enumerate().all(|(index, keyword)| self.nth_is(index, keyword))
    }

    /// Whether the next word is one of these.
    pub(super) fn at_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.nth_is(0, keyword))
    }

    /// Goes past these words if they come next.
    pub(super) fn eat(&mut self, keywords: &str) -> bool {
        let found = self.at(keywords);
        if found {
            self.tokens = &self.tokens[keywords.split(' ').count()..];
        }
        found
    }

    /// Goes past every word of the list that comes next; whether there was one.
    pub(super) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        let before = self.tokens.len();
        while keywords.iter().any(|keyword| self.eat(keyword)) {}
        self.tokens.len() < before
    }

    pub(super) fn at_mark(&self, mark: u8) -> bool {
        self.tokens.first().is_some_and(|token| token.lexeme == Lexeme::Mark(mark))
    }

    pub(super) fn eat_mark(&mut self, mark: u8) -> bool {
        let found = self.at_mark(mark);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    /// Goes past a parenthesised list if one comes next.
    pub(super) fn eat_list(&mut self) {
        if !self.at_mark(b'(') {
            return;
        }
        let mut depth = 0_usize;
        while let Some(token) = self.skip() {
            match token.lexeme {
                Lexeme::Mark(b'(') => depth += 1,
                Lexeme::Mark(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// The tokens outside parentheses.
    pub(super) fn outside(&self) -> impl Iterator<Item = Token> + use<'a> {
        let mut depth = 0_usize;
        self.tokens.iter().copied().filter(move |token| match token.lexeme {
            Lexeme::Mark(b'(' | b'[') => {
                depth += 1;
                false
            }
            Lexeme::Mark(b')' | b']') => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
    }

    /// Whether a keyword stands outside parentheses in what is left.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.outside().any(|token| token.lexeme == Lexeme::Word && self.of(token).eq_ignore_ascii_case(keyword))
    }

    /// Whether these keywords stand next to each other, outside parentheses, in what is left.
    pub(super) fn has_pair(&self, first: &str, second: &str) -> bool {
        let mut before = false;
        self.outside().any(|token| {
            let word = token.lexeme == Lexeme::Word;
            let found = before && word && self.of(token).eq_ignore_ascii_case(second);
            before = word && self.of(token).eq_ignore_ascii_case(first);
            found
        })
    }

    /// What is left, cut at the commas outside parentheses.
    pub(super) fn parts(&self) -> Vec<Clause<'a>> {
        let mut parts = Vec::new();
        let (mut depth, mut start) = (0_usize, 0);
        let cut = |from: usize, to: usize| Clause { tokens: &self.tokens[from..to], ..*self };
        for (index, token) in self.tokens.iter().enumerate() {
            match token.lexeme {
                Lexeme::Mark(b'(' | b'[') => depth += 1,
                Lexeme::Mark(b')' | b']') => depth = depth.saturating_sub(1),
                Lexeme::Mark(b',') if depth == 0 => {
                    parts.push(cut(start, index));
                    start = index + 1;
                }
                _ => {}
            }
        }
        parts.push(cut(start, self.tokens.len()));
        parts
    }

    /// The text of the next token if it is a string literal without escapes we would have to interpret.
    pub(super) fn literal(&mut self) -> Option<&'a str> {
        let token = *self.tokens.first().filter(|token| token.lexeme == Lexeme::Text)?;
        let text = self.of(token);
        let mark = text.as_bytes()[0];
        let inner = text.get(1..text.len().checked_sub(1)?).filter(|_| matches!(mark, b'\'' | b'"'))?;
        if inner.contains(['\\', '\'', '"']) {
            return None;
        }
        self.tokens = &self.tokens[1..];
        Some(inner)
    }

    /// The next one to three name parts joined by dots, as the server would store them.
    pub(super) fn name(&mut self) -> Option<Vec<String>> {
        let mut parts = vec![self.name_part()?];
        while parts.len() < 3 && self.at_mark(b'.') {
            self.eat_mark(b'.');
            parts.push(self.name_part()?);
        }
        (!self.at_mark(b'.')).then_some(parts)
    }

    fn name_part(&mut self) -> Option<String> {
        let token = *self.tokens.first()?;
        let text = self.of(token);
        let inside = || text.get(1..text.len() - 1);
        let name = match token.lexeme {
            Lexeme::Word if self.flavour == Flavour::Postgresql => text.to_ascii_lowercase(),
            Lexeme::Word => text.to_owned(),
            Lexeme::Quoted => match text.as_bytes()[0] {
                b'"' => inside()?.replace("\"\"", "\""),
                b'`' => inside()?.replace("``", "`"),
                b'[' => inside()?.to_owned(),
                // U&"..": nobody needs its escapes badly enough.
                _ => return None,
            },
            Lexeme::Text if self.flavour == Flavour::Sqlite => inside()?.replace("''", "'"),
            _ => return None,
        };
        // PostgreSQL cuts names at 63 bytes; what was cut would not be found.
        if name.is_empty() || (self.flavour == Flavour::Postgresql && name.len() > 63) {
            return None;
        }
        self.skip();
        Some(name)
    }

    /// A probe for the object named next, if nothing but one name is there.
    pub(super) fn probe(&mut self, expect: Expect, object: Object) -> Option<Probe> {
        let name = self.name()?;
        Some(Probe { expect, object, name, table: Vec::new() })
    }

    /// Completes the probe of an index or trigger with the table named after `ON`.
    pub(super) fn on_table(&mut self, mut probe: Probe) -> Option<Probe> {
        if !self.eat("ON") {
            return None;
        }
        self.eat("ONLY");
        probe.table = self.name()?;
        Some(probe)
    }

    /// The probe of `ADD COLUMN` or `DROP COLUMN` where it is the only action of an ALTER TABLE.
    pub(super) fn column_probe(mut self, table: Vec<String>) -> Option<Probe> {
        const OTHER: [&str; 18] = [
            "CONSTRAINT",
            "CHECK",
            "UNIQUE",
            "PRIMARY",
            "FOREIGN",
            "EXCLUDE",
            "NOT",
            "INDEX",
            "KEY",
            "FULLTEXT",
            "SPATIAL",
            "PARTITION",
            "PERIOD",
            "SYSTEM",
            "VECTOR",
            "IF",
            "IDENTITY",
            "EXPRESSION",
        ];
        if self.parts().len() > 1 {
            return None;
        }
        let expect = if self.eat("ADD") {
            Expect::Present
        } else if self.eat("DROP") {
            Expect::Absent
        } else {
            return None;
        };
        let spelled = self.eat("COLUMN");
        if self.at("IF") || (!spelled && self.at_any(&OTHER)) {
            return None;
        }
        let mut probe = self.probe(expect, Object::Column)?;
        probe.table = table;
        Some(probe)
    }
}
