//! The history of a database: append-only, hash-chained events (`history.md`).
//!
//! Attack -> defence. An edited, removed, inserted or re-ordered row: every event names the digest of the one before, and
//! reading checks the chain from the first. A truncated tail does not show in the chain alone; the audit log and
//! checkpoints kept elsewhere hold the head. An event that cannot follow from the ones before it (a revert of a unit that
//! was not applied): refused when the state is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::manifest::{Direction, Engine};
use crate::name::{Label, Name, UnitId};
use crate::{Digest, Timestamp};

/// The largest event, in bytes.
pub const EVENT: usize = 16 * 1024;

/// The digest that the first event names as the one before it.
pub fn genesis() -> Digest {
    Digest::of(b"urn:sealift:history:v1")
}

/// The release under which something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Under {
    /// The permit (SHA-256 of its statement) that allowed it, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Digest>,
    /// The release digest.
    pub release: Digest,
    /// The version of the root that accepted it.
    pub root: u64,
    /// The release's sequence.
    pub sequence: u64,
}

/// The unit something happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The unit digest.
    pub digest: Digest,
    /// The unit's id.
    pub id: UnitId,
    /// SHA-256 of its up script, by which applied units are compared.
    pub up: Digest,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Happening {
    /// The database got its id and was bound to a project and an environment.
    Bound {
        /// Sixteen random bytes in hexadecimal digits.
        database: Label,
        /// The engine.
        engine: Engine,
        /// The environment.
        environment: Name,
        /// The permit that allowed it, where one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permit: Option<Digest>,
        /// The project.
        project: Name,
    },
    /// A clone or restored copy got an id, project and environment of its own.
    Rebound {
        /// Its new id.
        database: Label,
        /// Its environment from now on.
        environment: Name,
        /// The id of the database it is a copy of.
        from: Label,
        /// Under which release.
        under: Under,
    },
    /// A unit was applied, in the transaction that wrote this event or after its last statement.
    Applied {
        /// The unit.
        unit: Subject,
        /// Under which release.
        under: Under,
    },
    /// A unit was reverted; it is held until a release with a higher sequence.
    Reverted {
        /// The unit.
        unit: Subject,
        /// Under which release.
        under: Under,
    },
    /// A statements-mode script began; nothing of it has run yet.
    Started {
        /// Forwards or back.
        direction: Direction,
        /// SHA-256 of the script.
        script: Digest,
        /// The unit.
        unit: Subject,
        /// Under which release.
        under: Under,
    },
    /// `done` statements of the running script have run; `next`, if there is one, is being sent. With 0 and none the script
    /// is given up before anything of it had an effect.
    Progress {
        /// How many statements have run, `skip` ones included.
        done: u64,
        /// The index of the statement that is in flight, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u64>,
        /// The permit that allowed it, where one was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permit: Option<Digest>,
    },
    /// A run reached what it set out for.
    Completed {
        /// The heads that were reached.
        heads: Vec<UnitId>,
        /// Under which release.
        under: Under,
    },
}

impl Happening {
    /// The permit under which it happened, if one was asked for.
    pub fn permit(&self) -> Option<Digest> {
        match self {
            Self::Bound { permit, .. } | Self::Progress { permit, .. } => *permit,
            Self::Rebound { under, .. }
            | Self::Applied { under, .. }
            | Self::Reverted { under, .. }
            | Self::Started { under, .. }
            | Self::Completed { under, .. } => under.permit,
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, by the clock of the host.
    pub at: Timestamp,
    /// What happened.
    pub event: Happening,
    /// On which host.
    pub host: Label,
    /// As which user of that host.
    pub operator: Label,
    /// The digest of the event before, or [`genesis`].
    pub previous: Digest,
    /// The run it belongs to: eight random bytes in hexadecimal digits.
    pub run: Label,
    /// 1, 2, 3, ..
    pub seq: u64,
}

impl Event {
    /// The text that is stored and hashed.
    pub fn write(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The digest by which the next event names this one.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.write())
    }
}

/// A row as it is stored: the event's text and the digest beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The sequence number column.
    pub seq: u64,
    /// The event's text.
    pub body: String,
    /// The digest column, in hexadecimal digits.
    pub sha256: String,
}

