//! The lexical rules of the three engines: where strings, quoted names and comments begin and end.
//!
//! Attack -> defence. A quote that we see closed and the server sees open (or the other way round) hides SQL from
//! reviewers, so every rule here is the server's own, engine by engine, and the grammars of the bundler read the same
//! bytes a second time. An executable comment whose end depends on the server's version is refused. One pass, no
//! recursion, constant memory: hostile input costs no more than its length.
//!
//! Numbers and operators are cut coarsely on purpose; nobody here looks inside them.

use sealift_spec::manifest::Flavour;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lexeme {
    /// White space.
    Space,
    /// A comment that no server executes.
    Comment,
    /// An unquoted name or keyword.
    Word,
    /// A quoted name.
    Quoted,
    /// A string literal with its prefix.
    Text,
    /// A number, or what begins like one.
    Number,
    /// One byte of punctuation.
    Mark(u8),
    /// `/*!50001` or `/*M!`: what follows runs on some servers.
    Open,
    /// The `*/` of an executable comment.
    Close,
    /// The delimiter that a `DELIMITER` command has set.
    Delimiter,
}

/// A token and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) lexeme: Lexeme,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a lexer cannot go past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LexError {
    /// Something that begins at this offset and never ends.
    Unterminated(usize, &'static str),
    /// An executable comment that is not read alike by every server.
    Conditional(usize, &'static str),
}

/// Cuts a script into tokens that tile it.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    flavour: Flavour,
    /// The delimiter in force when it is not `;`.
    delimiter: Option<&'a str>,
    /// Where the executable comment we are in ends for a server that skips it.
    skipped_to: Option<usize>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(flavour: Flavour, text: &'a str, at: usize) -> Self {
        Self { text, bytes: text.as_bytes(), at, flavour, delimiter: None, skipped_to: None }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn in_conditional(&self) -> bool {
        self.skipped_to.is_some()
    }

    pub(super) fn delimiter(&self) -> Option<&'a str> {
        self.delimiter
    }

    pub(super) fn set_delimiter(&mut self, delimiter: &'a str) {
        self.delimiter = (delimiter != ";").then_some(delimiter);
    }

    /// Moves on to `at`, which the caller found by other means.
    pub(super) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    fn mysql(&self) -> bool {
        matches!(self.flavour, Flavour::Mysql | Flavour::Mariadb)
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn find(&self, from: usize, needle: &str) -> Option<usize> {
        self.text.get(from..).and_then(|rest| rest.find(needle)).map(|found| from + found)
    }

    /// The next token, or `None` at the end of the script.
    pub(super) fn next(&mut self) -> Result<Option<Token>, LexError> {
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else {
            return match self.skipped_to {
                Some(_) => Err(LexError::Unterminated(start, "executable comment")),
                None => Ok(None),
            };
        };
        let (lexeme, end) = self.token(start, first)?;
        debug_assert!(end > start && end <= self.bytes.len());
        self.at = end;
        Ok(Some(Token { lexeme, start, end }))
    }

    fn token(&mut self, start: usize, first: u8) -> Result<(Lexeme, usize), LexError> {
        if let Some(delimiter) = self.delimiter
            && self.bytes[start..].starts_with(delimiter.as_bytes())
        {
            return Ok((Lexeme::Delimiter, start + delimiter.len()));
        }
        let second = self.byte(start + 1);
        Ok(match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                // SQLite does not take a vertical tab for white space; its grammar refuses it when it reads the statement.
                let mut end = start + 1;
                while matches!(self.byte(end), b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
                    && !self.delimiter.is_some_and(|d| self.bytes[end..].starts_with(d.as_bytes()))
                {
                    end += 1;
                }
                (Lexeme::Space, end)
            }
            b'-' if second == b'-' && self.dashes_comment(start) => (Lexeme::Comment, self.line_end(start)),
            b'#' if self.mysql() => (Lexeme::Comment, self.line_end(start)),
            b'/' if second == b'*' => self.block(start)?,
            b'*' if second == b'/' && self.skipped_to.is_some() => {
                if self.skipped_to.take() != Some(start + 2) {
                    return Err(LexError::Conditional(start, "ends elsewhere for a server that skips it"));
                }
                (Lexeme::Close, start + 2)
            }
            b'\'' => (Lexeme::Text, self.quoted(start, start, "string")?),
            b'"' if self.mysql() => (Lexeme::Text, self.quoted(start, start, "string")?),
            b'"' => (Lexeme::Quoted, self.quoted(start, start, "quoted name")?),
            b'`' if self.flavour != Flavour::Postgresql => (Lexeme::Quoted, self.quoted(start, start, "quoted name")?),
            b'[' if self.flavour == Flavour::Sqlite => match self.find(start, "]") {
                Some(found) => (Lexeme::Quoted, found + 1),
                None => return Err(LexError::Unterminated(start, "quoted name")),
            },
            b'$' if self.flavour == Flavour::Postgresql => self.dollar(start)?,
            b'0'..=b'9' => (Lexeme::Number, self.number_end(start)),
            _ if self.flavour == Flavour::Postgresql && self.prefixed(first, second, start) => {
                let quote = start + if matches!(first, b'u' | b'U') { 2 } else { 1 };
                if self.byte(quote) == b'"' {
                    (Lexeme::Quoted, self.quoted(start, quote, "quoted name")?)
                } else if matches!(first, b'e' | b'E') {
                    (Lexeme::Text, self.escaped(start, quote)?)
                } else {
                    (Lexeme::Text, self.quoted(start, quote, "string")?)
                }
            }
            _ if self.word_byte(first) => (Lexeme::Word, self.word_end(start)),
            _ => (Lexeme::Mark(first), start + 1),
        })
    }

    fn word_byte(&self, byte: u8) -> bool {
        byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 || (byte == b'$' && self.mysql())
    }

    fn word_end(&self, start: usize) -> usize {
        let mut end = start;
        while end < self.bytes.len()
            && (self.word_byte(self.bytes[end]) || self.bytes[end].is_ascii_digit() || self.bytes[end] == b'$')
        {
            if end > start && self.delimiter.is_some_and(|d| self.bytes[end..].starts_with(d.as_bytes())) {
                break;
            }
            end += 1;
        }
        end.max(start + 1)
    }

    fn number_end(&self, start: usize) -> usize {
        let mut end = start + 1;
        while self.byte(end).is_ascii_digit()
            && !self.delimiter.is_some_and(|d| self.bytes[end..].starts_with(d.as_bytes()))
        {
            end += 1;
        }
        let delimited = self.delimiter.is_some_and(|d| self.bytes[end..].starts_with(d.as_bytes()));
        if !delimited && end < self.bytes.len() && self.word_byte(self.bytes[end]) { self.word_end(end) } else { end }
    }

    /// Whether `--` begins a comment: on MySQL only before white space, a control character or the end.
    fn dashes_comment(&self, start: usize) -> bool {
        let third = self.bytes.get(start + 2).copied();
        !self.mysql() || third.is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    /// The end of a line comment. PostgreSQL ends it at a carriage return too; a lone one is refused before we come here.
    fn line_end(&self, start: usize) -> usize {
        self.find(start, "\n").unwrap_or(self.bytes.len())
    }

    fn block(&mut self, start: usize) -> Result<(Lexeme, usize), LexError> {
        let unterminated = LexError::Unterminated(start, "comment");
        if self.flavour == Flavour::Postgresql {
            return self.nested_end(start, usize::MAX).map(|end| (Lexeme::Comment, end)).ok_or(unterminated);
        }
        let head = if self.byte(start + 2) == b'!' {
            Some(start + 3)
        } else if self.flavour == Flavour::Mariadb && self.byte(start + 2) == b'M' && self.byte(start + 3) == b'!' {
            Some(start + 4)
        } else {
            None
        };
        let Some(head) = head.filter(|_| self.mysql()) else {
            // `/*/` does not close itself.
            return self.find(start + 2, "*/").map(|found| (Lexeme::Comment, found + 2)).ok_or(unterminated);
        };
        if self.skipped_to.is_some() {
            return Err(LexError::Conditional(start, "stands inside another one"));
        }
        let mut end = head;
        while self.byte(end).is_ascii_digit() {
            end += 1;
        }
        if !matches!(end - head, 0 | 5 | 6) {
            return Err(LexError::Conditional(start, "has a version of neither five nor six digits"));
        }
        // A server that skips it lets one comment nest inside.
        let skipped_to = self.nested_end(start, 2).ok_or(LexError::Unterminated(start, "executable comment"))?;
        self.skipped_to = Some(skipped_to);
        Ok((Lexeme::Open, end))
    }

    /// The end of the comment that begins at `start`, with comments nesting up to `most` deep.
    fn nested_end(&self, start: usize, most: usize) -> Option<usize> {
        let (mut at, mut depth) = (start + 2, 1_usize);
        while at + 1 < self.bytes.len() {
            match &self.bytes[at..at + 2] {
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                b"/*" if depth < most => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        None
    }

    /// The end of a literal or name whose opening quote stands at `quote`; doubled quotes stay inside.
    fn quoted(&self, start: usize, quote: usize, what: &'static str) -> Result<usize, LexError> {
        let mark = self.byte(quote);
        let backslash = self.mysql() && mark != b'`';
        self.quote_end(quote, mark, backslash).ok_or(LexError::Unterminated(start, what))
    }

    fn quote_end(&self, quote: usize, mark: u8, backslash: bool) -> Option<usize> {
        let mut at = quote + 1;
        while let Some(&byte) = self.bytes.get(at) {
            if byte == mark {
                if self.byte(at + 1) != mark {
                    return Some(at + 1);
                }
                at += 2;
            } else if byte == b'\\' && backslash {
                at += 2;
            } else {
                at += 1;
            }
        }
        None
    }

    /// Whether a letter opens a PostgreSQL literal: `E'`, `B'`, `X'`, `N'`, `U&'`, `U&"`.
    fn prefixed(&self, first: u8, second: u8, start: usize) -> bool {
        match first {
            b'e' | b'E' | b'b' | b'B' | b'x' | b'X' | b'n' | b'N' => second == b'\'',
            b'u' | b'U' => second == b'&' && matches!(self.byte(start + 2), b'\'' | b'"'),
            _ => false,
        }
    }

    /// The end of an `E'..'` literal with its continuations: on the next line the server still reads backslashes as
    /// escapes, although no `E` stands there.
    fn escaped(&self, start: usize, quote: usize) -> Result<usize, LexError> {
        let unterminated = LexError::Unterminated(start, "string");
        let mut end = self.quote_end(quote, b'\'', true).ok_or(unterminated)?;
        loop {
            let (mut at, mut newline) = (end, false);
            loop {
                match self.byte(at) {
                    b'\n' | b'\r' => (newline, at) = (true, at + 1),
                    b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                    b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at),
                    _ => break,
                }
            }
            if !newline || self.byte(at) != b'\'' {
                return Ok(end);
            }
            end = self.quote_end(at, b'\'', true).ok_or(unterminated)?;
        }
    }

    /// `$tag$..$tag$`, `$1`, or a dollar sign that means nothing.
    fn dollar(&self, start: usize) -> Result<(Lexeme, usize), LexError> {
        let mut at = start + 1;
        if self.byte(at).is_ascii_digit() {
            return Ok((Lexeme::Number, self.number_end(at)));
        }
        while self.word_byte(self.byte(at)) || (at > start + 1 && self.byte(at).is_ascii_digit()) {
            at += 1;
        }
        if self.byte(at) != b'$' {
            return Ok((Lexeme::Mark(b'$'), start + 1));
        }
        let tag = &self.text[start..=at];
        match self.find(at + 1, tag) {
            Some(found) => Ok((Lexeme::Text, found + tag.len())),
            None => Err(LexError::Unterminated(start, "dollar-quoted string")),
        }
    }
}

/// Where a comment that follows a statement on the same line ends, with its line feed: it speaks of that statement and
/// must not be read as the head of the next one.
pub(super) fn trailing_comment(lexer: &Lexer<'_>) -> Option<usize> {
    let mut ahead = lexer.clone();
    let mut found = false;
    loop {
        let before = ahead.position();
        match ahead.next().ok()? {
            None => return found.then_some(before),
            Some(Token { lexeme: Lexeme::Space, start, end }) => {
                if let Some(feed) = ahead.text[start..end].find('\n') {
                    return found.then_some(start + feed + 1);
                }
            }
            Some(Token { lexeme: Lexeme::Comment, start, end }) => {
                if ahead.text[start..end].contains('\n') {
                    return None;
                }
                found = true;
            }
            Some(_) => return None,
        }
    }
}
