//! How far a change is, for people: a line that is rewritten on a terminal, a line for each finished script elsewhere.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use sealift_spec::action::Action;
use sealift_spec::manifest::Direction;
use sealift_spec::text::Count;
use sealift_verifier::report::{Exit, Failure, Process};
use tokio::signal::unix::{SignalKind, signal};

use super::plan::migrations;
use crate::run::{Notice, Observer};

/// How long a lock may be awaited before it is worth a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// What progress writes to, shared with whoever waits for signals meanwhile.
struct Voice<'p, 'a> {
    process: RefCell<&'p mut Process<'a>>,
    /// The length of the line that stands on the terminal and is not ended.
    line: Cell<usize>,
    stop: Cell<bool>,
}

/// An observer that shows progress on standard error.
pub struct Progress<'p, 'a>(Rc<Voice<'p, 'a>>);

/// Asks a change to stop.
pub struct Stop<'p, 'a>(Rc<Voice<'p, 'a>>);

impl Voice<'_, '_> {
    fn rewrite(&self, text: &str) {
        let mut process = self.process.borrow_mut();
        if process.terminal {
            let width = self.line.replace(text.chars().count());
            let _ = write!(process.err, "\r{text:<width$}").and_then(|()| process.err.flush());
        }
    }

    /// Leaves the line that stands as it is, and begins a new one.
    fn end_line(&self) {
        if self.line.take() > 0 {
            self.process.borrow_mut().note("");
        }
    }

    fn note(&self, text: &str) {
        self.end_line();
        self.process.borrow_mut().note(text);
    }
}

impl<'p, 'a> Progress<'p, 'a> {
    /// Shows progress on this process's standard error.
    pub fn new(process: &'p mut Process<'a>) -> Self {
        let process = RefCell::new(process);
        Self(Rc::new(Voice { process, line: Cell::new(0), stop: Cell::new(false) }))
    }

    /// The handle that asks for an end.
    pub fn stop(&self) -> Stop<'p, 'a> {
        Stop(Rc::clone(&self.0))
    }
}

impl Drop for Progress<'_, '_> {
    fn drop(&mut self) {
        self.0.end_line();
    }
}

impl Stop<'_, '_> {
    /// Runs a change to its end. The first SIGINT or SIGTERM asks it to stop at the next boundary, a second one drops it:
    /// then there is no output.
    ///
    /// # Errors
    /// [`Failure`] when signals cannot be caught.
    pub async fn watch<F: Future>(self, change: F) -> Result<Option<F::Output>, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Unknown, error).context("signals cannot be caught"));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut change = pin!(change);
        loop {
            tokio::select! {
                biased;
                output = &mut change => return Ok(Some(output)),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if self.0.stop.replace(true) {
                return Ok(None);
            }
            self.0.note("stopping: the script under way is finished or rolled back; a second signal stops at once");
        }
    }
}

impl Observer for Progress<'_, '_> {
    fn notice(&mut self, notice: Notice<'_>) {
        let voice = &self.0;
        match notice {
            // The server needs a moment to forget a session that has just ended, this program's own among them.
            Notice::Waiting { waited, .. } if waited < PATIENCE => {}
            Notice::Waiting { holder, waited } => {
                voice.note(&format!("waiting for the lock for {}: held by {holder}", seconds(waited)));
            }
            Notice::Planned { plan } if !plan.is_empty() => {
                let count = plan.steps().len();
                voice.note(&format!("{} {count} {}", doing(plan.action()), migrations(count)));
            }
            Notice::Planned { .. } => {}
            Notice::Started { number, total, unit, resumed, .. } => {
                if let Some(done) = resumed {
                    let done = Count(done, "statement");
                    voice.note(&format!("{} was interrupted after {done} and goes on there", unit.id));
                }
                voice.rewrite(&format!("[{number}/{total}] {} {} ..", unit.id, unit.name));
            }
            Notice::Statement { unit, number, total } => {
                voice.rewrite(&format!("{} {}: statement {number} of {total} ..", unit.id, unit.name));
            }
            Notice::Done { unit, direction, took } => {
                let text = format!("{} {} {} in {}", done(direction), unit.id, unit.name, seconds(took));
                voice.rewrite(&text);
                // On a terminal the line stands already and is only ended.
                if voice.line.get() > 0 { voice.end_line() } else { voice.note(&text) }
            }
            Notice::Retry { unit, error, tries, pause } => {
                voice.note(&format!("{}: {error}; try {} in {}", unit.id, tries + 1, seconds(pause)));
            }
            Notice::Reconnecting => voice.note("the connection was lost; connecting again"),
        }
    }

    fn wants_stop(&mut self) -> bool {
        self.0.stop.get()
    }
}

fn seconds(took: Duration) -> String {
    match took.as_millis() {
        milliseconds @ 0..1000 => format!("{milliseconds} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

fn doing(action: Action) -> &'static str {
    match action {
        Action::Apply => "applying",
        Action::Revert => "reverting",
        Action::Rebind => "rebinding",
    }
}

fn done(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "applied",
        Direction::Down => "reverted",
    }
}

#[cfg(test)]
mod tests {
    use sealift_spec::Timestamp;

    use super::*;
    use crate::engine::Holder;

    #[test]
    fn a_lock_that_is_free_at_once_is_not_spoken_of() {
        let said = |waited| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut process = Process {
                program: "sealift-runner",
                clock: &Timestamp::default,
                variable: &|_| None,
                input: &mut std::io::empty(),
                out: &mut out,
                err: &mut err,
                terminal: false,
                json: false,
            };
            let mut progress = Progress::new(&mut process);
            progress.notice(Notice::Waiting { holder: &Holder::default(), waited });
            drop(progress);
            String::from_utf8(err).unwrap()
        };
        assert_eq!(said(Duration::from_millis(2)), "");
        assert!(said(Duration::from_secs(1)).starts_with("waiting for the lock for 1.0 s"));
    }
}
