//! How the four programs speak: data on stdout, words for people on stderr, and one exit status for each kind of answer.
//!
//! Every program hands its streams in; this module never reaches for the process's own. Words are lower case, without a
//! full stop, and understandable without colour. `--json` turns data into JSON Lines `{"data":..,"type":".."}`.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use sealift_spec::Timestamp;
use serde::Serialize;

/// The exit statuses, the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: yes, or done.
    Done,
    /// 1: no: rejected, refused, findings, SQL failed and rolled back, work left at a boundary.
    No,
    /// 2: could not tell: usage, input or output, unreachable, lock held; a retry may help.
    Unknown,
    /// 3: a statement is unsettled or a migration part-applied: an operator must look.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The end of a command that did not go as asked: what happened, why, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// What happened; its sources say why.
    pub error: Box<dyn Error + Send + Sync>,
    /// What to do, if that is known.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    /// The same failure with a hint.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same failure, told as the reason why `what` happened.
    pub fn context(self, what: impl Into<String>) -> Self {
        Self { error: Box::new(Context { what: what.into(), source: self.error }), ..self }
    }
}

#[derive(Debug)]
struct Context {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Context {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// What a program was started with: everything a library must not reach for by itself.
pub struct Process<'a> {
    /// The program's name.
    pub program: &'static str,
    /// The clock.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Answers and files named `-` come from here.
    pub input: &'a mut dyn std::io::BufRead,
    /// Data goes here.
    pub out: &'a mut dyn Write,
    /// Words go here.
    pub err: &'a mut dyn Write,
    /// Whether a person sits at standard input and error, so that questions and progress make sense.
    pub terminal: bool,
    /// Whether data is to be JSON Lines.
    pub json: bool,
}

impl Process<'_> {
    /// Writes one line of data for people; nothing under `--json`.
    pub fn say(&mut self, line: impl fmt::Display) {
        if !self.json {
            // A closed pipe is the reader's choice and no reason to fail.
            let _ = writeln!(self.out, "{line}");
        }
    }

    /// Writes one JSON line; nothing without `--json`.
    pub fn data<T: Serialize>(&mut self, kind: &str, data: &T) {
        if self.json {
            let line = sealift_spec::json::write(&serde_json::json!({ "type": kind, "data": data }));
            let _ = self.out.write_all(&line).and_then(|()| self.out.write_all(b"\n"));
        }
    }

    /// Writes one line of words for people.
    pub fn note(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Writes a warning.
    pub fn warn(&mut self, line: impl fmt::Display) {
        let program = self.program;
        self.note(format_args!("{program}: warning: {line}"));
    }

    /// Reports a failure and returns its exit status.
    pub fn fail(&mut self, failure: &Failure) -> Exit {
        let program = self.program;
        self.note(format_args!("{program}: error: {}", failure.error));
        let mut causes = Vec::new();
        let mut cause = failure.error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        for cause in &causes {
            self.note(format_args!("  caused by: {cause}"));
        }
        if let Some(hint) = &failure.hint {
            self.note(format_args!("hint: {hint}"));
        }
        let (error, hint, exit) = (failure.error.to_string(), &failure.hint, failure.exit as u8);
        self.data("error", &serde_json::json!({ "error": error, "causes": causes, "hint": hint, "exit": exit }));
        failure.exit
    }
}
