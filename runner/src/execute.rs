//! Makes a plan happen, under the lock, event by event (`history.md` section 8).
//!
//! A [`Plan`] is consumed, and a [`Lock`] must be at hand; a lock can only be had by taking it, and brings the history that
//! was read under it. Nothing goes on from memory: after a lost connection the lock is taken again, which waits for the old
//! session to end, the history is read again, and what it says decides. What neither history nor a signed probe can settle
//! ends the run with the exact statement. Deliberately not here: what to run (`plan`), SQL (`engine`), the audit log (`run`).

use std::time::{Duration, Instant};

use sealift_spec::Digest;
use sealift_spec::history::{Event, Happening, History, HistoryError, Row};
use sealift_spec::manifest::{Baseline, Direction, Engine as EngineKind, Mode};
use sealift_spec::name::{Label, Name};
use sealift_verifier::bundle::VerifiedBundle;
use tokio::time::sleep;

use crate::engine::{Engine, EngineError, Holder, SqlError, StepError};
use crate::plan::{Plan, Step};
use crate::run::{Caller, Finished, Notice, Observer};
use crate::work::{Place, Work};

pub use crate::execute::error::{Doubt, ExecuteError, StatementName};

mod error;
mod statements;

/// How often, and for how long, a script is tried that meets lock timeouts, deadlocks or serialisation failures.
const TRIES: u32 = 10;
const TRYING: Duration = Duration::from_secs(600);
/// How often a run connects anew before it gives up, each time with these pauses between attempts.
const RECONNECTS: u32 = 5;
const PAUSES: [u64; 7] = [0, 100, 300, 1_000, 2_000, 4_000, 8_000];

/// The lock of a project in a database, the session that holds it, and the history as read under it.
///
/// Only [`Lock::take`] makes one, so whoever has one holds the lock:
///
/// ```compile_fail
/// fn forge<E>(engine: E) -> sealift_runner::execute::Lock<E> {
///     sealift_runner::execute::Lock { engine }
/// }
/// ```
pub struct Lock<E> {
    engine: E,
    project: Name,
    wait: Duration,
    history: History,
}

/// Why the lock was not had.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The engine could not take it, or not read the history then.
    Engine(EngineError),
    /// What was read is no history.
    History(HistoryError),
}

impl<E: Engine> Lock<E> {
    /// Takes the lock with a connected engine, and reads the history.
    ///
    /// # Errors
    /// [`LockError`].
    pub async fn take(
        engine: E,
        project: &Name,
        wait: Duration,
        observer: &mut dyn Observer,
    ) -> Result<Self, LockError> {
        let mut lock = Self { engine, project: project.clone(), wait, history: History::default() };
        lock.history = lock.acquire(observer).await?;
        Ok(lock)
    }

    /// The history, with everything this run has added.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The engine, for what needs the lock and is no step.
    pub(crate) fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Ends the session and with it the lock.
    pub async fn release(self) {
        self.engine.close().await;
    }

    async fn acquire(&mut self, observer: &mut dyn Observer) -> Result<History, LockError> {
        let began = Instant::now();
        let mut told: Option<(Holder, Instant)> = None;
        let mut waiting = |holder: &Holder| {
            let again = told.as_ref().is_none_or(|(last, at)| last != holder || at.elapsed() > Duration::from_secs(5));
            if again {
                observer.notice(Notice::Waiting { holder, waited: began.elapsed() });
                told = Some((holder.clone(), Instant::now()));
            }
        };
        self.engine.lock(&self.project, self.wait, &mut waiting).await.map_err(LockError::Engine)?;
        let rows = self.engine.history().await.map_err(LockError::Engine)?;
        History::read(rows.unwrap_or_default()).map_err(LockError::History)
    }
}

/// What an execution came to.
#[derive(Debug)]
pub struct Execution {
    /// What was done, and stays.
    pub done: Vec<Finished>,
    /// Why it ended early, if it did.
    pub end: Result<(), ExecuteError>,
}

/// Executes a plan.
pub async fn execute<E: Engine>(
    plan: Plan<'_>,
    lock: &mut Lock<E>,
    bundle: &VerifiedBundle,
    caller: &Caller<'_>,
    run: &Label,
    observer: &mut dyn Observer,
) -> Execution {
    let baseline = bundle.manifest().baseline();
    let permit = plan.under.permit;
    let mut executor = Executor { lock, caller, run, observer, baseline, permit, reconnects: 0, done: Vec::new() };
    let end = executor.all(plan, bundle).await;
    Execution { done: executor.done, end }
}

struct Executor<'x, E> {
    lock: &'x mut Lock<E>,
    caller: &'x Caller<'x>,
    run: &'x Label,
    observer: &'x mut dyn Observer,
    baseline: &'x Baseline,
    permit: Option<Digest>,
    reconnects: u32,
    done: Vec<Finished>,
}

/// An event and the row it is stored as.
struct Entry {
    event: Event,
    row: Row,
}