/// What is wrong with a history, and where.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistoryError {
    /// A row is no event.
    Row {
        /// Its sequence number.
        seq: u64,
        /// Why.
        source: JsonError,
    },
    /// A row's text does not hash to the digest beside it: it was edited.
    Edited {
        /// Its sequence number.
        seq: u64,
    },
    /// A row does not follow the one before it: rows were removed, inserted or re-ordered.
    Broken {
        /// Its sequence number.
        seq: u64,
    },
    /// An event that cannot happen after the ones before it.
    Impossible {
        /// Its sequence number.
        seq: u64,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { seq, .. } => write!(f, "history row {seq} is no event"),
            Self::Edited { seq } => write!(f, "history row {seq} was edited: its text does not match its digest"),
            Self::Broken { seq } => {
                write!(
                    f,
                    "history row {seq} does not follow the row before it: rows were removed, inserted or re-ordered"
                )
            }
            Self::Impossible { seq } => write!(f, "history row {seq} cannot have happened after the rows before it"),
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Row { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The project, environment and id of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The random id it got at first use.
    pub database: Label,
    /// The engine.
    pub engine: Engine,
    /// The environment.
    pub environment: Name,
    /// The project.
    pub project: Name,
}

/// A statements-mode script that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Forwards or back.
    pub direction: Direction,
    /// How many statements have run.
    pub done: u64,
    /// The statement that may or may not have run.
    pub next: Option<u64>,
    /// SHA-256 of the script.
    pub script: Digest,
    /// The unit.
    pub unit: Subject,
    /// Under which release it began.
    pub under: Under,
}

/// A unit as it stands in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedUnit {
    /// The unit.
    pub unit: Subject,
    /// Under which release it was applied.
    pub under: Under,
    /// When.
    pub at: Timestamp,
}

/// A verified history: the chain holds and every event follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    events: Vec<Event>,
    head: Digest,
    binding: Option<Binding>,
    applied: Vec<AppliedUnit>,
    held: BTreeMap<UnitId, u64>,
    running: Option<Running>,
    completed: Option<(Under, Vec<UnitId>)>,
    sequence: u64,
    root: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            head: genesis(),
            binding: None,
            applied: Vec::new(),
            held: BTreeMap::new(),
            running: None,
            completed: None,
            sequence: 0,
            root: 0,
        }
    }
}

