//! Running our programs as a person would: arguments in, two streams and an exit status out.
//!
//! Cargo builds the programs of other workspace members only when it is asked to (`cargo build --workspace`), so a test may
//! meet none, or one that is older than the sources. Both are failures that say what to do.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

/// One of our programs, about to be run. Inherits nothing from the test's environment but `PATH`.
#[derive(Debug, Clone)]
pub struct Command {
    program: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
}

impl Command {
    /// Names the program, such as `sealift-runner`.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        Self { program, arguments: Vec::new(), environment: Vec::new(), folder: None, input: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Adds arguments written as on a command line: words separated by blanks, with no quoting.
    #[must_use]
    pub fn line(self, line: &str) -> Self {
        self.arguments(line.split_whitespace())
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the folder to run in.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets what the program reads on its standard input, which is empty otherwise.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Returns the command for `std`, for tests that need a hand on the process while it runs.
    #[must_use]
    pub fn to_std(&self) -> std::process::Command {
        let mut command = std::process::Command::new(program(self.program));
        command.args(&self.arguments).env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        // Nobody's settings, nobody's keys.
        command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or was ended by a signal.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let line = self.text();
        let mut child = self
            .to_std()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{line}` cannot be run: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = self.input.clone();
        // A program that does not read its input closes the pipe: not an error.
        let writer = thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("`{line}`: {error}"));
        writer.join().expect("the writer does not panic");
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => panic!("`{line}` printed bytes that are not UTF-8: {error}"),
        };
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let Some(status) = output.status.code() else {
            panic!("`{line}` ended by {}\n{stderr}", output.status);
        };
        Outcome { line, stdout, stderr, status }
    }

    /// Returns the command line as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut line = self.program.to_owned();
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%?&".contains(c);
            if !argument.is_empty() && argument.chars().all(plain) {
                let _ = write!(line, " {argument}");
            } else {
                let _ = write!(line, " '{}'", argument.replace('\'', r"'\''"));
            }
        }
        line
    }
}

/// What a program did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub line: String,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit status.
    pub status: i32,
}

impl Outcome {
    /// Returns itself if the exit status is the expected one.
    ///
    /// # Panics
    ///
    /// If it is another one; shows everything.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: i32) -> Self {
        assert!(self.status == status, "expected exit status {status} of\n{}", self.text());
        self
    }

    /// Returns the line, both streams and the status as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("$ {}\n", self.line);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                let end = if stream.ends_with('\n') { "" } else { "\n(no line feed at the end)\n" };
                let _ = write!(text, "--- {name}\n{stream}{end}");
            }
        }
        let _ = writeln!(text, "--- status {}", self.status);
        text
    }

    /// Returns the values that the program wrote with `--json`, a line each.
    ///
    /// # Panics
    ///
    /// When a line is not JSON.
    #[must_use]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(value) => value,
            Err(error) => panic!("not a JSON line: {error}: {line}\n{}", self.text()),
        };
        self.stdout.lines().map(parse).collect()
    }
}

/// Returns the path of one of our programs: in the folder that SEALIFT_BIN names, else where cargo put it.
///
/// # Panics
///
/// When it has not been built, or is older than a source it was built from.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = match env::var_os("SEALIFT_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            // target/debug/deps/TEST-HASH
            let test = env::current_exe().expect("the path of the test");
            let folder = test.ancestors().nth(2).expect("a test lies two folders deep in target");
            folder.to_owned()
        }
    };
    let path = folder.join(name);
    let advice = "run `cargo build --workspace --bins` (with `--release` if the tests are), or ./test, which does";
    assert!(path.is_file(), "`{name}` is not in {}: {advice}", folder.display());
    if let Some(source) = newer_source(&path) {
        panic!("`{name}` is older than {}: {advice}", source.display());
    }
    path
}

/// Looks for a source that changed after the program was built, in the list that cargo writes beside it (in make's syntax).
fn newer_source(program: &Path) -> Option<PathBuf> {
    let list = fs::read_to_string(program.with_extension("d")).ok()?;
    let built = fs::metadata(program).and_then(|metadata| metadata.modified()).ok()?;
    let (_, sources) = list.split_once(": ")?;
    let unescaped = sources.trim_end().replace("\\ ", "\0");
    let mut sources = unescaped.split(' ').map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.find(|source| match fs::metadata(source).and_then(|metadata| metadata.modified()) {
        Ok(changed) => changed > built,
        Err(_) => true,
    })
}
