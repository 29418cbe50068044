//! Transcripts: what a series of commands printed, compared with a text under `tests/transcripts`.
//!
//! What differs from run to run (paths, digests, keys, times, ports, database names) is replaced by a name first, the same
//! one for the same value, so that a transcript still shows which digest is which. Run with `SEALIFT_UPDATE=1` to write the
//! texts anew, and read the difference before committing it.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Command, Outcome};

/// A series of commands and what they printed.
#[derive(Debug)]
#[must_use = "a transcript that is not compared proves nothing"]
pub struct Transcript {
    name: &'static str,
    text: String,
    hidden: Vec<(String, String)>,
}

impl Transcript {
    /// Starts an empty transcript; its text is `tests/transcripts/NAME.txt`.
    pub fn new(name: &'static str) -> Self {
        Self { name, text: String::new(), hidden: Vec::new() }
    }

    /// Shows `value` as `<NAME>` (a folder as `$NAME` reads better: name it with the dollar).
    pub fn hide(&mut self, value: impl Into<String>, name: &str) -> &mut Self {
        let shown = if name.starts_with('$') { name.to_owned() } else { format!("<{name}>") };
        self.hidden.push((value.into(), shown));
        // A folder before the folder it lies in.
        self.hidden.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        self
    }

    /// Hides a folder's path, as `$NAME`.
    pub fn folder(&mut self, folder: &Path, name: &str) -> &mut Self {
        self.hide(folder.display().to_string(), &format!("${name}"))
    }

    /// Runs a command and takes down what it did.
    pub fn run(&mut self, command: &Command) -> Outcome {
        let outcome = command.run();
        self.text.push_str(&outcome.text());
        self.text.push('\n');
        outcome
    }

    /// Writes a line of explanation between commands.
    pub fn note(&mut self, line: &str) -> &mut Self {
        self.text.push_str(&format!("# {line}\n"));
        self
    }

    /// Compares with the committed text.
    ///
    /// # Panics
    ///
    /// When they differ; shows the first difference.
    #[track_caller]
    pub fn compare(self) {
        let path = folder().join(format!("{}.txt", self.name));
        let found = normalise(&self.text, &self.hidden);
        if env::var_os("SEALIFT_UPDATE").is_some_and(|value| value == "1") {
            fs::create_dir_all(folder()).expect("tests/transcripts");
            fs::write(&path, found).expect("a transcript can be written");
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            panic!(
                "{} differs (SEALIFT_UPDATE=1 writes it anew)\n{}\n\n{found}",
                path.display(),
                first_difference(&expected, &found)
            );
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

fn first_difference(expected: &str, found: &str) -> String {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (expected.next(), found.next()) {
            (None, None) => return "the last line feed differs".to_owned(),
            (e, f) if e == f => {}
            (e, f) => {
                return format!(
                    "line {number}\n  expected: {}\n  found:    {}",
                    e.unwrap_or("(end)"),
                    f.unwrap_or("(end)")
                );
            }
        }
    }
}

/// Replaces what differs from run to run.
fn normalise(text: &str, hidden: &[(String, String)]) -> String {
    let mut names = Names::default();
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside_word = false;
    'next: while let Some(first) = rest.chars().next() {
        for (value, shown) in hidden {
            if rest.starts_with(value.as_str()) {
                output.push_str(shown);
                rest = &rest[value.len()..];
                inside_word = true;
                continue 'next;
            }
        }
        if !inside_word && let Some((length, shown)) = names.replacement(rest) {
            output.push_str(&shown);
            rest = &rest[length..];
            inside_word = true;
            continue;
        }
        output.push(first);
        inside_word = first.is_ascii_alphanumeric() || first == '_';
        rest = &rest[first.len_utf8()..];
    }
    output
}

/// The values met so far, numbered by kind.
#[derive(Default)]
struct Names {
    digests: Vec<String>,
    others: HashMap<(&'static str, String), usize>,
}

impl Names {
    /// Returns the length of the value at the start of `text` and what to show for it.
    fn replacement(&mut self, text: &str) -> Option<(usize, String)> {
        let (length, kind) = self.hexadecimal(text).or_else(|| recognise(text))?;
        let value = &text[..length];
        Some(match kind {
            Kind::Digest => (length, self.digest(value)?),
            Kind::Numbered(kind) => {
                let next = self.others.keys().filter(|(other, _)| *other == kind).count() + 1;
                let number = *self.others.entry((kind, value.to_owned())).or_insert(next);
                (length, format!("<{kind} {number}>"))
            }
            Kind::Plain(kind) => (length, format!("<{kind}>")),
            Kind::Port(host) => (length, format!("{}:<port>", &value[..host])),
        })
    }

    fn hexadecimal(&self, text: &str) -> Option<(usize, Kind)> {
        let length = run(text, |b| b.is_ascii_alphanumeric());
        let hexadecimal = text.as_bytes()[..length].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let known = || self.digests.iter().any(|digest| digest.starts_with(&text[..length]));
        (hexadecimal && (length == 64 || ((8..64).contains(&length) && known()))).then_some((length, Kind::Digest))
    }

