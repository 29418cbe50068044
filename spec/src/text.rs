//! Words from places nobody has vouched for, made safe to show.

use std::fmt;

/// Shows untrusted text as plain ASCII: control, bidirectional and other non-ASCII characters appear as `\u{..}`.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                ' '..='~' => fmt::Write::write_char(f, c)?,
                _ => write!(f, "{}", c.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// Shows SQL for reading: line feeds and tabs stay, printable Unicode stays, everything that could move the cursor,
/// reorder or hide text is escaped.
pub struct Source<'a>(pub &'a str);

/// Shows SQL, a file name or a message on one line, for reading: as [`Source`], but line feeds and tabs are escaped too.
pub struct Snippet<'a>(pub &'a str);

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_deceptive(c) { write!(f, "{}", c.escape_unicode())? } else { fmt::Write::write_char(f, c)? }
        }
        Ok(())
    }
}

/// A number of things: `1 statement`, `2 statements`.
pub struct Count(pub u64, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        write!(f, "{number} {thing}{}", if *number == 1 { "" } else { "s" })
    }
}

/// Whether a character can hide or reorder text on a terminal (Unicode Cc, Cf and the line separators).
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\t' => fmt::Write::write_char(f, c)?,
                '\r' if chars.peek() == Some(&'\n') => {}
                c if is_deceptive(c) => write!(f, "{}", c.escape_unicode())?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        let said = [0, 1, 2].map(|number| Count(number, "statement").to_string());
        assert_eq!(said, ["0 statements", "1 statement", "2 statements"]);
    }

    #[test]
    fn nothing_that_moves_the_cursor_gets_through() {
        assert_eq!(Plain("a\u{1b}[2Kb\u{202e}é\\").to_string(), "a\\u{1b}[2Kb\\u{202e}\\u{e9}\\\\");
        assert_eq!(Source("é\r\n\rx\u{200b}").to_string(), "é\n\\u{d}x\\u{200b}");
        assert_eq!(Snippet("\\set é\n\u{1b}").to_string(), "\\set é\\u{a}\\u{1b}");
    }
}