impl<E: Engine> Executor<'_, E> {
    async fn all(&mut self, plan: Plan<'_>, bundle: &VerifiedBundle) -> Result<(), ExecuteError> {
        if plan.head != self.lock.history.head() {
            return Err(ExecuteError::Stale);
        }
        if plan.is_nothing() {
            return Ok(());
        }
        let release = bundle.release();
        let engine = &mut self.lock.engine;
        engine.baseline(self.baseline).await.map_err(ExecuteError::Prepare)?;
        engine.create_history().await.map_err(ExecuteError::Prepare)?;
        let envelope = release.envelope().write();
        engine.evidence(release.digest(), &envelope).await.map_err(ExecuteError::Prepare)?;
        if let Some(permit) = &plan.permit {
            engine.evidence(permit.digest(), &permit.write()).await.map_err(ExecuteError::Prepare)?;
        }
        if plan.first_use {
            let (manifest, environment) = (bundle.manifest(), release.environment());
            let bound = bound(manifest.engine(), environment, manifest.project(), self.permit)?;
            self.write(bound).await?;
        }
        // A script that began and did nothing is no longer in the way of another one.
        if self.lock.history.running().is_some_and(|running| running.done == 0 && running.next.is_none()) {
            self.write(Happening::Progress { done: 0, next: None, permit: self.permit }).await?;
        }
        let total = plan.steps.len();
        for (index, step) in plan.steps.iter().enumerate() {
            if self.observer.wants_stop() {
                return Err(ExecuteError::Asked { left: total - index });
            }
            self.step(step, index + 1, total, &plan).await?;
        }
        // First use has just given it one.
        if plan.rebinds() && !plan.first_use {
            let database = random::<16>().ok_or(ExecuteError::Prepare(EngineError::Answer { doing: NEW_ID }))?;
            let (from, environment) = (plan.database().clone(), release.environment().clone());
            return self.write(Happening::Rebound { database, environment, from, under: plan.under }).await;
        }
        if let Some(heads) = plan.completes {
            self.write(Happening::Completed { heads, under: plan.under }).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        step: &Step<'_>,
        number: usize,
        total: usize,
        plan: &Plan<'_>,
    ) -> Result<(), ExecuteError> {
        let (work, began) = (step.work(), Instant::now());
        let (unit, direction) = (work.unit(), work.direction());
        let resumed = step.resume().map(|resume| resume.done);
        self.observer.notice(Notice::Started { number, total, unit, direction, resumed });
        let (subject, under) = (step.subject().clone(), plan.under.clone());
        let end = match direction {
            Direction::Up => Happening::Applied { unit: subject, under },
            Direction::Down => Happening::Reverted { unit: subject, under },
        };
        match work.script().mode {
            Mode::Transaction => self.transaction(step, end).await?,
            Mode::Statements => self.statements(step, &plan.under, end).await?,
        }
        let took = began.elapsed();
        self.observer.notice(Notice::Done { unit, direction, took });
        let (id, name) = (unit.id.clone(), unit.name.to_string());
        self.done.push(Finished { id, name, direction, took });
        Ok(())
    }

    async fn transaction(&mut self, step: &Step<'_>, end: Happening) -> Result<(), ExecuteError> {
        let work = step.work();
        let (id, direction) = (|| work.unit().id.clone(), work.direction());
        let mut patience = Patience::new();
        loop {
            let entry = self.entry(end.clone());
            let error = match self.lock.engine.transaction(work, &entry.row).await {
                Ok(()) => return self.took(entry),
                Err(error) => error,
            };
            match error {
                StepError::RolledBack(sql) => {
                    if let Some(pause) = patience.again(&sql) {
                        self.observer.notice(Notice::Retry {
                            unit: work.unit(),
                            error: &sql,
                            tries: patience.tries,
                            pause,
                        });
                        sleep(pause).await;
                        continue;
                    }
                    let place = sql.offset.map(|offset| work.place(offset));
                    return Err(failed(work, place, patience.tries, StepError::RolledBack(sql)));
                }
                source @ StepError::Remains { .. } => {
                    let file = work.script().file.to_string();
                    return Err(ExecuteError::Escaped { id: id(), direction, file, source });
                }
                StepError::Lost(cause) => {
                    let gave_up = |source| ExecuteError::Disconnected { id: id(), direction, source };
                    if self.recover(Some(&entry), gave_up).await? {
                        return Ok(());
                    }
                    // It is settled that nothing of it remains: once more, unless it is what kills the connection.
                    patience.losses += 1;
                    if patience.losses > 1 {
                        return Err(failed(work, None, patience.tries + 1, StepError::Lost(cause)));
                    }
                }
            }
        }
    }

    fn entry(&self, happening: Happening) -> Entry {
        let operator = &self.caller.operator;
        let at = (self.caller.clock)();
        let event = self.lock.history.next(at, &operator.host, &operator.name, self.run, happening);
        let body = event.write();
        let sha256 = Digest::of(&body).to_string();
        // Canonical JSON is UTF-8.
        let body = String::from_utf8_lossy(&body).into_owned();
        let row = Row { seq: event.seq, body, sha256 };
        Entry { event, row }
    }

    /// Takes an event that was written into the history in memory.
    fn took(&mut self, entry: Entry) -> Result<(), ExecuteError> {
        self.lock.history.append(entry.event).map_err(ExecuteError::History)
    }

    /// Writes one event that is no script's, connecting anew where it must.
    async fn write(&mut self, happening: Happening) -> Result<(), ExecuteError> {
        loop {
            let entry = self.entry(happening.clone());
            match self.lock.engine.record(&entry.row).await {
                Ok(()) => return self.took(entry),
                Err(StepError::Lost(_)) => {
                    if self.recover(Some(&entry), ExecuteError::Prepare).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(ExecuteError::Record(error)),
            }
        }
    }

    /// Connects anew, takes the lock, reads the history and puts the session on the baseline. Says whether `entry`, which
    /// was on its way when the connection was lost, is there. `gave_up` tells of a server that did not come back.
    async fn recover(
        &mut self,
        entry: Option<&Entry>,
        gave_up: impl FnOnce(EngineError) -> ExecuteError,
    ) -> Result<bool, ExecuteError> {
        self.observer.notice(Notice::Reconnecting);
        self.reconnects += 1;
        let mut last = EngineError::Lost("again and again".into());
        let pauses = if self.reconnects > RECONNECTS { &[][..] } else { &PAUSES[..] };
        for pause in pauses.iter().copied() {
            sleep(Duration::from_millis(pause)).await;
            match self.reconnect().await {
                Ok(fresh) => return self.compare(fresh, entry),
                Err(LockError::History(error)) => return Err(ExecuteError::History(error)),
                Err(LockError::Engine(error @ EngineError::Held { .. })) => return Err(gave_up(error)),
                Err(LockError::Engine(error)) => last = error,
            }
        }
        Err(gave_up(last))
    }

    async fn reconnect(&mut self) -> Result<History, LockError> {
        let engine = &mut self.lock.engine;
        engine.connect().await.map_err(LockError::Engine)?;
        let server = engine.server().await.map_err(LockError::Engine)?;
        if server.read_only.is_some() {
            return Err(LockError::Engine(EngineError::Answer { doing: "looking whether the server takes changes" }));
        }
        let history = self.lock.acquire(self.observer).await?;
        self.lock.engine.baseline(self.baseline).await.map_err(LockError::Engine)?;
        Ok(history)
    }

    fn compare(&mut self, fresh: History, entry: Option<&Entry>) -> Result<bool, ExecuteError> {
        let known = self.lock.history.head();
        let there = entry.is_some_and(|entry| entry.event.digest() == fresh.head());
        if !there && fresh.head() != known {
            // Our events are missing, or others have come on top of them.
            let still = |finished: &&Finished| fresh.is_applied(&finished.id) == (finished.direction == Direction::Up);
            let lost: Vec<_> = self.done.iter().filter(|f| !still(f)).map(|f| f.id.clone()).collect();
            let kept = fresh.events().iter().any(|event| event.digest() == known);
            self.done.retain(|finished| still(&finished));
            self.lock.history = fresh;
            return Err(if kept { ExecuteError::Overtaken } else { ExecuteError::Rewound { lost } });
        }
        self.lock.history = fresh;
        Ok(there)
    }
}

/// A script failed and nothing of it remains.
fn failed(work: &Work<'_>, place: Option<Place>, tries: u32, source: StepError) -> ExecuteError {
    let (id, file) = (work.unit().id.clone(), work.script().file.to_string());
    ExecuteError::Failed { id, direction: work.direction(), file, place, tries, source }
}

/// How long a script is tried again.
struct Patience {
    began: Instant,
    tries: u32,
    losses: u32,
}

impl Patience {
    fn new() -> Self {
        Self { began: Instant::now(), tries: 0, losses: 0 }
    }

    /// The pause before the next try after an error, if there is to be one.
    fn again(&mut self, error: &SqlError) -> Option<Duration> {
        self.tries += 1;
        let again = error.transient && self.tries < TRIES && self.began.elapsed() < TRYING;
        again.then(|| jitter(Duration::from_millis((100 << self.tries).min(5_000))))
    }
}

/// Between half of a time and all of it.
pub(crate) fn jitter(most: Duration) -> Duration {
    let random = getrandom::u64().unwrap_or_default();
    let half = most / 2;
    half + half.mul_f64((random % 1_000) as f64 / 1_000.0)
}

/// Random bytes in hexadecimal digits, as a label.
pub(crate) fn random<const N: usize>() -> Option<Label> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.parse().ok()
}

const NEW_ID: &str = "making an id for the database";

fn bound(
    engine: EngineKind,
    environment: &Name,
    project: &Name,
    permit: Option<Digest>,
) -> Result<Happening, ExecuteError> {
    let database = random::<16>().ok_or(ExecuteError::Prepare(EngineError::Answer { doing: NEW_ID }))?;
    let (environment, project) = (environment.clone(), project.clone());
    Ok(Happening::Bound { database, engine, environment, permit, project })
}