    /// A digest by number; the beginning of one that was shown in full before, with an ellipsis.
    fn digest(&mut self, value: &str) -> Option<String> {
        if value.len() < 64 {
            let number = self.digests.iter().position(|digest| digest.starts_with(value))?;
            return Some(format!("<digest {}...>", number + 1));
        }
        let number = self.digests.iter().position(|digest| digest == value).unwrap_or_else(|| {
            self.digests.push(value.to_owned());
            self.digests.len() - 1
        });
        Some(format!("<digest {}>", number + 1))
    }
}

enum Kind {
    Digest,
    Numbered(&'static str),
    Plain(&'static str),
    /// Length of the host before the colon.
    Port(usize),
}

fn recognise(text: &str) -> Option<(usize, Kind)> {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    if let Some(key) = text.strip_prefix("SHA256:") {
        let length = run(key, base64);
        return (length == 43).then_some(("SHA256:".len() + length, Kind::Numbered("key")));
    }
    if text.starts_with("age1") {
        let length = run(text, |b| b.is_ascii_alphanumeric());
        return (length == 62).then_some((length, Kind::Numbered("recipient")));
    }
    if text.starts_with("sealift_test_") {
        return Some((run(text, |b| b.is_ascii_alphanumeric() || b == b'_'), Kind::Numbered("database")));
    }
    for host in ["127.0.0.1", "127.0.0.2", "localhost"] {
        if let Some(port) = text.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')) {
            let digits = run(port, |b| b.is_ascii_digit());
            return (digits > 0).then_some((host.len() + 1 + digits, Kind::Port(host.len())));
        }
    }
    if let Some(length) = time(text) {
        return Some((length, Kind::Plain("time")));
    }
    if let Some(length) = duration(text) {
        return Some((length, Kind::Plain("duration")));
    }
    if shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
        return Some((36, Kind::Numbered("uuid")));
    }
    let length = run(text, base64);
    (length >= 80).then(|| (length + run(&text[length..], |b| b == b'='), Kind::Plain("base64")))
}

/// `2026-11-20T11:08:24Z`, with or without a fraction and an offset.
fn time(text: &str) -> Option<usize> {
    if !shape(text, "dddd-dd-ddTdd:dd:dd") {
        return None;
    }
    let mut length = 19;
    if text[length..].starts_with('.') {
        length += 1 + run(&text[length + 1..], |b| b.is_ascii_digit());
    }
    if text[length..].starts_with('Z') {
        length += 1;
    } else if shape(&text[length..], "+dd:dd") {
        length += 6;
    }
    Some(length)
}

/// A number with a fraction and `s`, or any number and `ms` or `µs`. Whole seconds are settings, not measurements.
fn duration(text: &str) -> Option<usize> {
    let whole = run(text, |b| b.is_ascii_digit());
    if whole == 0 {
        return None;
    }
    let fraction = match text[whole..].strip_prefix('.') {
        Some(rest) => run(rest, |b| b.is_ascii_digit()),
        None => 0,
    };
    let number = if fraction > 0 { whole + 1 + fraction } else { whole };
    let rest = &text[number..];
    let blank = usize::from(rest.starts_with(' '));
    let unit = ["ms", "µs", "s"].into_iter().find(|unit| {
        let after = rest[blank..].strip_prefix(unit);
        after.is_some_and(|after| run(after, |b| b.is_ascii_alphanumeric()) == 0)
    })?;
    (unit != "s" || fraction > 0).then_some(number + blank + unit.len())
}

/// `d` is a digit, `x` a hexadecimal one, anything else is itself.
fn shape(text: &str, pattern: &str) -> bool {
    let matches = |(byte, pattern): (&u8, u8)| match pattern {
        b'd' => byte.is_ascii_digit(),
        b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        other => *byte == other,
    };
    text.len() >= pattern.len() && text.as_bytes().iter().zip(pattern.bytes()).all(matches)
}

fn run(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| of(*byte)).count()
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[track_caller]
    fn shows(text: &str, expected: &str) {
        let hidden =
            [("/tmp/sealift-x1/a".to_owned(), "$A".to_owned()), ("/tmp/sealift-x1".to_owned(), "$HOME".to_owned())];
        assert_eq!(normalise(text, &hidden), expected);
    }

    #[test]
    fn the_same_digest_has_the_same_number() {
        let (a, b) = ("0a".repeat(32), "1b".repeat(32));
        shows(&format!("{a} {b} {a} sha256:{b}"), "<digest 1> <digest 2> <digest 1> sha256:<digest 2>");
        shows(&format!("{a} and 0a0a0a0a0a0a"), "<digest 1> and <digest 1...>");
    }

    #[test]
    fn versions_are_no_digests() {
        shows("20240131120000_orders abcdef12 00000001", "20240131120000_orders abcdef12 00000001");
    }

    #[test]
    fn longer_folders_come_first() {
        shows("/tmp/sealift-x1/a/b /tmp/sealift-x1/c", "$A/b $HOME/c");
    }

    #[test]
    fn times_and_durations() {
        shows("at 2026-11-20T11:08:24Z in 12 ms, 0.3 s", "at <time> in <duration>, <duration>");
        shows("2026-11-20T11:08:24.123+01:00!", "<time>!");
        shows("--lock-wait 60 s, 3 statements", "--lock-wait 60 s, 3 statements");
    }

    #[test]
    fn keys_recipients_ports_and_databases() {
        shows(&format!("SHA256:{}", "aB3/".repeat(10) + "xyz"), "<key 1>");
        shows(&format!("age1{}", "q".repeat(58)), "<recipient 1>");
        shows("localhost:5432 127.0.0.1:20000/sealift_test_1_2", "localhost:<port> 127.0.0.1:<port>/<database 1>");
        shows(&format!("\"sig\":\"{}==\"", "A".repeat(86)), "\"sig\":\"<base64>\"");
    }
}