impl History {
    /// Reads all rows in order of their sequence number.
    ///
    /// # Errors
    /// [`HistoryError`] naming the first row that is wrong.
    pub fn read(rows: impl IntoIterator<Item = Row>) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for row in rows {
            let seq = row.seq;
            let event: Event =
                json::read(row.body.as_bytes(), EVENT).map_err(|source| HistoryError::Row { seq, source })?;
            let digest = Digest::of(row.body.as_bytes());
            if digest.to_string() != row.sha256 {
                return Err(HistoryError::Edited { seq });
            }
            if event.seq != seq {
                return Err(HistoryError::Broken { seq });
            }
            history.append(event)?;
        }
        Ok(history)
    }

    /// The event that would come next.
    pub fn next(&self, at: Timestamp, host: &Label, operator: &Label, run: &Label, event: Happening) -> Event {
        Event {
            at,
            event,
            host: host.clone(),
            operator: operator.clone(),
            previous: self.head,
            run: run.clone(),
            seq: self.events.len() as u64 + 1,
        }
    }

    /// Takes one more event in.
    ///
    /// # Errors
    /// [`HistoryError::Broken`] or [`HistoryError::Impossible`]; the history is then as it was.
    pub fn append(&mut self, event: Event) -> Result<(), HistoryError> {
        let seq = event.seq;
        if seq != self.events.len() as u64 + 1 || event.previous != self.head {
            return Err(HistoryError::Broken { seq });
        }
        let impossible = HistoryError::Impossible { seq };
        let first = self.events.is_empty();
        if first != matches!(event.event, Happening::Bound { .. }) {
            return Err(impossible);
        }
        match &event.event {
            Happening::Bound { database, engine, environment, project, .. } => {
                self.binding = Some(Binding {
                    database: database.clone(),
                    engine: *engine,
                    environment: environment.clone(),
                    project: project.clone(),
                });
            }
            Happening::Rebound { database, environment, from, under } => {
                let Some(binding) = self.binding.as_mut().filter(|binding| binding.database == *from) else {
                    return Err(impossible);
                };
                if self.running.is_some() || from == database {
                    return Err(impossible);
                }
                (binding.database, binding.environment) = (database.clone(), environment.clone());
                self.saw(under);
            }
            Happening::Applied { unit, under } => {
                if self.is_applied(&unit.id) || !self.ends(unit, Direction::Up) {
                    return Err(impossible);
                }
                self.running = None;
                self.held.remove(&unit.id);
                self.applied.push(AppliedUnit { unit: unit.clone(), under: under.clone(), at: event.at });
                self.saw(under);
            }
            Happening::Reverted { unit, under } => {
                let position = self.applied.iter().position(|applied| applied.unit.id == unit.id);
                let Some(position) = position.filter(|_| self.ends(unit, Direction::Down)) else {
                    return Err(impossible);
                };
                self.running = None;
                self.applied.remove(position);
                self.held.insert(unit.id.clone(), under.sequence);
                self.saw(under);
            }
            Happening::Started { direction, script, unit, under } => {
                let applied = self.is_applied(&unit.id);
                if self.running.is_some() || applied != (*direction == Direction::Down) {
                    return Err(impossible);
                }
                self.running = Some(Running {
                    direction: *direction,
                    done: 0,
                    next: None,
                    script: *script,
                    unit: unit.clone(),
                    under: under.clone(),
                });
                self.saw(under);
            }
            Happening::Progress { done, next, .. } => {
                let Some(running) = &mut self.running else { return Err(impossible) };
                if *done < running.done || next.is_some_and(|next| next < *done) {
                    return Err(impossible);
                }
                (running.done, running.next) = (*done, *next);
                if *done == 0 && next.is_none() {
                    self.running = None;
                }
            }
            Happening::Completed { heads, under } => {
                if self.running.is_some() {
                    return Err(impossible);
                }
                self.saw(under);
                self.completed = Some((under.clone(), heads.clone()));
            }
        }
        self.head = event.digest();
        self.events.push(event);
        Ok(())
    }

    /// A unit's end is possible when no script runs (transaction mode), or when it is that unit's.
    fn ends(&self, unit: &Subject, direction: Direction) -> bool {
        self.running.as_ref().is_none_or(|running| running.unit == *unit && running.direction == direction)
    }

    /// The history as it was when `head` was its newest event; `None` if that was never so.
    pub fn rewound(&self, head: Digest) -> Option<Self> {
        let mut earlier = Self::default();
        let mut events = self.events.iter();
        while earlier.head != head {
            // What was appended once can be appended again.
            earlier.append(events.next()?.clone()).ok()?;
        }
        Some(earlier)
    }

    fn saw(&mut self, under: &Under) {
        self.sequence = self.sequence.max(under.sequence);
        self.root = self.root.max(under.root);
    }

    /// All events, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The digest of the newest event, or [`genesis`].
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Project, environment and id, once the database has been used.
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// The applied units in the order in which they were applied.
    pub fn applied(&self) -> &[AppliedUnit] {
        &self.applied
    }

    /// Whether a unit is applied.
    pub fn is_applied(&self, id: &UnitId) -> bool {
        self.applied.iter().any(|applied| applied.unit.id == *id)
    }

    /// The ids of the applied units.
    pub fn applied_ids(&self) -> BTreeSet<&UnitId> {
        self.applied.iter().map(|applied| &applied.unit.id).collect()
    }

    /// The reverted units with the sequence of the release that reverted each; only a higher one applies them again.
    pub fn held(&self) -> &BTreeMap<UnitId, u64> {
        &self.held
    }

    /// The script that was interrupted, if one was.
    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// The last release that reached its heads, and the heads.
    pub fn completed(&self) -> Option<&(Under, Vec<UnitId>)> {
        self.completed.as_ref()
    }

    /// The highest release sequence that changed anything here.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The highest root version that vouched for anything here.
    pub fn root(&self) -> u64 {
        self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    fn unit(id: &str) -> Subject {
        Subject { digest: Digest::of(id.as_bytes()), id: id.parse().unwrap(), up: Digest::of(b"up") }
    }

    fn under(sequence: u64) -> Under {
        Under { permit: None, release: Digest::of(b"release"), root: 1, sequence }
    }

    fn grow(history: &mut History, event: Happening) -> Result<(), HistoryError> {
        let at = Timestamp::from_seconds(1_800_000_000).unwrap();
        let event = history.next(at, &label("db1"), &label("deploy"), &label("00"), event);
        history.append(event)
    }

    fn bound() -> History {
        let mut history = History::default();
        let (environment, project) = ("production".parse().unwrap(), "orders".parse().unwrap());
        grow(
            &mut history,
            Happening::Bound { database: label("00ff"), engine: Engine::Sqlite, environment, permit: None, project },
        )
        .unwrap();
        history
    }

    fn rows(history: &History) -> Vec<Row> {
        let row = |event: &Event| Row {
            seq: event.seq,
            body: String::from_utf8(event.write()).unwrap(),
            sha256: event.digest().to_string(),
        };
        history.events().iter().map(row).collect()
    }

    fn sample() -> History {
        let mut history = bound();
        grow(&mut history, Happening::Applied { unit: unit("1"), under: under(1) }).unwrap();
        let script = Digest::of(b"s");
        grow(&mut history, Happening::Started { direction: Direction::Up, script, unit: unit("2"), under: under(1) })
            .unwrap();
        grow(&mut history, Happening::Progress { done: 1, next: Some(1), permit: None }).unwrap();
        grow(&mut history, Happening::Applied { unit: unit("2"), under: under(1) }).unwrap();
        grow(&mut history, Happening::Reverted { unit: unit("2"), under: under(2) }).unwrap();
        history
    }

    #[test]
    fn a_stored_history_is_read_back() {
        let history = sample();
        assert_eq!(History::read(rows(&history)).unwrap(), history);
        assert_eq!(history.applied_ids().into_iter().map(UnitId::as_str).collect::<Vec<_>>(), ["1"]);
        assert_eq!(history.held().get("2"), Some(&2));
        assert_eq!((history.sequence(), history.root()), (2, 1));
    }

    #[test]
    fn edited_removed_and_reordered_rows_are_named() {
        let rows = rows(&sample());
        let mut edited = rows.clone();
        edited[1].body = edited[1].body.replace("db1", "db2");
        assert!(matches!(History::read(edited.clone()), Err(HistoryError::Edited { seq: 2 })));
        edited[1].sha256 = Digest::of(edited[1].body.as_bytes()).to_string();
        assert!(matches!(History::read(edited), Err(HistoryError::Broken { seq: 3 })));
        let mut removed = rows.clone();
        removed.remove(2);
        assert!(matches!(History::read(removed), Err(HistoryError::Broken { seq: 4 })));
        let mut swapped = rows;
        swapped.swap(1, 2);
        assert!(matches!(History::read(swapped), Err(HistoryError::Broken { seq: 3 })));
    }

    #[test]
    fn a_script_that_did_nothing_gives_way_to_another() {
        let mut history = bound();
        let start = |id| {
            let (direction, script) = (Direction::Up, Digest::of(b"s"));
            Happening::Started { direction, script, unit: unit(id), under: under(1) }
        };
        grow(&mut history, start("1")).unwrap();
        grow(&mut history, Happening::Progress { done: 0, next: Some(0), permit: None }).unwrap();
        assert!(matches!(grow(&mut history, start("2")), Err(HistoryError::Impossible { seq: 4 })));
        grow(&mut history, Happening::Progress { done: 0, next: None, permit: None }).unwrap();
        assert_eq!(history.running(), None);
        grow(&mut history, start("2")).unwrap();
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
        let mut history = bound();
        let at_once = Happening::Reverted { unit: unit("1"), under: under(1) };
        assert!(matches!(grow(&mut history, at_once), Err(HistoryError::Impossible { seq: 2 })));
        let progress = Happening::Progress { done: 1, next: None, permit: None };
        assert!(matches!(grow(&mut history, progress), Err(HistoryError::Impossible { seq: 2 })));
        grow(&mut history, Happening::Applied { unit: unit("1"), under: under(1) }).unwrap();
        let again = Happening::Applied { unit: unit("1"), under: under(1) };
        assert!(matches!(grow(&mut history, again), Err(HistoryError::Impossible { seq: 3 })));
    }

    #[test]
    fn a_history_is_rewound_to_where_it_was() {
        let history = sample();
        for (index, event) in history.events().iter().enumerate() {
            let earlier = history.rewound(event.digest()).unwrap();
            assert_eq!((earlier.head(), earlier.events()), (event.digest(), &history.events()[..=index]));
        }
        assert_eq!(history.rewound(history.head()).unwrap(), history);
        assert_eq!(history.rewound(genesis()).unwrap(), History::default());
        assert_eq!(history.rewound(Digest::of(b"never")), None);
    }
}
